"""Decoding of image files to upright sRGB pixels within limits, or a rejection with its reason."""

import io
import re
import threading
import warnings
from time import monotonic
from typing import Final

from PIL import Image, ImageFile

from lookalike.errors import ImageRejected
from lookalike.imaging import color, containers, formats
from lookalike.imaging.containers import SIDEWAYS, orientation
from lookalike.imaging.jpeg_luma import decode_luma
from lookalike.imaging.limits import DEFAULT_LIMITS, Limits
from lookalike.types import Decoded

_ORIENTED_FORMATS: Final = frozenset({"TIFF", "HEIF"})
"""Formats whose readers apply the orientation themselves."""
# Phrases of the readers' messages, as regular expressions
_TOO_LARGE: Final = "decompression bomb|security limit|memory allocation|too large"
_COMPRESSED_METADATA: Final = "max_text_chunk|max_text_memory"
_TRUNCATED: Final = "truncated|end of file|unexpected end|too small|buffer is not large enough|no more images"
_UNSUPPORTED: Final = "unknown pixel mode|unknown data organization|unsupported|not supported|not installed"


def decode(
    data: bytes, *, limits: Limits = DEFAULT_LIMITS, box: tuple[int, int] | None = None, grey: bool = False
) -> Decoded:
    """Decode an image of any accepted format to upright sRGB, its alpha over white; see `color.to_pixels`.

    `box` is the minimum `(width, height)` of the upright image: a JPEG is then decoded at 1/2, 1/4 or 1/8 where that is
    no smaller; None decodes every pixel. `grey` decodes luma only: that of `rgb` up to rounding, faster for a JPEG.

    Raises ImageRejected with a reason: "empty", "not_an_image", "unsupported", "truncated", "damaged", "timeout",
    "too_many_bytes", "too_many_pixels", "too_many_frames" or "too_small".
    """
    started = monotonic()
    limits.check_bytes(len(data))
    kind = formats.identify(data)
    if kind == "WEBP" and (size := containers.webp_size(data)):
        limits.check_size(*size)
    try:
        with _quiet:
            if kind == "JPEG" and grey and (plain := decode_luma(data, box, limits)) is not None:
                limits.check_time(started)
                return plain
            return _decode(data, kind, limits, started, box, grey)
    except ImageRejected:
        raise
    except Exception as error:  # damaged files make the readers raise anything, even KeyError
        raise _rejection(error, data, kind) from error


def _decode(data: bytes, kind: str, limits: Limits, started: float, box: tuple[int, int] | None, grey: bool) -> Decoded:
    file = formats.READERS[kind](io.BytesIO(data))
    limits.check_size(*file.size)
    frames = containers.count_frames(file, kind, data, limits.max_frames + 1)
    limits.check_frames(frames)
    limits.check_time(started)
    transposition, scale = None, 1
    if kind == "JPEG":
        transposition = orientation(file.info.get("exif"))
        width, height = file.size
        scale = _draft(file, box, transposition, grey)
        file.load()
    else:
        if kind == "PNG":
            color.scale_transparency(file)
        file.load()
        if kind not in _ORIENTED_FORMATS:
            transposition = orientation(file.info.get("exif"))  # a PNG may store it after its pixels
        width, height = file.size  # a HEIC may change its size while loading
        limits.check_size(width, height)
    limits.check_time(started)
    image: Image.Image = file
    if transposition is not None:
        image = file.transpose(transposition)
        file.close()  # frees the untransposed pixels
    if transposition in SIDEWAYS:
        width, height = height, width
    rgb = color.to_pixels(image, grey=grey)
    limits.check_time(started)
    return Decoded(rgb, width, height, kind, scale, frames)


def _draft(
    file: ImageFile.ImageFile, box: tuple[int, int] | None, transposition: Image.Transpose | None, grey: bool
) -> int:
    """Configure libjpeg for a reduced scale that still covers the box, and for luma only; returns the scale."""
    luma_only = grey and file.mode == "RGB" and not color.changes_colors(file.info.get("icc_profile"), "RGB")
    if luma_only:
        file.info.pop("icc_profile", None)
    elif box is None:
        return 1
    target = box or file.size
    if transposition in SIDEWAYS and box is not None:
        target = (box[1], box[0])
    full = file.width
    drafted = file.draft("L" if luma_only else None, (max(target[0], 1), max(target[1], 1)))
    return 1 if drafted is None else round(full / drafted[1][2])


def _rejection(error: Exception, data: bytes, kind: str) -> ImageRejected:
    name = "HEIC" if kind == "HEIF" else kind
    detail = str(error).strip() or type(error).__name__
    lowered = detail.lower()
    if re.search(_COMPRESSED_METADATA, lowered):
        text = f"The metadata of this {name} file decompresses to a huge size ({detail}): save it without metadata."
        return ImageRejected("damaged", text)
    if isinstance(error, MemoryError | Image.DecompressionBombError) or re.search(_TOO_LARGE, lowered):
        text = f"This {name} file decompresses to more than its reader allows ({detail}): save it smaller."
        return ImageRejected("too_many_pixels", text)
    if re.search(_TRUNCATED, lowered) or containers.ends_early(data, kind):
        text = f"This {name} file ends before the image does ({detail}): copy or download it again."
        return ImageRejected("truncated", text)
    if re.search(_UNSUPPORTED, lowered):
        text = f"This variant of {name} is not supported ({detail}): save it as a plain JPEG or PNG."
        return ImageRejected("unsupported", text)
    return ImageRejected("damaged", f"This {name} file is damaged ({detail}): use another copy, or save it again.")


class _Quiet:
    """Suppresses Python warnings while any thread is decoding; `warnings.catch_warnings` alone is not thread-safe.

    Pillow warns of unusual metadata, which under `-W error` would reject good images.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._saved is None:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._saved is not None:
                self._saved.__exit__(None, None, None)
                self._saved = None


_quiet = _Quiet()
