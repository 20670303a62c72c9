"""Local features: XFeat, built as an OpenVINO graph from weights that are part of the package.

G. Potje, F. Cadar, A. Araujo, R. Martins, E. R. Nascimento, "XFeat: Accelerated Features for Lightweight Image
Matching", CVPR 2024; Apache-2.0. xfeat.npz is made by scripts/convert_xfeat.py; NOTICE has the licence.
"""

import hashlib
import io
import threading
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lookalike import optional
from lookalike.cpu import usable_cores
from lookalike.errors import BadSetting, Damaged
from lookalike.types import Pixels
from lookalike.verification.raster import opencv, shrink

WEIGHTS: Final = "xfeat.npz"
WEIGHTS_SHA256: Final = "de9cfdf219118686b74df85f4ba28cdbeeb5b0c4d9730a99d2a8c28285da8d82"
MAX_SIDE: Final = 384
"""Pixels of the longer side of the network's input; sides are multiples of 32."""
MAX_POINTS: Final = 400
_PURPOSE: Final = "verification by local features"
MIN_HEAT: Final = 0.05
"""Probability of a keypoint below which a maximum is not one, as published."""


@dataclass(frozen=True, slots=True)
class LocalFeatures:
    """Keypoints (n, 2) in relative coordinates, the strongest first, and their unit descriptors (n, 64) float32.

    With `signs_only` descriptors are signs, scaled to unit length.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    signs_only: bool = False


class _Network:
    """The compiled graph and its idle inference requests."""

    def __init__(self) -> None:
        import openvino as ov  # noqa: PLC0415 - optional

        cores = usable_cores()
        settings = {"NUM_STREAMS": cores, "INFERENCE_NUM_THREADS": cores, "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = ov.Core().compile_model(build(load_weights()), "CPU", settings)
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def infer(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Keypoint heat (h, w), reliability (h/8, w/8) and unit descriptors (64, h/8, w/8) of a grey image (h, w)."""
        with self._lock:
            request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        try:
            found = request.infer([image[None, None]])
            heat, reliability, descriptors = (np.array(found[at][0]) for at in range(3))
        finally:
            with self._lock:
                self._idle.append(request)
        return heat[0], reliability[0], descriptors


def available() -> bool:
    """Whether local features can be computed: the packages of the extra [verify] are installed."""
    return opencv() is not None and find_spec("openvino") is not None


def require() -> None:
    """Raise BadSetting, naming the extra and its install command, where local features cannot be computed."""
    optional.require("openvino", purpose=_PURPOSE)
    if opencv() is None:
        optional.require("cv2", purpose=_PURPOSE)
        raise BadSetting(f"{_PURPOSE} needs OpenCV, which was installed after this process started: start it again")


@cache
def _network() -> _Network:
    require()
    return _Network()


def load_weights() -> dict[str, NDArray[np.float32]]:
    """The weights of the package; raises Damaged where the file is altered."""
    data = resources.files("lookalike.verification").joinpath(WEIGHTS).read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise Damaged(f"{WEIGHTS} does not match its digest: reinstall lookalike")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name].astype(np.float32) for name in archive.files}


def build(weights: dict[str, NDArray[np.float32]]) -> Any:
    """The network, for a grey image (1, 1, h, w) float32 of any size in multiples of 32."""
    import openvino as ov  # noqa: PLC0415 - optional
    from openvino import opset13 as ops  # noqa: PLC0415

    def conv(x: Any, name: str, stride: int = 1, *, relu: bool = True) -> Any:
        kernel = weights[f"{name}.kernel"]
        pad = [kernel.shape[2] // 2] * 2
        y = ops.convolution(x, ops.constant(kernel), [stride, stride], pad, pad, [1, 1])
        y = ops.add(y, ops.constant(weights[f"{name}.bias"].reshape(1, -1, 1, 1)))
        return ops.relu(y) if relu else y

    def block(x: Any, name: str, *strides: int) -> Any:
        for at, stride in enumerate(strides):
            x = conv(x, f"{name}.{at}.layer.0", stride)
        return x

    def resized_like(x: Any, like: Any) -> Any:
        size = ops.gather(ops.shape_of(like), np.array([2, 3]), np.array(0))
        return ops.interpolate(x, size, "linear_onnx", "sizes", axes=np.array([2, 3], np.int64))

    image = ops.parameter([1, 1, -1, -1], np.float32, name="luma")
    x = ops.mvn(image, np.array([2, 3], np.int64), True, 1e-5, "inside_sqrt")
    skip = conv(ops.avg_pool(x, [4, 4], [0, 0], [0, 0], [4, 4], False), "skip1.1", relu=False)
    x2 = block(ops.add(block(x, "block1", 1, 2, 1, 2), skip), "block2", 1, 1)
    x3 = block(x2, "block3", 2, 1, 1)
    x4 = block(x3, "block4", 2, 1, 1)
    x5 = block(x4, "block5", 2, 1, 1, 1)
    fused = block(ops.add(ops.add(x3, resized_like(x4, x3)), resized_like(x5, x3)), "block_fusion", 1, 1)
    descriptors = conv(fused, "block_fusion.2", relu=False)
    reliability = ops.sigmoid(conv(block(descriptors, "heatmap_head", 1, 1), "heatmap_head.2", relu=False))
    cells = block(ops.space_to_depth(x, "depth_first", 8), "keypoint_head", 1, 1, 1)
    cells = ops.softmax(conv(cells, "keypoint_head.3", relu=False), 1)
    kept = ops.slice(cells, np.array([0]), np.array([64]), np.array([1]), np.array([1]))
    heat = ops.depth_to_space(kept, "depth_first", 8)
    peak = ops.equal(heat, ops.max_pool(heat, [1, 1], [1, 1], [2, 2], [2, 2], [5, 5]).output(0))
    heat = ops.multiply(heat, ops.convert(peak, "f32"))
    unit = ops.normalize_l2(descriptors, np.array([1], np.int64), 1e-12, "max")
    return ov.Model([ops.result(heat), ops.result(reliability), ops.result(unit)], [image], "xfeat")


def extract(luma: Pixels, max_side: int = MAX_SIDE, max_points: int = MAX_POINTS) -> LocalFeatures:
    """Local features of a grey image (h, w) uint8, the strongest `max_points`; raises BadSetting without the extra."""
    height, width = luma.shape
    factor = max_side / max(height, width)
    size = tuple(max(32, round(side * factor / 32) * 32) for side in (width, height))
    heat, reliability, maps = _network().infer(shrink(luma, *size).astype(np.float32))
    y, x = np.nonzero(heat > MIN_HEAT)
    scores = heat[y, x] * _bilinear(reliability[None], x, y)[:, 0]
    strongest = np.argsort(-scores, kind="stable")[:max_points]
    x, y = x[strongest], y[strongest]
    descriptors = _bilinear(maps, x, y)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True) + np.float32(1e-9)
    points = np.stack([(x + 0.5) / size[0], (y + 0.5) / size[1]], axis=1).astype(np.float32)
    return LocalFeatures(points, descriptors)


def _bilinear(maps: NDArray[np.float32], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float32]:
    """Values (n, channels) of maps (channels, h, w) of an eighth of the size, at pixels x, y of the full size."""
    height, width = maps.shape[1:]
    at_x = np.clip((x + 0.5) / 8 - 0.5, 0, width - 1).astype(np.float32)
    at_y = np.clip((y + 0.5) / 8 - 0.5, 0, height - 1).astype(np.float32)
    left, top = np.minimum(at_x.astype(np.intp), width - 2), np.minimum(at_y.astype(np.intp), height - 2)
    along, down = at_x - left, at_y - top
    upper = maps[:, top, left] * (1 - along) + maps[:, top, left + 1] * along
    lower = maps[:, top + 1, left] * (1 - along) + maps[:, top + 1, left + 1] * along
    return np.ascontiguousarray((upper * (1 - down) + lower * down).T)
