"""The network runtime: encoders run by OpenVINO, in the precision that the processor supports."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from lookalike.cpu import is_bf16_faster_than_fp32
from lookalike.encoders.model_config import PRECISIONS, Precision
from lookalike.errors import BadInput, BadSetting, Damaged
from lookalike.imaging.flatness import has_content
from lookalike.types import Encoded, EncodedViews, FeatureSpec, InputSpec, Pixels

BATCH_SIZE = 8
"""Images in one inference. Larger batches were no faster on 2 cores and take 50 MB of activations an image."""
_HINT: Mapping[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""The precision of layers that are not quantised; in int8, the quantised ones have their own types."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network `(n, height, width, 3) uint8 RGB -> (n, d) float32`.

    `model` is an `openvino.Model`; `weights` the digest of its weights; `architecture` describes everything else that
    determines its output; `batch` is its fixed batch size, None for any.
    """

    model: Any
    weights: str
    architecture: str
    batch: int | None = None


def has_bf16() -> bool:
    """Whether bfloat16 is native here (AVX512_BF16, AMX_BF16): then it is OpenVINO's default, elsewhere emulated."""
    return str(ov.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")).find("bfloat16") >= 0


def choose_precision(requested: Precision | Literal["auto"], *, bf16_agrees: bool) -> Precision:
    """The precision to compute in ("auto": bf16 where it is native, faster, and agrees); BadSetting if impossible."""
    if requested == "auto":
        return "bf16" if bf16_agrees and has_bf16() and is_bf16_faster_than_fp32() else "fp32"
    if requested not in PRECISIONS:
        raise BadSetting(f"precision must be auto, {', '.join(PRECISIONS)}, not {requested!r}")
    if requested == "bf16" and not has_bf16():
        raise BadSetting(
            "this processor does not support bfloat16 (AVX512_BF16 or AMX_BF16): choose fp32, int8 or auto"
        )
    return requested


class OpenVinoEncoder:
    """An encoder around a network `(n, height, width, 3) uint8 -> (n, d) float32`. Thread-safe.

    With `cosine`, rows are unit vectors (where `normalise`), float32; with `hamming`, the packed signs of the outputs.
    A row of zeros, or with NaN, is not usable, nor is that of a flat image.
    """

    def __init__(
        self,
        network: Network,
        spec: FeatureSpec,
        input_spec: InputSpec,
        precision: Precision,
        *,
        normalise: bool = True,
        as_written: bool = False,
        threads: int | None = None,
    ) -> None:
        """`threads` limits the cores used (None: all); for `as_written` see `ModelEntry`.

        The network is compiled when it first encodes: a gallery's state can be shown without.
        """
        self._spec, self._input, self._precision = spec, input_spec, precision
        self._normalise, self._batch = normalise, network.batch or BATCH_SIZE
        # LATENCY gives every core to one batch. With a dynamic batch, compiling takes 0.1 s and
        # a cache of compiled networks would gain nothing.
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _HINT[precision]}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        if as_written:
            settings["LP_TRANSFORMS_MODE"] = False
        self._network, self._settings = network.model, settings
        self._compiled: Any = None
        self._idle_requests: deque[Any] = deque()
        self._create_lock = threading.Lock()

    @property
    def spec(self) -> FeatureSpec:
        return self._spec

    @property
    def input(self) -> InputSpec:
        return self._input

    @property
    def precision(self) -> Precision:
        return self._precision

    def raw(self, images: Pixels) -> NDArray[np.float32]:
        """The network's own output `(n, d)` float32, before normalisation; raises BadInput for another shape."""
        shape = (self._input.height, self._input.width, 3)
        if images.ndim != 4 or images.shape[1:] != shape or images.dtype != np.uint8:
            expected = f"(n, {shape[0]}, {shape[1]}, 3) uint8"
            raise BadInput(f"{self._spec.name} takes {expected}, not {images.shape} {images.dtype}")
        if not len(images):
            return np.empty((0, self._outputs), np.float32)
        request = self._acquire_request()
        try:
            batches = (images[at : at + self._batch] for at in range(0, len(images), self._batch))
            parts = [np.array(request.infer([np.ascontiguousarray(b)])[0], dtype=np.float32) for b in batches]
        finally:
            self._idle_requests.append(request)
        rows = np.concatenate(parts)
        if rows.shape != (len(images), self._outputs):
            promised = f"(n, {self._outputs})"
            raise BadSetting(f"{self._spec.name}: the network gives {rows.shape}, the entry promises {promised}")
        return rows

    def encode(self, images: Pixels) -> Encoded:
        """Features of `(n, height, width, 3)` uint8 RGB images, any n; they are split into batches.

        Flat images (`imaging.flatness`) are not usable, and never reach the network.
        """
        seen = has_content(images) if images.ndim == 4 else np.ones(len(images), np.bool_)
        rows = np.zeros((len(images), self._outputs), np.float32)
        rows[seen] = self.raw(images[seen])
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        usable = np.isfinite(norms) & (norms > 0)
        if self._spec.metric == "hamming":
            return Encoded(np.packbits(rows > 0, axis=1), usable.astype(np.float32), usable)
        divisor = np.where(usable, norms, 1.0) if self._normalise else np.ones(len(rows))
        features = np.where(usable[:, None], rows / divisor[:, None], 0.0).astype(np.float32)
        return Encoded(features, usable.astype(np.float32), usable)

    def encode_views(self, images: Pixels) -> EncodedViews:
        encoded = self.encode(images)
        return EncodedViews(encoded.features[:, None, :], encoded.usable)

    @property
    def _outputs(self) -> int:
        return self._spec.width * (8 if self._spec.metric == "hamming" else 1)

    def _acquire_request(self) -> Any:
        """An inference request for this thread; they are pooled, so there are as many as concurrent threads."""
        try:
            return self._idle_requests.pop()
        except IndexError:
            with self._create_lock:
                if self._compiled is None:
                    self._compiled = ov.Core().compile_model(self._network, "CPU", self._settings)
                    self._network = None
                return self._compiled.create_infer_request()


def read_network(source: bytes | Path, description: str) -> ov.Model:
    """A network from ONNX bytes or a file (ONNX, or OpenVINO's own .xml); raises Damaged where it cannot be read."""
    try:
        return ov.Core().read_model(source)
    except RuntimeError as error:
        raise Damaged(f"{description}: not an ONNX or OpenVINO file that can be read: {last_line(error)}") from error


def last_line(error: Exception) -> str:
    """The last line of OpenVINO's message, which names the reason; those before name places in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason given"
