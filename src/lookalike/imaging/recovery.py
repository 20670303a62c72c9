"""Files that viewers show although they break their format's rules, rewritten so that their readers take them.

Missing end markers, damaged ancillary chunks, unusual bit fields and composites of 16 bits lose no pixels. Of a file
that ends early, what is there is kept, and the rest is filled; then pixels are missing. Nothing is invented for a file
whose header is damaged.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from lookalike.imaging import avif_properties, containers
from lookalike.imaging.color import MAX_PROFILE_BYTES
from lookalike.imaging.formats import TGA_FOOTER
from lookalike.types import Pixels

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"eXIf"})
"""Chunks that determine what is shown; animation is left out, for a damaged file has one frame at most."""
_PNG_SIZES: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}
"""Bytes of chunks of one size; readers refuse files in which it is another one, though their checksum is right."""
_PNG_PIXELS: Final = b"IDAT"
_PNG_ANIMATION, _PNG_CONTROL, _PNG_FRAME = b"acTL", b"fcTL", b"fdAT"
_PNG_ANIMATION_BYTES: Final = 8
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG (W3C, section 11.2.1): channels by color type."""
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""PNG (W3C, section 8.1): first column and row, and steps, of the passes of an interlaced image."""
_MAX_PNG_FILTER: Final = 4
"""PNG (W3C, section 9.2): the last of the filters that a row begins with."""
_BLOCK: Final = 1 << 16
_SMALL_BLOCK: Final = 1 << 8
MAX_TGA_TRAILER: Final = 1024
"""Bytes after the pixels of a TGA without the footer of version 2."""
MAX_PIXEL_BYTES: Final = 16
"""Bytes of a pixel of a TIFF, whose strips are completed."""
_JPEG_END: Final = b"\xff\xd9"
_PROGRESSIVE, _SCAN = 0xC2, 0xDA
_STUFFED: Final = frozenset({0x00, 0xFF, *range(0xD0, 0xD8)})
"""Bytes after 0xFF that are no marker with a length: data, padding, restarts."""
_WEBP_PIXELS: Final = frozenset({b"VP8 ", b"VP8L"})
_PSD_HEADER, _PSD_CHANNELS = 26, 4
"""Bytes of a PSD's header, and channels that are shown at the most: colors and alpha, or CMYK."""
_SHORTEST_BMP_HEADER, _BMP_HEADER = 16, 40
_RLE: Final = {1: 8, 2: 4}
"""BMP: bits of a pixel by the compression numbers of run-length encoded images."""
_BITFIELDS: Final = (3, 6)
"""BMP: compression numbers of images with masks, without and with one for alpha."""


class Repaired(NamedTuple):
    """The rewritten file, whether pixels are missing, channels of more than 8 bits were reduced, or it was animated."""

    data: bytes
    truncated: bool
    reduced: bool = False
    animated: bool = False


def repairs(data: bytes, kind: str, max_pixels: int) -> Iterator[Repaired]:
    """The file, rewritten, in the ways to try in turn; none where its format is not repaired or its header damaged."""
    match kind:
        case "JPEG":
            yield Repaired(data + _JPEG_END, is_cut_jpeg(data))
        case "GIF":
            yield from _repair_gif(data, max_pixels)
        case "WEBP":
            yield from _found(_repair_webp(data))
        case "AVIF":
            if (rewritten := avif_properties.rewrite(data)) is not None:
                yield Repaired(rewritten, False)
        case "PNG" | "BMP" | "TGA" | "PSD" | "TIFF":
            yield from _found(_REPAIRS[kind](data, max_pixels))


def _found(repaired: Repaired | None) -> Iterator[Repaired]:
    if repaired is not None:
        yield repaired


def is_cut_jpeg(data: bytes) -> bool:
    """Whether the coefficients of a JPEG end before the image does; only files without an end marker are examined."""
    if data.endswith(_JPEG_END):
        return False
    ended = data + _JPEG_END
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(ended)
        simplejpeg.decode_jpeg(ended, "GRAY", min_height=-(-height // 8), min_width=-(-width // 8))
    except ValueError as error:
        if "premature end" in str(error).lower():
            return True
    return not _has_all_coefficients(data)


def _has_all_coefficients(data: bytes) -> bool:
    """Whether the scans of a progressive JPEG bring every bit of every coefficient (ITU-T T.81, annex G)."""
    components: dict[int, set[int]] = {}
    at, progressive = 2, False
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker in _STUFFED:
            at += 1
            continue
        if marker == _PROGRESSIVE:
            progressive = True
            components = {id_: set() for id_ in data[at + 10 : at + 2 + length : 3]}
        if marker == _SCAN and progressive and length >= 6 and at + 2 + length <= len(data):
            first, last, low = data[at + length - 1], data[at + length], data[at + length + 1] & 0x0F
            if low == 0:
                for id_ in data[at + 5 : at + length - 1 : 2]:
                    components.setdefault(id_, set()).update(range(first, last + 1))
        at += 2 + length
    return all(len(coefficients) == 64 for coefficients in components.values())


def _repair_png(data: bytes, max_pixels: int) -> Repaired | None:
    """Drop chunks that are damaged or not needed, and complete the pixels with zeros."""
    header = b""
    kept: list[tuple[bytes, bytes]] = []
    compressed: list[bytes] = []
    animated = False
    for name, body, valid in _png_chunks(data):
        if name == b"IHDR" and valid and len(body) == 13:
            header = body
        animated |= name == _PNG_ANIMATION
        if name == b"IDAT":
            compressed.append(body)
        elif name in _PNG_KEPT and valid and name != b"IEND" and _is_usable(name, body):
            kept.append((name, body))
    if not header or not compressed or not 0 < math.prod(struct.unpack_from(">II", header)) <= max_pixels:
        return None
    pixels, missing = _complete(compressed, _png_passes(header))
    written = PNG_SIGNATURE + b"".join(_png_chunk(name, body) for name, body in kept)
    written += b"".join(_png_chunk(b"IDAT", part) for part in pixels) + _png_chunk(b"IEND", b"")
    return Repaired(written, missing > 0, animated=animated)


def has_broken_animation(data: bytes) -> bool:
    """Whether frames of a PNG are missing or out of order, so that viewers show its default image (PNG, third edition).

    A file that ends early is not meant, nor one that has more frames than it says: viewers show those it says.
    """
    if _PNG_ANIMATION not in data[: data.find(_PNG_PIXELS)]:
        return False
    claims = [body for name, body, _ in _png_chunks(data) if name == _PNG_ANIMATION]
    if [len(body) for body in claims] != [_PNG_ANIMATION_BYTES]:
        return False  # readers take it for no animation
    claimed, name = int.from_bytes(claims[0][:4]), b""
    frames = sequence = 0
    is_awaited = has_pixels = has_control = False  # data of a frame; the default image; a control chunk after that
    for name, body, _ in _png_chunks(data):
        if name == _PNG_PIXELS:
            frames, is_awaited, has_pixels = frames + is_awaited, False, True
        elif name == _PNG_CONTROL:
            if frames == claimed > 0:
                return False
            if is_awaited or int.from_bytes(body[:4]) != sequence:
                return True
            sequence, is_awaited, has_control = sequence + 1, True, has_pixels
        elif name == _PNG_FRAME:
            if not has_control or int.from_bytes(body[:4]) != sequence:
                return True
            sequence, frames, is_awaited = sequence + 1, frames + is_awaited, False
    return claimed == 0 or (frames < claimed and name == b"IEND")


def _is_usable(name: bytes, body: bytes) -> bool:
    return len(body) == _PNG_SIZES.get(name, len(body)) and (name != b"iCCP" or _has_profile(body))


def _has_profile(body: bytes) -> bool:
    """Whether an ICC profile (a name, a method, compressed data) decompresses, and to no more than is used."""
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(body.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return bool(found) and not inflate.unconsumed_tail


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name and body of each chunk, and whether its checksum is right; the last body may be cut."""
    at = len(PNG_SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        yield name, body, checksum == struct.pack(">I", zlib.crc32(name + body))
        at += 12 + length
        if name == b"IEND":
            return


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_passes(header: bytes) -> list[tuple[int, int]]:
    """Number and bytes of the filtered rows of each pass of an image with this IHDR; none for an invalid one."""
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    pixel_bits = bits * _CHANNELS.get(color, 0)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(height - top) // down), -(-(width - left) // across)) for left, top, across, down in passes]
    return [(rows, 1 + -(-columns * pixel_bits // 8)) for rows, columns in sizes if rows > 0 and columns > 0]


def _invalid_filter(block: bytes, start: int, passes: list[tuple[int, int]]) -> int | None:
    """The place in a block of filtered rows, which begins at `start`, of a filter that there is none of; else None."""
    values = np.frombuffer(block, np.uint8)
    begins = 0
    for rows, size in passes:
        end = begins + rows * size
        if begins < start + len(block) and end > start:
            first = begins + -(-max(start - begins, 0) // size) * size - start
            invalid = np.flatnonzero(values[first : end - start : size] > _MAX_PNG_FILTER)
            if len(invalid):
                return first + int(invalid[0]) * size
        begins = end
    return None


def _complete(compressed: list[bytes], passes: list[tuple[int, int]]) -> tuple[list[bytes], int]:
    """The compressed rows up to damage, completed with zeros, and how many bytes were missing."""
    expected = sum(rows * size for rows, size in passes)
    deflate = zlib.compressobj(1)
    out: list[bytes] = []
    found = 0
    for rows in _inflate(compressed, expected):
        damaged = _invalid_filter(rows, found, passes)
        out.append(deflate.compress(rows[:damaged]))
        found += len(rows[:damaged])
        if damaged is not None:
            break
    missing = expected - found
    for start in range(0, missing, _BLOCK):
        out.append(deflate.compress(bytes(min(_BLOCK, missing - start))))
    out.append(deflate.flush())
    return [part for part in out if part], missing


def _inflate(compressed: list[bytes], most: int) -> Iterator[bytes]:
    """The decompressed data in blocks, at most so many bytes, up to an error, which costs a whole block."""
    inflate = zlib.decompressobj()
    found = 0
    try:
        for body in compressed:
            for start in range(0, len(body), _SMALL_BLOCK):
                pending = body[start : start + _SMALL_BLOCK]
                while pending and found < most:
                    block = inflate.decompress(pending, min(_BLOCK * 16, most - found))
                    found += len(block)
                    yield block
                    if not block and inflate.unconsumed_tail == pending:
                        break
                    pending = inflate.unconsumed_tail
    except zlib.error:
        pass  # what was inflated before is kept


def _repair_gif(data: bytes, max_pixels: int) -> Iterator[Repaired]:
    """End the file after the first frame; or complete that with its color 0 (code 0 of the LZW data is that color)."""
    frame = containers.first_gif_frame(data)
    if frame is None or frame.pixels > max_pixels:
        return
    if frame.end is not None:
        yield Repaired(data[: frame.end] + b";", containers.gif_ends_early(data))
    kept = data + bytes(frame.missing) if frame.end is None else data[: frame.end - 1]
    zeros = -(-frame.pixels * 12 // 8)  # codes have at most 12 bits
    blocks = (b"\xff" + bytes(255)) * -(-zeros // 255)
    yield Repaired(kept + blocks + b"\0;", True)


def _repair_bmp(data: bytes, max_pixels: int) -> Repaired | None:
    """Complete the rows with zeros, correct the number of colors, and rewrite what is compressed otherwise than usual.

    Bit fields become 8 bits a channel (BITMAPV4HEADER, BI_BITFIELDS), run-length encoded rows plain ones.
    """
    if len(data) < 54:
        return None
    if (size := int.from_bytes(data[14:18], "little")) < _BMP_HEADER:
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
        return _without_bmp_runs(valid, width, abs(height), bits)
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
    if not _SHORTEST_BMP_HEADER <= size < _BMP_HEADER:
        return None
    offset = int.from_bytes(data[10:14], "little") + _BMP_HEADER - size
    header = struct.pack("<I", _BMP_HEADER) + data[18 : 14 + size].ljust(_BMP_HEADER - 4, b"\0")
    return Repaired(data[:10] + struct.pack("<I", offset) + header + data[14 + size :], False)


def _with_valid_palette(data: bytes, offset: int, bits: int) -> bytes:
    """The BMP with no more colors in its header than its pixels can name, and than are stored before them."""
    colors = int.from_bytes(data[46:50], "little")
    stored = (offset - 14 - int.from_bytes(data[14:18], "little")) // 4
    valid = max(min(colors or 1 << bits, 1 << bits, stored), 1)
    return data[:46] + struct.pack("<I", valid) + data[50:]


def _without_bmp_runs(data: bytes, width: int, height: int, bits: int) -> Repaired:
    """The run-length encoded BMP with plain rows of 8 bits; pixels that are skipped or missing have color 0."""
    offset = int.from_bytes(data[10:14], "little")
    rows = np.zeros((height, -(-width // 4) * 4), np.uint8)
    complete = _draw_bmp_runs(data[offset:], rows[:, :width], bits)
    header = data[:offset]
    header = header[:28] + struct.pack("<HII", 8, 0, rows.nbytes) + header[38:]
    return Repaired(header + rows.tobytes(), not complete)


def _draw_bmp_runs(runs: bytes, rows: Pixels, bits: int) -> bool:
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


def _repair_tiff(data: bytes, max_pixels: int) -> Repaired | None:
    """Complete uncompressed strips with zeros, at most the bytes that the pixels of the image take."""
    width, height, end = containers.tiff_extent(data)
    if width * height > max_pixels or not len(data) < end <= len(data) + MAX_PIXEL_BYTES * width * height:
        return None
    return Repaired(data + bytes(end - len(data)), True)


def _repair_tga(data: bytes, max_pixels: int) -> Repaired | None:
    """Write the pixels without run-length encoding, whose packets may extend across rows; complete them with zeros."""
    if len(data) < 18:
        return None
    kind, pixel_bytes = data[2], -(-data[16] // 8)
    colors, depth = struct.unpack("<HB", data[5:8])
    width, height = struct.unpack("<HH", data[12:16])
    if not 0 < width * height <= max_pixels:
        return None
    start = 18 + data[0] + (colors * -(-depth // 8) if data[1] else 0)
    expected = width * height * pixel_bytes
    pixels, end = data[start : start + expected], start + expected
    if kind & 8:
        pixels, end = _without_tga_runs(data, start, expected, pixel_bytes)
    if len(data) > end + MAX_TGA_TRAILER and not data.endswith(TGA_FOOTER):
        return None  # something else that begins like a TGA
    header = data[:2] + bytes([kind & ~8]) + data[3:start]
    return Repaired(header + pixels.ljust(expected, b"\0"), len(pixels) < expected)


def _without_tga_runs(data: bytes, start: int, expected: int, pixel_bytes: int) -> tuple[bytes, int]:
    """The pixels of the packets from `start` on, at most `expected` bytes, and where the packets end."""
    parts: list[bytes] = []
    at, found = start, 0
    while at < len(data) and found < expected:
        count = (data[at] & 127) + 1
        if data[at] & 128:
            part = data[at + 1 : at + 1 + pixel_bytes] * count
            at += 1 + pixel_bytes
        else:
            part = data[at + 1 : at + 1 + count * pixel_bytes]
            at += 1 + count * pixel_bytes
        parts.append(part)
        found += len(part)
    return b"".join(parts)[:expected], at


def _repair_psd(data: bytes, max_pixels: int) -> Repaired | None:
    """Write the composite of a PSD of 16 bits with the upper 8 (Adobe Photoshop File Formats Specification)."""
    if len(data) < _PSD_HEADER:
        return None
    channels, height, width, bits = struct.unpack_from(">HIIH", data, 12)
    if bits != 16 or not 0 < width * height <= max_pixels:
        return None
    start = _PSD_HEADER
    for _ in range(3):  # colors, resources, layers
        start += 4 + int.from_bytes(data[start : start + 4])
    read, row = min(channels, _PSD_CHANNELS), width * 2
    compression, at = int.from_bytes(data[start : start + 2]), start + 2
    if compression == 0:
        samples = data[at : at + read * height * row]
    elif compression == 1:
        sizes = struct.unpack_from(f">{channels * height}H", data, at)
        at += 2 * len(sizes)
        rows = []
        for size in sizes[: read * height]:
            rows.append(_unpack_bits(data[at : at + size])[:row])
            at += size
        samples = b"".join(rows)
    else:
        return None
    if len(samples) != read * height * row:
        return None
    header = data[:12] + struct.pack(">HIIH", read, height, width, 8) + data[24:start]
    return Repaired(header + bytes(2) + samples[::2], False, reduced=True)


def _unpack_bits(packed: bytes) -> bytes:
    """The bytes of a row that was compressed by PackBits (TIFF 6.0, section 9)."""
    parts: list[bytes] = []
    at = 0
    while at < len(packed):
        count = packed[at]
        if count < 128:
            parts.append(packed[at + 1 : at + 2 + count])
            at += 2 + count
        else:
            parts.append(packed[at + 1 : at + 2] * (257 - count) if count > 128 else b"")
            at += 2 if count > 128 else 1
    return b"".join(parts)


def _repair_webp(data: bytes) -> Repaired | None:
    """Drop metadata that are cut off, or complete pixels with zeros, from which the reader continues the last colors.

    What it shows beyond the end is not the image: at least half of the bytes must be there. It may read more than are
    missing, so that there are more zeros than that (RFC 9649, section 2.7: chunks).
    """
    size = int.from_bytes(data[4:8], "little") + 8
    if not len(data) < size <= 2 * len(data):
        return None
    at, names = 12, set()
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > len(data):
            break
        names.add(name)
        at += 8 + length + length % 2
    if names & _WEBP_PIXELS and b"ANIM" not in names:
        return Repaired(data[:4] + struct.pack("<I", at - 8) + data[8:at].ljust(at - 8, b"\0"), False)
    if data[at : at + 4] not in _WEBP_PIXELS:
        return Repaired(data + bytes(size - len(data)), True)
    zeros = max(2 * (size - len(data)), _BLOCK)
    length = len(data) - at - 8 + zeros
    chunk = data[at : at + 4] + struct.pack("<I", length) + data[at + 8 :] + bytes(zeros + length % 2)
    return Repaired(data[:4] + struct.pack("<I", at + len(chunk) - 8) + data[8:at] + chunk, True)


_REPAIRS: Final = {
    "PNG": _repair_png,
    "BMP": _repair_bmp,
    "TGA": _repair_tga,
    "PSD": _repair_psd,
    "TIFF": _repair_tiff,
}
