"""TGA files whose runs extend across rows, or that end early."""

import struct
from typing import Final

from lookalike.imaging.formats import TGA_FOOTER
from lookalike.imaging.recovery.repaired import Repaired

MAX_TRAILER: Final = 1024
"""Bytes after the pixels of a TGA without the footer of version 2."""


def repair(data: bytes, max_pixels: int) -> Repaired | None:
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
        pixels, end = _without_runs(data, start, expected, pixel_bytes)
    if len(data) > end + MAX_TRAILER and not data.endswith(TGA_FOOTER):
        return None  # something else that begins like a TGA
    header = data[:2] + bytes([kind & ~8]) + data[3:start]
    return Repaired(header + pixels.ljust(expected, b"\0"), len(pixels) < expected)


def _without_runs(data: bytes, start: int, expected: int, pixel_bytes: int) -> tuple[bytes, int]:
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
