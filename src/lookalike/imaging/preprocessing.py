"""From the bytes of a file to what encoders and the catalog need of it, with as little decoding as will do."""

import hashlib
import struct
from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Final

import numpy as np
from PIL import Image

from lookalike.imaging.borders import cut, find_border
from lookalike.imaging.decoding import decode
from lookalike.imaging.limits import DEFAULT_LIMITS, Limits
from lookalike.imaging.resizing import lanczos
from lookalike.imaging.thumbnails import thumbnail_of
from lookalike.types import Border, Decoded, InputSpec, Pixels, Prepared

PRECISE: Final = 128
"""Pixels of the smaller side from which on a reduced image tells its frame well enough."""

_RESAMPLE: Final = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_JPEG: Final = b"\xff\xd8\xff"


def prepare(
    data: bytes,
    inputs: Sequence[InputSpec],
    *,
    limits: Limits = DEFAULT_LIMITS,
    want_pixels: bool = False,
    thumbnail_side: int = 0,
) -> Prepared:
    """Decode an image once, cut its border, and resize it to every input.

    A JPEG is decoded at the smallest scale that the most demanding input allows. Where that shows a border, it is
    decoded again, large enough to measure the border and to keep what the inputs need of the rest; the Border is in
    full-size pixels, exact to the scale of that decode. `want_pixels` has every pixel decoded, for the digest of the
    pixels: SHA-256 over width and height (little-endian uint32) and the RGB values, before anything is cut.
    `thumbnail_side`, where it is not 0, has a small image made of the same decoding, before anything is cut, its
    longer side so many pixels; a JPEG is then decoded in colour, and large enough for it.

    Raises ImageRejected as `decode` does.
    """
    box = None if want_pixels else _box(tuple(inputs), max(thumbnail_side, 1))
    colourless = not thumbnail_side and all(spec.mode == "L" for spec in inputs)
    grey = box is not None and data.startswith(_JPEG) and colourless
    decoded = decode(data, limits=limits, box=box, grey=grey)
    border = find_border(decoded.rgb)
    if border and box is not None:
        decoded, border = _measure(data, decoded, border, box, limits)
    rest = cut(decoded.rgb, border)
    return Prepared(
        sha256=hashlib.sha256(data).digest(),
        pixels=_digest(decoded) if decoded.scale == 1 and decoded.rgb.ndim == 3 else None,
        nbytes=len(data),
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
        border=_full_size(border, decoded),
        inputs=tuple(resize_to(rest, spec) for spec in inputs),
        thumbnail=thumbnail_of(decoded.rgb, thumbnail_side) if thumbnail_side else None,
    )


def resize_to(rgb: Pixels, spec: InputSpec) -> Pixels:
    """The image in the size and mode of an input: what Pillow's `convert` and then `resize` give, exactly or nearly.

    `rgb` is (height, width, 3), or (height, width) where grey was decoded; the result is (spec.height, spec.width, 3)
    or (spec.height, spec.width). "nearest" equals `load_img(target_size=...)` of Keras, which calls the same.
    """
    quick = spec.approximate and spec.mode == "L" and spec.resample == "lanczos"
    if quick and rgb.ndim == 2:
        return lanczos(rgb, spec.width, spec.height)
    image = Image.fromarray(rgb)
    if image.mode != spec.mode:
        image = image.convert(spec.mode)
    if quick:
        return lanczos(np.asarray(image), spec.width, spec.height)
    return np.asarray(image.resize((spec.width, spec.height), _RESAMPLE[spec.resample]))


@lru_cache(maxsize=32)
def _box(inputs: tuple[InputSpec, ...], least_width: int) -> tuple[int, int] | None:
    """The least width and height that serve every input; None where one wants every pixel."""
    if any(spec.full_decode for spec in inputs):
        return None
    return (
        max([least_width, *(ceil(spec.width * spec.oversample) for spec in inputs)]),
        max((ceil(spec.height * spec.oversample) for spec in inputs), default=1),
    )


def _measure(
    data: bytes, decoded: Decoded, border: Border, box: tuple[int, int], limits: Limits
) -> tuple[Decoded, Border]:
    """Decode again until the border is measured well, and what it leaves is as large as the inputs want it."""
    grey = decoded.rgb.ndim == 2
    while border and not _serves(decoded, border, box):
        before = decoded
        height, width = cut(decoded.rgb, border).shape[:2]
        decoded = decode(
            data,
            limits=limits,
            box=(
                max(PRECISE, ceil(box[0] * decoded.rgb.shape[1] / width)),
                max(PRECISE, ceil(box[1] * decoded.rgb.shape[0] / height)),
            ),
            grey=grey,
        )
        border = find_border(decoded.rgb)
        if decoded.scale in (1, before.scale):
            break
    return decoded, border


def _serves(decoded: Decoded, border: Border, box: tuple[int, int]) -> bool:
    if decoded.scale == 1:
        return True
    height, width = cut(decoded.rgb, border).shape[:2]
    return bool(min(decoded.rgb.shape[:2]) >= PRECISE and width >= box[0] and height >= box[1])


def _full_size(border: Border, decoded: Decoded) -> Border:
    """A border measured at 1/scale, in the pixels of the file; a last line may stand for less than `scale` of them."""
    if not border or decoded.scale == 1:
        return border
    scale = decoded.scale
    height, width = decoded.rgb.shape[:2]
    return Border(
        left=border.left * scale,
        top=border.top * scale,
        right=max(decoded.width - (width - border.right) * scale, 0),
        bottom=max(decoded.height - (height - border.bottom) * scale, 0),
    )


def _digest(decoded: Decoded) -> bytes:
    digest = hashlib.sha256(struct.pack("<II", decoded.width, decoded.height))
    digest.update(np.ascontiguousarray(decoded.rgb).data)
    return digest.digest()
