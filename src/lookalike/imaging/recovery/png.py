"""PNG files with damaged chunks, pixels that end early, and animations whose frames are broken."""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from lookalike.imaging.color import MAX_PROFILE_BYTES
from lookalike.imaging.recovery.repaired import Repaired

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"eXIf"})
"""Chunks that determine what is shown; animation is left out, for a damaged file has one frame at most."""
_SIZES: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}
"""Bytes of chunks of one size; readers refuse files in which it is another one, though their checksum is right."""
_PIXELS: Final = b"IDAT"
_ANIMATION, _CONTROL, _FRAME = b"acTL", b"fcTL", b"fdAT"
_ANIMATION_BYTES: Final = 8
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG (W3C, section 11.2.1): channels by color type."""
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""PNG (W3C, section 8.1): first column and row, and steps, of the passes of an interlaced image."""
_MAX_FILTER: Final = 4
"""PNG (W3C, section 9.2): the last of the filters that a row begins with."""
_BLOCK: Final = 1 << 16
_SMALL_BLOCK: Final = 1 << 8


def repair(data: bytes, max_pixels: int) -> Repaired | None:
    """Drop chunks that are damaged or not needed, and complete the pixels with zeros."""
    header = b""
    kept: list[tuple[bytes, bytes]] = []
    compressed: list[bytes] = []
    animated = False
    for name, body, valid in _chunks(data):
        if name == b"IHDR" and valid and len(body) == 13:
            header = body
        animated |= name == _ANIMATION
        if name == _PIXELS:
            compressed.append(body)
        elif name in _KEPT and valid and name != b"IEND" and _is_usable(name, body):
            kept.append((name, body))
    if not header or not compressed or not 0 < math.prod(struct.unpack_from(">II", header)) <= max_pixels:
        return None
    pixels, missing = _complete(compressed, _passes(header))
    written = SIGNATURE + b"".join(_chunk(name, body) for name, body in kept)
    written += b"".join(_chunk(_PIXELS, part) for part in pixels) + _chunk(b"IEND", b"")
    return Repaired(written, missing > 0, animated=animated)


def has_broken_animation(data: bytes) -> bool:
    """Whether frames of a PNG are missing or out of order, so that viewers show its default image (PNG, third edition).

    A file that ends early is not meant, nor one that has more frames than it says: viewers show those it says.
    """
    if _ANIMATION not in data[: data.find(_PIXELS)]:
        return False
    claims = [body for name, body, _ in _chunks(data) if name == _ANIMATION]
    if [len(body) for body in claims] != [_ANIMATION_BYTES]:
        return False  # readers take it for no animation
    claimed, name = int.from_bytes(claims[0][:4]), b""
    frames = sequence = 0
    is_awaited = has_pixels = has_control = False  # data of a frame; the default image; a control chunk after that
    for name, body, _ in _chunks(data):
        if name == _PIXELS:
            frames, is_awaited, has_pixels = frames + is_awaited, False, True
        elif name == _CONTROL:
            if frames == claimed > 0:
                return False
            if is_awaited or int.from_bytes(body[:4]) != sequence:
                return True
            sequence, is_awaited, has_control = sequence + 1, True, has_pixels
        elif name == _FRAME:
            if not has_control or int.from_bytes(body[:4]) != sequence:
                return True
            sequence, frames, is_awaited = sequence + 1, frames + is_awaited, False
    return claimed == 0 or (frames < claimed and name == b"IEND")


def _is_usable(name: bytes, body: bytes) -> bool:
    return len(body) == _SIZES.get(name, len(body)) and (name != b"iCCP" or _has_profile(body))


def _has_profile(body: bytes) -> bool:
    """Whether an ICC profile (a name, a method, compressed data) decompresses, and to no more than is used."""
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(body.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return bool(found) and not inflate.unconsumed_tail


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name and body of each chunk, and whether its checksum is right; the last body may be cut."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        yield name, body, checksum == struct.pack(">I", zlib.crc32(name + body))
        at += 12 + length
        if name == b"IEND":
            return


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _passes(header: bytes) -> list[tuple[int, int]]:
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
            invalid = np.flatnonzero(values[first : end - start : size] > _MAX_FILTER)
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
