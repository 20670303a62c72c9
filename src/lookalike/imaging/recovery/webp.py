"""WebP files that end early."""

import struct
from typing import Final

from lookalike.imaging.recovery.repaired import Repaired

_PIXELS: Final = frozenset({b"VP8 ", b"VP8L"})
_BLOCK: Final = 1 << 16


def repair(data: bytes) -> Repaired | None:
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
    if names & _PIXELS and b"ANIM" not in names:
        return Repaired(data[:4] + struct.pack("<I", at - 8) + data[8:at].ljust(at - 8, b"\0"), False)
    if data[at : at + 4] not in _PIXELS:
        return Repaired(data + bytes(size - len(data)), True)
    zeros = max(2 * (size - len(data)), _BLOCK)
    length = len(data) - at - 8 + zeros
    chunk = data[at : at + 4] + struct.pack("<I", length) + data[at + 8 :] + bytes(zeros + length % 2)
    return Repaired(data[:4] + struct.pack("<I", at + len(chunk) - 8) + data[8:at] + chunk, True)
