"""JPEG XL (ISO/IEC 18181): the header, read before anything is decoded, and the reader, of an optional package."""

import io
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from PIL import Image, ImageFile

from lookalike.errors import BadSetting, ImageRejected
from lookalike.optional import require

CODESTREAM: Final = b"\xff\x0a"
CONTAINER: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
MODULE: Final = "pillow_jxl"

_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
"""Width to height by the header's code; 0 stands for a width of its own."""
_SIZE_BITS: Final = (9, 13, 18, 30)


@dataclass(frozen=True, slots=True)
class Header:
    """Size as stored, bits of a channel, and whether it is animated; the last two are None where unknown."""

    width: int
    height: int
    bits: int | None
    animated: bool | None


class _Bits:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("the header ends early")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def side(self) -> int:
        return self.take(_SIZE_BITS[self.take(2)]) + 1


def read_header(data: bytes) -> Header | None:
    """The header of a JPEG XL file; None where it is damaged."""
    start = _codestream(data)
    if start is None:
        return None
    bits = _Bits(data[start + 2 : start + 40])
    try:
        width, height = _size(bits)
        if bits.take(1):  # all metadata have their defaults
            return Header(width, height, 8, False)
        animated: bool | None = False
        if bits.take(1):  # extra fields
            bits.take(3)  # orientation
            if bits.take(1):
                _size(bits)  # intrinsic size
            if bits.take(1):
                return Header(width, height, None, None)  # a preview, whose header is long
            animated = bool(bits.take(1))
        if animated:
            return Header(width, height, None, True)
        if bits.take(1):
            return Header(width, height, 32, animated)  # floats
        code = bits.take(2)
        return Header(width, height, (8, 10, 12)[code] if code < 3 else bits.take(6) + 1, animated)
    except ValueError:
        return None


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.side()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return 8 * (bits.take(5) + 1) if small else bits.side(), height


def _codestream(data: bytes) -> int | None:
    """Where the codestream begins: at once, or in the first `jxlc` or `jxlp` box of a container."""
    if data.startswith(CODESTREAM):
        return 0
    at = 0
    while at + 8 <= len(data):
        length, name, head = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16]), 16
        if name in (b"jxlc", b"jxlp"):
            start = at + head + (4 if name == b"jxlp" else 0)
            return start if data.startswith(CODESTREAM, start) else None
        if length < head:
            return None
        at += length
    return None


def open_jxl(file: io.BytesIO) -> ImageFile.ImageFile:
    """Pillow's reader of a JPEG XL file, which decodes at once; raises ImageRejected where it is not installed.

    The package registers itself with Pillow when it is imported. It decodes in one thread here, for there are as many
    decoding processes as cores.
    """
    try:
        require(MODULE, purpose="reading JPEG XL")
    except BadSetting as error:
        raise ImageRejected("unsupported", f"{error}, or save the image as JPEG or PNG.") from error
    plugin: Any = import_module(f"{MODULE}.JpegXLImagePlugin")
    plugin.DECODE_THREADS = 0
    image: ImageFile.ImageFile = plugin.JXLImageFile(file)
    return image


def is_upright(file: Image.Image) -> bool:
    """Whether the reader has applied the orientation; it leaves that to EXIF where the file holds a whole JPEG."""
    return not getattr(file, "jpeg", False)
