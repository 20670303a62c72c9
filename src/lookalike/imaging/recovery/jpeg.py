"""JPEG files without an end marker, and how many of their coefficients are there."""

from typing import Final

import simplejpeg

from lookalike.imaging.recovery.repaired import Repaired

_END: Final = b"\xff\xd9"
_PROGRESSIVE, _SCAN = 0xC2, 0xDA
_STUFFED: Final = frozenset({0x00, 0xFF, *range(0xD0, 0xD8)})
"""Bytes after 0xFF that are no marker with a length: data, padding, restarts."""


def repair(data: bytes) -> Repaired:
    """Add the end marker."""
    return Repaired(data + _END, is_cut(data))


def is_cut(data: bytes) -> bool:
    """Whether the coefficients of a JPEG end before the image does; only files without an end marker are examined."""
    if data.endswith(_END):
        return False
    ended = data + _END
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
