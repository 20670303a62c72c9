"""PSD files whose composite has 16 bits a channel."""

import struct

from PIL import Image

from lookalike.imaging.recovery.repaired import Repaired

_HEADER, _CHANNELS = 26, 4
"""Bytes of a PSD's header, and channels that are shown at the most: colors and alpha, or CMYK."""


def repair(data: bytes, max_pixels: int) -> Repaired | None:
    """Write the composite of a PSD of 16 bits with the upper 8 (Adobe Photoshop File Formats Specification)."""
    if len(data) < _HEADER:
        return None
    channels, height, width, bits = struct.unpack_from(">HIIH", data, 12)
    if bits != 16 or not 0 < width * height <= max_pixels:
        return None
    start = _HEADER
    for _ in range(3):  # colors, resources, layers
        start += 4 + int.from_bytes(data[start : start + 4])
    read, row = min(channels, _CHANNELS), width * 2
    compression, at = int.from_bytes(data[start : start + 2]), start + 2
    if compression == 0:
        samples = data[at : at + read * height * row]
    elif compression == 1:
        sizes = struct.unpack_from(f">{channels * height}H", data, at)
        at += 2 * len(sizes)
        packed = data[at : at + sum(sizes[: read * height])]
        samples = Image.frombytes("L", (row, read * height), packed, "packbits", "L").tobytes()
    else:
        return None
    if len(samples) != read * height * row:
        return None
    header = data[:12] + struct.pack(">HIIH", read, height, width, 8) + data[24:start]
    return Repaired(header + bytes(2) + samples[::2], False, reduced=True)
