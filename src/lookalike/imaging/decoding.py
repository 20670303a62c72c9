"""Decoding of image files to upright sRGB pixels within limits, or a rejection with its reason."""

import io
import re
import threading
import warnings
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

import numpy as np
from PIL import Image, ImageFile

from lookalike.errors import ImageRejected
from lookalike.imaging import color, containers, formats, jxl, mini_avif, pixel_digest, raw_preview
from lookalike.imaging.exif import SIDEWAYS, orientation
from lookalike.imaging.limits import DEFAULT_LIMITS, Limits
from lookalike.imaging.pixel_digest import bits_per_channel
from lookalike.imaging.plain_jpeg import decode_plain
from lookalike.imaging.recovery import jpeg, png
from lookalike.imaging.recovery.repaired import Repaired
from lookalike.imaging.tiff import decoding_errors
from lookalike.types import Decoded, Pixels

_ORIENTED_FORMATS: Final = frozenset({"TIFF", "HEIF"})
"""Formats whose readers apply the orientation themselves."""
_RECOVERABLE: Final = frozenset({"truncated", "damaged", "unsupported"})
"""Reasons for which a file is repaired, if its format is; the pixels that are too many may be text in a PNG."""
MIN_CONTENT_SHARE: Final = 0.05
"""The least share of a truncated image that must be there for it to be read."""
FILL_TOLERANCE: Final = 2
MAX_DAMAGED_SHARE: Final = 0.02
"""Damaged lines of a compressed TIFF, as a share of its height, up to which it is read, and marked as truncated."""
# Phrases of the readers' messages, as regular expressions
_TOO_LARGE: Final = "decompression bomb|security limit|memory allocation|too large"
_COMPRESSED_METADATA: Final = "max_text_chunk|max_text_memory"
_TRUNCATED: Final = "truncated|end of file|unexpected end|too small|buffer is not large enough|no more images"
_PSD_MODE: Final = r"\((\d+), (16|32)\)"
"""What the reader of PSD says of a color mode and bits that it does not know."""
_BIG_ENDIAN_BIGTIFF: Final = b"MM\0+"
"""Pillow takes it for an ordinary TIFF without any fields."""
_NO_DETAIL: Final = "Generic Error"
_UNSUPPORTED: Final = (
    "unknown pixel mode|unknown data organization|unknown tga|unsupported|not supported|not installed|not configured"
)


@dataclass(frozen=True, slots=True)
class _Request:
    """What to decode: the minimum size of the upright image, luma only, and most pixels to digest (0: none)."""

    limits: Limits
    started: float
    box: tuple[int, int] | None
    grey: bool
    digest_pixels: int

    def check_time(self) -> None:
        self.limits.check_time(self.started)


def decode(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    box: tuple[int, int] | None = None,
    grey: bool = False,
    digest_pixels: int = 0,
) -> Decoded:
    """Decode an image of any accepted format to upright sRGB, its alpha over a background; see `color.to_pixels`.

    `box` is the minimum `(width, height)` of the upright image: a JPEG is then decoded at 1/2, 1/4 or 1/8 where that is
    no smaller; None decodes every pixel. `grey` decodes luma only: that of `rgb` up to rounding, faster for a JPEG.
    `digest_pixels` is the most pixels, over all frames, that are read for the digest of the pixels. A file that ends
    early is decoded as far as it goes, and marked as truncated.

    Raises ImageRejected with a reason: "empty", "not_an_image", "unsupported", "truncated", "damaged", "timeout",
    "too_many_bytes", "too_many_pixels", "too_many_frames" or "too_small".
    """
    request = _Request(limits, monotonic(), box, grey, digest_pixels)
    limits.check_bytes(len(data))
    kind = formats.identify(data)
    if kind == raw_preview.FORMAT:
        return _decode_raw(data, request)
    if kind == "AVIF" and mini_avif.is_mini(data):
        data = mini_avif.rewrite(data) or data
    if kind == "WEBP" and (size := containers.webp_size(data)):
        limits.check_size(*size)
    if kind == "JXL" and (header := jxl.read_header(data)):
        limits.check_size(header.width, header.height)  # its reader decodes when it opens a file
    with quiet:
        if kind == "JPEG" and (plain := _decode_plain(data, request)) is not None:
            return plain
        return _decode_any(data, kind, request)


def _decode_plain(data: bytes, request: _Request) -> Decoded | None:
    """Decode a JPEG the short way; None where Pillow must decode it, as for the digest of its pixels."""
    reduced_only = request.digest_pixels > 0 and not request.grey
    try:
        plain = decode_plain(data, request.box, request.limits, grey=request.grey, reduced_only=reduced_only)
    except ImageRejected:
        raise
    except Exception:  # noqa: BLE001 - damaged files make the reader raise anything; Pillow's is tried next
        return None
    request.check_time()
    return plain


def _decode_any(data: bytes, kind: str, request: _Request) -> Decoded:
    """Decode by the format's reader, or else what can be recovered of the file."""
    try:
        return _decode(data, kind, request)
    except ImageRejected:
        raise
    except Exception as error:  # noqa: BLE001 - damaged files make the readers raise anything, even KeyError
        rejection = _rejection(error, data, kind)
        rejection.__cause__ = error
    request.check_time()
    if rejection.reason not in _RECOVERABLE and not (kind == "PNG" and rejection.reason == "too_many_pixels"):
        raise rejection
    decoded = None
    if kind == "JPEG" and (request.grey or request.box):
        decoded = _decode_otherwise(data, kind, replace(request, box=None), reduced=False)
    decoded = decoded or _decode_repaired(data, kind, request)
    if decoded is None and kind == "TIFF":
        decoded = _decode_otherwise(data, kind, replace(request, digest_pixels=0), reader=formats.open_by_libtiff)
    if decoded is None:
        raise rejection
    return decoded


def _decode_otherwise(
    data: bytes, kind: str, request: _Request, *, reduced: bool = True, reader: formats.Reader | None = None
) -> Decoded | None:
    """Decode in another way; None where that fails too.

    A JPEG may not be decodable at a reduced scale, such as a lossless one, and a TIFF by libtiff alone.
    """
    try:
        return _decode(data, kind, request, reduced=reduced, reader=reader)
    except ImageRejected:
        raise
    except Exception:  # noqa: BLE001 - damaged files make the readers raise anything
        request.check_time()
        return None


def _decode_repaired(data: bytes, kind: str, request: _Request) -> Decoded | None:
    """Decode what can be recovered of a file; None where that is nothing."""
    from lookalike.imaging.recovery.repairs import repairs  # noqa: PLC0415 - few files need any

    try:
        for repaired in repairs(data, kind, request.limits.max_pixels):
            decoded = _decode_one_repair(repaired, kind, request)
            if decoded is not None:
                return decoded
    except ImageRejected:
        raise
    except Exception:  # noqa: BLE001 - damaged headers make the repair itself raise anything
        request.check_time()
    return None


def _decode_one_repair(repaired: Repaired, kind: str, request: _Request) -> Decoded | None:
    if repaired.truncated or repaired.reduced or repaired.animated:  # its pixels are not those of the file
        request = replace(request, digest_pixels=0)
    decoded = _decode_otherwise(repaired.data, kind, request)
    if decoded is None or (repaired.truncated and not _has_content(decoded.rgb)):
        return None
    return replace(decoded, truncated=repaired.truncated or repaired.animated or decoded.truncated)


def _has_content(rgb: Pixels) -> bool:
    """Whether more of a truncated image was read than `MIN_CONTENT_SHARE`; what is missing is filled with one color."""
    filled = np.abs(rgb.astype(np.int16) - rgb[-1, -1]) <= FILL_TOLERANCE
    return float(filled.mean()) < 1 - MIN_CONTENT_SHARE


def _decode_raw(data: bytes, request: _Request) -> Decoded:
    """The largest preview of a camera raw file, with the size of its raw image; it has no digest of its pixels."""
    request = replace(request, digest_pixels=0)
    if (size := raw_preview.raw_size(data)) is not None:
        request.limits.check_size(*size)
    preview, plain = raw_preview.largest_preview(data), raw_preview.plain_preview(data)
    if preview is None and not plain:
        problem = "This is a camera raw file without a preview that can be read"
        raise ImageRejected("unsupported", f"{problem}: export it as JPEG, PNG or TIFF.")
    exif = data if data[:2] in (b"II", b"MM") else None
    transposition = orientation(exif)
    with quiet:
        if preview is None or plain > preview.width * preview.height:
            decoded, turned = _decode_any(data, "TIFF", request), True  # the reader has applied the orientation
        else:
            decoded = _decode_any(data[preview.start :], "JPEG", request)
            turned = orientation(decoded.exif) is not None
    rgb = decoded.rgb
    if transposition is not None and not turned:
        rgb = np.ascontiguousarray(Image.fromarray(rgb).transpose(transposition))
    width, height = (decoded.width, decoded.height) if size is None else size
    if size is not None and transposition in SIDEWAYS:
        width, height = height, width
    return replace(
        decoded, rgb=rgb, width=width, height=height, format=raw_preview.FORMAT, frames=1, exif=exif or decoded.exif
    )


def _decode(
    data: bytes, kind: str, request: _Request, *, reduced: bool = True, reader: formats.Reader | None = None
) -> Decoded:
    limits, grey = request.limits, request.grey
    if kind == "PNG" and png.has_broken_animation(data):
        raise SyntaxError("frames of its animation are missing or out of order")
    file = (reader or formats.READERS[kind])(io.BytesIO(data))
    limits.check_size(*file.size)
    frames = containers.count_frames(file, kind, data, limits.max_frames + 1)
    limits.check_frames(frames)
    request.check_time()
    exif = file.info.get("exif")
    transposition, scale, truncated = None, 1, kind == "GIF" and containers.gif_ends_early(data)
    if kind == "JPEG":
        transposition = orientation(exif)
        width, height = file.size
        scale = _draft(file, request.box, transposition, grey) if reduced else 1
        file.load()
        truncated = jpeg.is_cut(data)
    else:
        if kind == "PNG":
            color.scale_transparency(file)
        if getattr(file, "use_load_libtiff", False):
            truncated = _load_tiff(file)
        else:
            file.load()
        exif = file.info.get("exif")  # a PNG may store it after its pixels
        if kind not in _ORIENTED_FORMATS and not (kind == "JXL" and jxl.is_upright(file)):
            transposition = orientation(exif)
        width, height = file.size  # a HEIC may change its size while loading
        limits.check_size(width, height)
    request.check_time()
    bits = bits_per_channel(file, kind, data)
    image: Image.Image = file
    if transposition is not None:
        image = file.transpose(transposition)
        file.close()  # frees the untransposed pixels
    if transposition in SIDEWAYS:
        width, height = height, width
    flattened = color.to_pixels(image, grey=grey)
    request.check_time()
    pixels = None
    if request.digest_pixels and scale == 1 and not grey and not truncated:
        opened = pixel_digest.Opened(data, kind, image, frames, transposition, bits, request.check_time)
        try:
            pixels = pixel_digest.digest_pixels(opened, flattened, request.digest_pixels)
        except ImageRejected:
            raise
        except Exception:  # noqa: BLE001 - a later frame is damaged
            truncated = True
    return Decoded(
        rgb=flattened.pixels,
        width=width,
        height=height,
        format=kind,
        scale=scale,
        frames=frames,
        alpha=flattened.alpha,
        background=flattened.background,
        pixels=pixels,
        truncated=truncated,
        exif=data if kind == "TIFF" else exif,
    )


def _load_tiff(file: ImageFile.ImageFile) -> bool:
    """Load a compressed TIFF, and return whether lines of it are damaged; raises ImageRejected where most may be."""
    errors: list[str] = []
    try:
        with decoding_errors() as errors:
            file.load()
    except OSError as error:  # a number, and libtiff's messages say more
        raise OSError(errors[0] if errors else str(error)) from error
    if len(errors) > MAX_DAMAGED_SHARE * file.height:
        remedy = "use another copy, or save it again."
        raise ImageRejected("damaged", f"This TIFF file is damaged ({errors[0]} and {len(errors)} in all): {remedy}")
    return bool(errors)


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
    detail = "big-endian BigTIFF is not supported" if data.startswith(_BIG_ENDIAN_BIGTIFF) else _detail(error)
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


def _detail(error: Exception) -> str:
    """The reader's message in one line, without advice to its developers."""
    first = re.split(r"\n|(?<=\.) Please build ", str(error).strip())[0].strip().rstrip(".")
    if unknown := re.fullmatch(_PSD_MODE, first):
        return f"color mode {unknown[1]} of {unknown[2]} bits is not supported"
    return "its reader says no more" if first == _NO_DETAIL else first or type(error).__name__


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


quiet = _Quiet()
"""Around all decoding; also around the loop of a process that does nothing else, where each image then costs less."""
