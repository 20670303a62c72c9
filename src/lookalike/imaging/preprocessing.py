"""Preprocessing: from the bytes of a file to the inputs of encoders and the catalog's record, in one decoding."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, Final

from lookalike.errors import ImageRejected
from lookalike.imaging.backgrounds import is_on_flat_background, other_backgrounds, replaced_backgrounds
from lookalike.imaging.borders import crop_border, find_border
from lookalike.imaging.decoding import decode
from lookalike.imaging.exif import exif_fields
from lookalike.imaging.limits import DEFAULT_LIMITS, Limits, read_bytes
from lookalike.imaging.pixel_digest import MAX_EAGER_PIXELS
from lookalike.imaging.raw_preview import FORMAT as RAW
from lookalike.imaging.resizing import reduce_to, resize_to
from lookalike.imaging.thumbnails import thumbnail_of
from lookalike.types import UNCUT, Border, Decoded, InputSpec, Pixels, Prepared

if TYPE_CHECKING:
    from lookalike.imaging.decode_pool.worker import Reply, Request

MIN_BORDER_SIDE: Final = 128
"""The smaller side, in pixels, from which a reduced image shows its border precisely enough."""

_JPEG: Final = b"\xff\xd8\xff"


def read_and_prepare(request: "Request", inputs: Sequence[InputSpec], limits: Limits) -> "Reply":
    """Read and prepare one image, in this process or a worker; one with the known digest is not decoded."""
    path, data, known, options = request
    try:
        if data is None:
            data = read_bytes(path or "", limits)
        if known is not None and hashlib.sha256(data).digest() == known:
            return known, len(data)
        return prepare(data, inputs, limits=limits, **options)
    except ImageRejected as error:
        return error
    except MemoryError:
        problem = f"Decoding this image takes more than the limit of {limits.max_memory:,} bytes of memory"
        return ImageRejected("too_many_pixels", f"{problem}: save it smaller, or raise max_memory.")


def prepare(
    data: bytes,
    inputs: Sequence[InputSpec],
    *,
    limits: Limits = DEFAULT_LIMITS,
    want_pixels: bool = False,
    thumbnail_side: int = 0,
    reduced_side: int = 0,
    reduced_required: bool = False,
    reduced_apart: bool = False,
    variants: bool = False,
) -> Prepared:
    """Decode an image once, cut its border, and resize it to every input; raises ImageRejected as `decode` does.

    A JPEG is decoded at the smallest scale that the most demanding input allows. Where that shows a border, it is
    decoded again, large enough to measure the border and to serve the inputs after cropping; the Border is in
    full-size pixels, exact to the scale of that decode. `want_pixels` decodes every pixel, of every frame, for the
    digest of the pixels; without it, that is computed where it costs little. `thumbnail_side`, unless 0, is the longer
    side, in pixels, of a color thumbnail of the uncropped image. `reduced_side`, unless 0, is that of its reduced RGB
    pixels (never enlarged). Unless `reduced_required`, they are made only where the decoding for the inputs is in color
    and large enough, so that the inputs do not depend on them; with `reduced_apart` the image is decoded again for them
    otherwise. `variants` adds further inputs of a query. The border of
    a transparent image is part of it.
    """
    sha256 = hashlib.sha256(data).digest()  # first: decoding drives the bytes, which were just read, out of the cache
    needed_side = reduced_side if reduced_required else 0
    min_size = None if want_pixels else _min_size(tuple(inputs), max(thumbnail_side, needed_side, 1))
    all_grey = not (thumbnail_side or needed_side) and all(spec.mode == "L" for spec in inputs)
    grey = min_size is not None and data.startswith(_JPEG) and all_grey
    digest_pixels = limits.max_pixels if want_pixels else MAX_EAGER_PIXELS
    decoded = decode(data, limits=limits, box=min_size, grey=grey, digest_pixels=digest_pixels)
    border = find_border(decoded.rgb) if decoded.alpha is None else UNCUT
    if border and min_size is not None:
        decoded, border = _decode_for_border(data, decoded, border, min_size, limits)
    content = crop_border(decoded.rgb, border)
    reduced = _reduced(decoded, reduced_side) if reduced_side else None
    if reduced is None and reduced_apart:
        reduced = reduce_to(decode(data, limits=limits, box=(reduced_side, 1)).rgb, reduced_side)
    return Prepared(
        sha256=sha256,
        pixels=decoded.pixels,
        nbytes=len(data),
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
        border=_full_size(border, decoded),
        inputs=tuple(resize_to(content, spec) for spec in inputs),
        thumbnail=thumbnail_of(decoded.rgb, thumbnail_side) if thumbnail_side else None,
        reduced=reduced,
        frames=decoded.frames,
        truncated=decoded.truncated,
        exif=exif_fields(decoded.exif),
        transparent=decoded.alpha is not None,
        variants=tuple(_variants(decoded, border, inputs)) if variants else (),
    )


def _variants(decoded: Decoded, border: Border, inputs: Sequence[InputSpec]) -> Iterator[tuple[Pixels, ...]]:
    """Inputs that may be those of a stored copy: over other backgrounds, with a border that is cut or not.

    A flat margin around a drawing is taken for a border at one size and not at another; so a query that has one is
    searched for in both forms.
    """
    whole = decoded.rgb
    if decoded.alpha is None:
        contents = replaced_backgrounds(crop_border(whole, border), whole)
        if border and is_on_flat_background(whole):
            contents = chain(contents, [whole], replaced_backgrounds(whole, whole))
    else:
        contents = other_backgrounds(whole, decoded.alpha, decoded.background)
        if margin := find_border(whole):
            cut, alpha = crop_border(whole, margin), crop_border(decoded.alpha, margin)
            contents = chain(contents, [cut], other_backgrounds(cut, alpha, decoded.background))
    for content in contents:
        yield tuple(resize_to(content, spec) for spec in inputs)


@lru_cache(maxsize=32)
def _min_size(inputs: tuple[InputSpec, ...], min_width: int) -> tuple[int, int] | None:
    """The minimum width and height that serve every input; None where one needs every pixel."""
    if any(spec.full_decode for spec in inputs):
        return None
    return (
        max([min_width, *(ceil(spec.width * spec.oversample) for spec in inputs)]),
        max((ceil(spec.height * spec.oversample) for spec in inputs), default=1),
    )


def _decode_for_border(
    data: bytes, decoded: Decoded, border: Border, min_size: tuple[int, int], limits: Limits
) -> tuple[Decoded, Border]:
    """Decode again until the border is measured precisely and the cropped image is large enough for the inputs."""
    grey = decoded.rgb.ndim == 2
    while border and decoded.scale > 1:
        previous = decoded
        height, width = crop_border(decoded.rgb, border).shape[:2]
        if min(decoded.rgb.shape[:2]) >= MIN_BORDER_SIDE and width >= min_size[0] and height >= min_size[1]:
            break
        box_width = max(MIN_BORDER_SIDE, ceil(min_size[0] * decoded.rgb.shape[1] / width))
        box_height = max(MIN_BORDER_SIDE, ceil(min_size[1] * decoded.rgb.shape[0] / height))
        box = (box_width, box_height)
        decoded = decode(data, limits=limits, box=box, grey=grey, digest_pixels=MAX_EAGER_PIXELS)
        border = find_border(decoded.rgb)
        if decoded.scale in (1, previous.scale):
            break
    return decoded, border


def _reduced(decoded: Decoded, side: int) -> Pixels | None:
    """Reduced RGB pixels; None if only luma was decoded, or at too small a scale."""
    large_enough = decoded.scale == 1 or max(decoded.rgb.shape[:2]) >= side
    return reduce_to(decoded.rgb, side) if large_enough and decoded.rgb.ndim == 3 else None


def _full_size(border: Border, decoded: Decoded) -> Border:
    """A border measured at 1/scale, in pixels of the file; the last line may represent fewer than `scale` of them."""
    if border and decoded.format == RAW:  # measured in the preview
        across, down = (decoded.width / decoded.rgb.shape[1], decoded.height / decoded.rgb.shape[0])
        sides = (border.left * across, border.top * down, border.right * across, border.bottom * down)
        return Border(*(round(side) for side in sides))
    if not border or decoded.scale == 1:
        return border
    scale = decoded.scale
    height, width = decoded.rgb.shape[:2]
    right = max(decoded.width - (width - border.right) * scale, 0)
    bottom = max(decoded.height - (height - border.bottom) * scale, 0)
    return Border(border.left * scale, border.top * scale, right, bottom)
