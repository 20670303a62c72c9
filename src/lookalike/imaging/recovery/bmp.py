"""BMP files with unusual headers, bit fields, palettes and runs."""

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lookalike.imaging.recovery.repaired import Repaired
from lookalike.types import Pixels

_SHORTEST_HEADER, _HEADER = 16, 40
_RLE: Final = {1: 8, 2: 4}
"""BMP: bits of a pixel by the compression numbers of run-length encoded images."""
_BITFIELDS: Final = (3, 6)
"""BMP: compression numbers of images with masks, without and with one for alpha."""


def repair(data: bytes, max_pixels: int) -> Repaired | None:
    """Complete the rows with zeros, correct the number of colors, and rewrite what is compressed otherwise than usual.

    Bit fields become 8 bits a channel (BITMAPV4HEADER, BI_BITFIELDS), run-length encoded rows plain ones.
    """
    if len(data) < 54:
        return None
    if (size := int.from_bytes(data[14:18], "little")) < _HEADER:
        return _with_usual_header(data, size)
    offset = int.from_bytes(data[10:14], "little")
    width, height = struct.unpack("<ii", data[18:26])
    bits, compression = struct.unpack("<HI", data[28:34])
    if not 0 < width * abs(height) <= max_pixels or bits not in (1, 4, 8, 16, 24, 32) or offset > len(data):
        return None
    row = -(-width * bits // 32) * 4
    end = offset + row * abs(height)
    valid = _with_valid_palette(data, offset, bits) if compression in (0, *_RLE) and bits <= 8 else data
    if compression == 0:
        completed = valid.ljust(end, b"\0")
        return None if completed == data else Repaired(completed, end > len(data))
    if _RLE.get(compression) == bits:
        return _without_runs(valid, width, abs(height), bits)
    if compression not in _BITFIELDS or bits not in (16, 32):
        return None
    rows = np.frombuffer(data[offset:end].ljust(end - offset, b"\0"), f"<u{bits // 8}").reshape(abs(height), -1)
    header_bytes = int.from_bytes(data[14:18], "little")
    masks = list(struct.unpack("<IIII", data[54:70].ljust(16, b"\0")))
    if compression == _BITFIELDS[0] and header_bytes < 56:
        masks[3] = 0  # three masks follow the header; what comes after them are colors or pixels
    widest = (1 << bits) - 1
    masks = [mask & widest for mask in masks]
    channels = [_field(rows[:, :width], mask, 255 if number == 3 else 0) for number, mask in enumerate(masks)]
    pixels = np.stack([channels[2], channels[1], channels[0], channels[3]], axis=-1)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, pixels.nbytes, 2835, 2835, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    start = 14 + len(header)
    file = struct.pack("<2sIHHI", b"BM", start + pixels.nbytes, 0, 0, start) + header + pixels.tobytes()
    return Repaired(file, end > len(data), any(mask.bit_count() > 8 for mask in masks))


def _with_usual_header(data: bytes, size: int) -> Repaired | None:
    """The BMP with the header of Windows instead of a shorter one of OS/2 2.x, whose last fields may be left out."""
    if not _SHORTEST_HEADER <= size < _HEADER:
        return None
    offset = int.from_bytes(data[10:14], "little") + _HEADER - size
    header = struct.pack("<I", _HEADER) + data[18 : 14 + size].ljust(_HEADER - 4, b"\0")
    return Repaired(data[:10] + struct.pack("<I", offset) + header + data[14 + size :], False)


def _with_valid_palette(data: bytes, offset: int, bits: int) -> bytes:
    """The BMP with no more colors in its header than its pixels can name, and than are stored before them."""
    colors = int.from_bytes(data[46:50], "little")
    stored = (offset - 14 - int.from_bytes(data[14:18], "little")) // 4
    valid = max(min(colors or 1 << bits, 1 << bits, stored), 1)
    return data[:46] + struct.pack("<I", valid) + data[50:]


def _without_runs(data: bytes, width: int, height: int, bits: int) -> Repaired:
    """The run-length encoded BMP with plain rows of 8 bits; pixels that are skipped or missing have color 0."""
    offset = int.from_bytes(data[10:14], "little")
    rows = np.zeros((height, -(-width // 4) * 4), np.uint8)
    complete = _draw_runs(data[offset:], rows[:, :width], bits)
    header = data[:offset]
    header = header[:28] + struct.pack("<HII", 8, 0, rows.nbytes) + header[38:]
    return Repaired(header + rows.tobytes(), not complete)


def _draw_runs(runs: bytes, rows: Pixels, bits: int) -> bool:
    """Draw BI_RLE8 or BI_RLE4 runs, and return whether they reach their end marker, or the last pixel."""
    height, width = rows.shape
    at, x, y = 0, 0, 0
    while at + 2 <= len(runs) and y < height:
        count, code = runs[at], runs[at + 1]
        at += 2
        if count:
            values = bytes([code]) if bits == 8 else bytes([code >> 4, code & 15])
            drawn = (values * count)[:count]
        elif code == 0:
            x, y = 0, y + 1
            continue
        elif code == 1:
            return True
        elif code == 2:
            if at + 2 > len(runs):
                break
            x, y, at = x + runs[at], y + runs[at + 1], at + 2
            continue
        else:
            stored = -(-code * bits // 8)
            packed = np.frombuffer(runs[at : at + stored], np.uint8)
            unpacked = packed if bits == 8 else np.stack([packed >> 4, packed & 15], axis=1).ravel()
            drawn = unpacked[:code].tobytes()
            at += stored + stored % 2
        room = max(min(len(drawn), width - x), 0)
        rows[y, x : x + room] = np.frombuffer(drawn[:room], np.uint8)
        x += len(drawn)
    return bool(y >= height or (y == height - 1 and x >= width))


def _field(values: NDArray[Any], mask: int, missing: int) -> Pixels:
    """One channel of packed pixels, scaled to 0..255; `missing` where the mask is empty."""
    if not mask:
        return np.full(values.shape, missing, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    channel: Pixels = np.rint(((values & np.array(mask, values.dtype)) >> shift) * (255.0 / most)).astype(np.uint8)
    return channel
