"""Generation 2: VGG16 without its classifier, from the thirteen published convolutions.

K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014; configuration D,
with the weights that Keras publishes as vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5. Features are the maximum
activations of convolutions (MAC: G. Tolias, R. Sicre, H. Jegou, 2015) after block 5, L2-normalised.
"""

import hashlib
import importlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from lookalike.encoders.identity import VGG16_FILE, architecture
from lookalike.encoders.model_config import ModelEntry
from lookalike.encoders.openvino_runtime import Network
from lookalike.encoders.weight_files import read_file
from lookalike.errors import BadInput, BadSetting, Damaged

Weights = Mapping[str, NDArray[np.float32]]
"""`blockB_convC.kernel` (out, in, 3, 3) and `blockB_convC.bias` (out,), float32, input channels of the first in BGR."""

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each block; every block ends with a 2 x 2 max pool."""
IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)
"""ImageNet channel means that Keras' `preprocess_input` subtracts in "caffe" mode (listed there in BGR order)."""
OVERSAMPLE = 2.0
"""The minimum size of a reduced-scale JPEG decode, in multiples of 224 x 224; as in models.toml.

Nearest-neighbor sampling of a reduced decode differs from that of the full image. Over 100 photos of 448 to 1,600
pixels, the cosine between the two is 0.983 on average where a reduction takes place at all (minimum 0.928); with 1.0 it
is 0.974 (minimum 0.831). It helps with scaled copies (to half the size: cosine 0.977 without it, 0.980 with 2.0, 0.987
with 1.0) and hurts with recompressed ones of full size (JPEG 30: 0.988, 0.986, 0.971).
"""

PUBLISHED_VALUES: Mapping[str, Mapping[tuple[int, ...], float]] = {
    "block1_conv1.kernel": {(0, 0, 0, 0): 0.42947057, (0, 0, 0, 1): 0.373467, (0, 0, 0, 2): -0.06136011},
    "block1_conv1.bias": {(0,): 0.73429835, (1,): 0.09340367},
    "block1_conv2.kernel": {(63, 63, 2, 2): 0.016082443},
    "block2_conv1.bias": {(1,): 0.06440781},
    "block5_conv1.kernel": {(269, 63, 1, 0): -0.011236359},
    "block5_conv2.bias": {(510,): 0.23517226},
    "block5_conv3.kernel": {(400, 0, 0, 2): -0.008714244},
    "block5_conv3.bias": {(0,): 0.18837857},
}
"""Values of the Keras file as printed in independent publications, at (out, in, row, column)."""


def layers() -> list[tuple[str, tuple[int, int, int, int]]]:
    """Name and kernel shape (out, in, 3, 3) of the thirteen convolutions, in order."""
    named, incoming = [], 3
    for block, (channels, count) in enumerate(BLOCKS, 1):
        for conv in range(1, count + 1):
            named.append((f"block{block}_conv{conv}", (channels, incoming, 3, 3)))
            incoming = channels
    return named


_PARTS = [f"{name}.{part}" for name, _ in layers() for part in ("kernel", "bias")]


def read_weights(data: bytes, what: str) -> dict[str, NDArray[np.float32]]:
    """Verified weights from ONNX, Keras' notop .h5 (needs h5py) or our .npz; raises BadInput for others, or Damaged."""
    if data.startswith(b"\x89HDF\r\n\x1a\n"):
        weights = _from_keras(data)
    elif data.startswith(b"PK\x03\x04"):
        return load_npz(data, what)
    else:
        weights = _from_onnx(data, what)
    check_weights(weights, what)
    return weights


def check_weights(weights: Weights, what: str) -> None:
    """Raise Damaged unless names, shapes and published values are right."""
    for name, shape in layers():
        for part, expected in ((f"{name}.kernel", shape), (f"{name}.bias", shape[:1])):
            found = weights[part].shape if part in weights else "nothing"
            if found != expected:
                raise Damaged(f"{what}: {part} should be {expected}, found {found}: these are not VGG16's weights")
    for part, values in PUBLISHED_VALUES.items():
        for position, value in values.items():
            if not np.isclose(weights[part][position], value, rtol=1e-5, atol=1e-8):
                raise Damaged(f"{what}: {part}{list(position)} is {weights[part][position]!r}, published is {value}")


def digest(weights: Weights) -> str:
    """SHA-256 over the values in layer order, independent of the file format."""
    total = hashlib.sha256()
    for part in _PARTS:
        total.update(np.ascontiguousarray(weights[part], dtype="<f4").data)
    return total.hexdigest()


def to_npz(weights: Weights) -> bytes:
    """The weights in our own file format: an uncompressed .npz of the thirteen kernels and biases, and their digest."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {part: weights[part] for part in _PARTS}
    np.savez(buffer, digest=np.array(digest(weights)), **arrays)
    return buffer.getvalue()


def load_npz(source: bytes | Path, what: str) -> dict[str, NDArray[np.float32]]:
    """The weights of our own file; raises Damaged where it is truncated, altered or of another format."""
    try:
        with np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Damaged(f"{what}: not a readable weights file ({error}); pull the model again") from error
    stated = str(arrays.pop("digest", ""))
    check_weights(arrays, what)
    if digest(arrays) != stated:
        raise Damaged(f"{what}: the weights do not match their digest; pull the model again")
    return arrays


def _layer_in(path: str) -> str | None:
    return next((name for name, _ in layers() if name in path), None)


def _from_onnx(data: bytes, what: str) -> dict[str, NDArray[np.float32]]:
    """The constants of the convolutions named `blockB_convC`, anywhere in the graph."""
    try:
        model = ov.Core().read_model(data)
    except RuntimeError as error:
        raise BadInput(f"{what}: neither ONNX nor a Keras .h5 nor our own .npz: {str(error).strip()[:200]}") from error
    found: dict[str, NDArray[np.float32]] = {}
    for node in model.get_ops():
        layer = _layer_in(node.get_friendly_name())
        if layer is not None and node.get_type_name() == "Constant" and node.data.dtype == np.float32:
            found[f"{layer}.{'kernel' if node.data.ndim == 4 else 'bias'}"] = np.array(node.data)
    return found


def _from_keras(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Keras' own file: one group a layer, kernels as (row, column, in, out)."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise BadSetting("reading Keras' .h5 file needs h5py: pip install h5py (or give the ONNX file)") from error
    found: dict[str, NDArray[np.float32]] = {}
    with h5py.File(io.BytesIO(data), "r") as file:

        def visit(path: str, item: Any) -> None:
            layer = _layer_in(path)
            if layer is not None and isinstance(item, h5py.Dataset):
                values = np.asarray(item, dtype=np.float32)
                if values.ndim == 4:
                    found[f"{layer}.kernel"] = np.ascontiguousarray(values.transpose(3, 2, 0, 1))
                else:
                    found[f"{layer}.bias"] = values

        file.visititems(visit)
    return found


def build(weights: Weights) -> ov.Model:
    """The network: RGB (n, 224, 224, 3) uint8 in, the global maximum (n, 512) float32 of block 5 out, not yet unit.

    The published first kernel expects BGR; its input channels are reversed instead of every image's.
    """
    rgb = ops.parameter([-1, 224, 224, 3], np.uint8, name="rgb")
    x = ops.transpose(ops.convert(rgb, "f32"), np.array([0, 3, 1, 2]))
    x = ops.subtract(x, np.array(IMAGENET_MEAN_RGB, np.float32).reshape(1, 3, 1, 1))
    for name, _ in layers():
        kernel = weights[f"{name}.kernel"]
        if name == "block1_conv1":
            kernel = np.ascontiguousarray(kernel[:, ::-1])
        elif name.endswith("_conv1"):
            x = _pool(x)
        x = ops.convolution(x, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
        x = ops.relu(ops.add(x, ops.constant(weights[f"{name}.bias"].reshape(1, -1, 1, 1))))
    x = ops.reduce_max(_pool(x), np.array([2, 3]), keep_dims=False)
    x.output(0).set_names({"feature"})
    return ov.Model([ops.result(x, name="feature")], [rgb], "vgg16")


def _pool(x: Any) -> Any:
    """2 x 2 max pool, stride 2; the second output of opset 13's, the indices, is unused."""
    return ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)


def store(data: bytes, entry: ModelEntry, source: str) -> bytes:
    """The weights of `data`, in any of the three formats, converted to our own."""
    return to_npz(read_weights(data, source))


def open_network(path: Path, entry: ModelEntry) -> Network:
    """The network with the weights of a file; raises Damaged where they are not VGG16's."""
    weights = load_npz(path, str(path)) if path.name == VGG16_FILE else read_weights(read_file(path, entry), str(path))
    return Network(build(weights), digest(weights), architecture(entry))
