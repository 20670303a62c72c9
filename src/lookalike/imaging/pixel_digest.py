"""Digest of all that an image shows: colors, alpha, bit depth, frames and pages.

That of an opaque image of 8 bits and one frame is SHA-256 over its width and height (little-endian uint32) and its RGB
values. Any other image has a prefix of its own before what it shows, so that the two never agree.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image, ImageFile

from lookalike.imaging import color, formats, jxl
from lookalike.types import Pixels

PREFIX: Final = b"lookalike pixels 2\0"
MAX_EAGER_PIXELS: Final = 32_000_000
"""Pixels, over all frames, that are read for the digest of an image that is added; about half a second for a GIF."""

_UNREADABLE_FRAMES: Final = frozenset({"ICO"})
"""Formats of which only the largest image is read."""
_LOW_BYTES: Final = {
    "RGB;16B": ("RGB", "RGB;16L"),
    "RGB;16L": ("RGB", "RGB;16B"),
    "RGB;16N": ("RGB", "RGB;16B"),
    "RGBA;16B": ("RGBA", "RGBA;16L"),
    "RGBA;16L": ("RGBA", "RGBA;16B"),
    "RGBA;16N": ("RGBA", "RGBA;16B"),
    "RGBX;16L": ("RGBX", "RGBX;16B"),
    "RGBX;16B": ("RGBX", "RGBX;16L"),
    "RGBX;16N": ("RGBX", "RGBX;16B"),
    "CMYK;16L": ("CMYK", "CMYK;16B"),
    "CMYK;16B": ("CMYK", "CMYK;16L"),
    "CMYK;16N": ("CMYK", "CMYK;16B"),
    "LA;16B": ("RGBA", "RGBA"),
}
"""By Pillow's raw mode of 16-bit channels, of which it keeps the high bytes: mode and raw mode that keep the low ones
(the opposite byte order; for LA all four bytes as channels). N is the order of the machine, of which the table assumes
little-endian."""
_BITS_PER_SAMPLE: Final = 258
_HIGH_BIT_DEPTH: Final = 0x40
"""AV1 codec configuration (av1C), third byte: more than 8 bits."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose first frame was decoded: `image` is that frame, upright by `transposition`, not yet flattened.

    `bits` is the depth of a channel, None if unknown. `check_time` raises when the time limit is exceeded.
    """

    data: bytes
    kind: str
    image: Image.Image
    frames: int
    transposition: Image.Transpose | None
    bits: int | None
    check_time: Callable[[], None]


def digest_pixels(opened: Opened, flattened: color.Flattened, max_pixels: int) -> bytes | None:
    """The digest; None where not all is known: more than `max_pixels` in all frames, or bits that no reader gives."""
    image = opened.image
    if opened.bits is None:
        return None
    if opened.frames == 1 and opened.bits <= 8 and image.mode not in color.WIDE_MODES:
        if flattened.alpha is None:
            return digest_rgb(flattened.pixels)
        total = hashlib.sha256(PREFIX + struct.pack("<II", 1, 0))
        _add_colors(total, image)
        return total.digest()
    if opened.kind in _UNREADABLE_FRAMES or opened.frames * image.width * image.height > max_pixels:
        return None  # all frames would be decoded again
    total = hashlib.sha256(PREFIX + struct.pack("<I", opened.frames))
    return total.digest() if _add_frames(total, opened) else None


def digest_rgb(rgb: Pixels) -> bytes:
    """The digest of an opaque image of 8 bits, `(height, width, 3)`."""
    height, width = rgb.shape[:2]
    total = hashlib.sha256(struct.pack("<II", width, height))
    total.update(np.ascontiguousarray(rgb).data)
    return total.digest()


def _add_frames(total: Any, opened: Opened) -> bool:
    """Add every frame, with its duration in milliseconds; False where the bits of one cannot be read."""
    file = _open(opened)
    for number in range(opened.frames):
        if opened.frames > 1:
            file.seek(number)
        raw_mode = _raw_mode(file)
        file.load()
        opened.check_time()
        duration = file.info.get("duration", 0)
        total.update(struct.pack("<I", round(min(duration, 0xFFFFFFFF)) if isinstance(duration, int | float) else 0))
        frame = _upright(file, opened)
        if frame.mode in color.WIDE_MODES:
            _add_raw(total, frame, file)
        elif opened.bits is not None and opened.bits <= 8:
            _add_colors(total, frame)
        elif not _add_deep(total, opened, number, raw_mode, frame):
            return False
    return True


def _open(opened: Opened) -> ImageFile.ImageFile:
    file = formats.open_frames(opened.data, opened.kind)
    if opened.kind == "PNG":
        color.scale_transparency(file)
    return file


def _upright(image: Image.Image, opened: Opened) -> Image.Image:
    return image if opened.transposition is None else image.transpose(opened.transposition)


def _add_colors(total: Any, image: Image.Image) -> None:
    """Add the sRGB colors and the alpha of a frame; the colors of pixels that cannot be seen do not count."""
    total.update(struct.pack("<4sII", b"rgba", image.width, image.height))
    for top, bottom in color.strips(image.size):
        colors, alpha = color.split(image.crop((0, top, image.width, bottom)), None)
        values = np.asarray(colors.convert("RGBA")).copy()
        if alpha is not None:
            values[..., 3] = np.asarray(alpha)
            values[values[..., 3] == 0] = 0
        total.update(values.data)


def _add_raw(total: Any, image: Image.Image, file: ImageFile.ImageFile) -> None:
    """Add the values of a frame as they are in the file, and what else determines how they are shown."""
    tags = getattr(file, "tag_v2", {})
    shown = [image.mode, image.size, file.info.get("transparency"), tags.get(262), tags.get(258)]
    total.update(repr(shown).encode() + hashlib.sha256(file.info.get("icc_profile") or b"").digest())
    total.update(image.tobytes())


def _add_deep(total: Any, opened: Opened, number: int, raw_mode: str, frame: Image.Image) -> bool:
    """Add a frame of 16-bit channels, of which Pillow decodes one byte at a time; False for an unknown layout."""
    low_bytes = _LOW_BYTES.get(raw_mode)
    if low_bytes is None:
        return False
    _add_raw(total, frame, opened_file := _open(opened))
    if number:
        opened_file.seek(number)
    mode, low = low_bytes
    opened_file._mode = mode
    opened_file.tile = [_with_raw_mode(tile, low) for tile in opened_file.tile]
    opened_file.load()
    opened.check_time()
    _add_raw(total, _upright(opened_file, opened), opened_file)
    return True


def _raw_mode(file: ImageFile.ImageFile) -> str:
    """Pillow's name of the layout of a file's samples, before it is loaded."""
    if not file.tile:
        return ""
    arguments = file.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    arguments = (raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode
    return tile._replace(args=arguments)


def bits_per_channel(file: ImageFile.ImageFile, kind: str, data: bytes) -> int | None:
    """The depth of the deepest channel; None if unknown. Depths of 9 to 15 bits may be reported as 16."""
    match kind:
        case "PNG":
            return data[24] if len(data) > 24 else None
        case "TIFF":
            return _tiff_bits(file)
        case "AVIF":
            return _avif_bits(data)
        case "HEIF":
            bits = file.info.get("bit_depth", 8)
            return bits if isinstance(bits, int) else None
        case "JPEG2000":
            return _jpeg_2000_bits(data)
        case "JXL":
            header = jxl.read_header(data)
            return None if header is None or header.animated is not False else header.bits
        case "PPM":
            return 8 if file.mode in ("1", "L", "RGB") and _max_value(data) in (1, 255) else None
        case _:
            return 8


def _tiff_bits(file: ImageFile.ImageFile) -> int | None:
    bits: Any = getattr(file, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,))
    bits = bits if isinstance(bits, tuple) else (bits,)
    return max(bits) if bits and all(isinstance(each, int) for each in bits) else None


def _avif_bits(data: bytes) -> int | None:
    depths = []
    at = data.find(b"av1C")
    while at >= 0 and at + 7 <= len(data):
        depths.append(16 if data[at + 6] & _HIGH_BIT_DEPTH else 8)
        at = data.find(b"av1C", at + 4)
    return max(depths, default=None)


def _jpeg_2000_bits(data: bytes) -> int | None:
    """By the SIZ marker of the codestream (ITU-T T.800, section A.5.1): one byte of depth a component, then two."""
    at = data.find(b"\xff\x4f\xff\x51")
    components = int.from_bytes(data[at + 40 : at + 42])
    depths = data[at + 42 : at + 42 + 3 * components : 3]
    return max((depth & 0x7F) + 1 for depth in depths) if at >= 0 and depths else None


def _max_value(data: bytes) -> int | None:
    """The largest value that a PPM's header names; 1 for bitmaps. Comments are skipped."""
    lines = (line.partition(b"#")[0] for line in data[:1024].split(b"\n"))
    words = b" ".join(lines).split()
    if data[1:2] in b"14":
        return 1
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else None
