"""Resizing to encoder inputs, with a fast Lanczos resampling of grey images for hashes.

Lanczos is computed as two matrix products in single precision, rounded once: half the time of Pillow's for a 32 x 32
result, where BLAS has one thread, as in the decoding processes. The filter and its support are those of Pillow's
Resample.c (Image.Resampling.LANCZOS, three lobes; reduced first as by its `reducing_gap`).
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import BadSetting
from lookalike.types import InputSpec, Pixels

REDUCING_GAP: Final = 4
"""The image is at least so many times larger than the result when the products are computed; beyond twice that it is
reduced by an integer factor first, which bounds the matrices and is faster. As Pillow's `reducing_gap`."""
_LOBES: Final = 3
_SMALL_PRODUCT: Final = 1 << 18
"""Multiplications up to which OpenBLAS uses one thread (interface/gemm.c). A second one takes milliseconds of waiting
where the other cores are busy, for a product of less than 0.1 ms."""
_RESAMPLING: Final = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "box", "bilinear", "bicubic", "lanczos")
}

Weights = NDArray[np.float32]


def resize_to(rgb: Pixels, spec: InputSpec) -> Pixels:
    """The image in the size and mode of an input: Pillow's `convert` and `resize`, exactly or (`approximate`) nearly.

    `rgb` is (height, width, 3), or (height, width) where grey was decoded; the result is (spec.height, spec.width, 3)
    or (spec.height, spec.width). "nearest" equals `load_img(target_size=...)` of Keras, which calls the same.
    Raises BadSetting for a resampling filter that `InputSpec` does not declare.
    """
    resampling = _RESAMPLING.get(spec.resample)
    if resampling is None:
        raise BadSetting(f"unknown resampling filter {spec.resample!r}; available: {', '.join(_RESAMPLING)}")
    approximate = spec.approximate and spec.mode == "L" and spec.resample == "lanczos"
    if approximate and rgb.ndim == 2:
        return lanczos(rgb, spec.width, spec.height)
    image = Image.fromarray(rgb)
    if image.mode != spec.mode:
        image = image.convert(spec.mode)
    if approximate:
        return lanczos(np.asarray(image), spec.width, spec.height)
    return np.asarray(image.resize((spec.width, spec.height), resampling))


def reduce_to(rgb: Pixels, side: int) -> Pixels:
    """`(height, width, 3)` pixels, reduced so that the longer side has at most `side` pixels; never enlarged."""
    height, width = rgb.shape[:2]
    longer = max(height, width)
    if longer <= side:
        return rgb
    size = max(1, round(width * side / longer)), max(1, round(height * side / longer))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def lanczos(grey: Pixels, width: int, height: int) -> Pixels:
    """`(h, w)` uint8 resampled to `(height, width)`, horizontally first, as by Pillow's LANCZOS up to rounding."""
    across, down = (
        max(1, n // (REDUCING_GAP * target)) for n, target in ((grey.shape[1], width), (grey.shape[0], height))
    )
    if across > 1 or down > 1:
        grey = np.asarray(Image.fromarray(grey).reduce((across, down)))
    weights, values = _weights(grey.shape[1], width).T, grey.astype(np.float32)
    step = max(16, _SMALL_PRODUCT // weights.size // 16 * 16)
    rows = np.empty((len(values), width), np.float32)
    for start in range(0, len(values), step):
        np.matmul(values[start : start + step], weights, out=rows[start : start + step])
    _clip(rows)  # here as Pillow does
    levels: Weights = _weights(grey.shape[0], height) @ rows
    _clip(levels)
    resampled: Pixels = np.rint(levels, out=levels).astype(np.uint8)
    return resampled


def _clip(levels: Weights) -> None:
    """Clip to 0..255 in place; `numpy.clip` takes several times as long around so few values."""
    np.maximum(levels, 0, out=levels)
    np.minimum(levels, 255, out=levels)


@lru_cache(maxsize=1024)
def _weights(source: int, target: int) -> Weights:
    """The weights of source pixels in target ones, (target, source): Pillow's windowed sinc filter of three lobes."""
    scale = source / target
    reach = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    x = (np.arange(source)[None, :] + 0.5 - centres[:, None]) / reach
    weights = np.where(np.abs(x) < _LOBES, np.sinc(x) * np.sinc(x / _LOBES), 0.0)
    normalized: Weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalized
