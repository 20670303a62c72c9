"""Bits of a channel, as the file stores them: what a reader drops of more than 8 must not make two images the same."""

from typing import Any, Final

from PIL import ImageFile

from lookalike.imaging import jxl

_BITS_PER_SAMPLE: Final = 258
_HIGH_BIT_DEPTH: Final = 0x40
"""AV1 codec configuration (av1C), third byte: more than 8 bits."""


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
