"""TIFF files that end within uncompressed strips."""

from typing import Final

from lookalike.imaging import containers
from lookalike.imaging.recovery.repaired import Repaired

MAX_PIXEL_BYTES: Final = 16
"""Bytes of a pixel of a TIFF, whose strips are completed."""


def repair(data: bytes, max_pixels: int) -> Repaired | None:
    """Complete uncompressed strips with zeros, at most the bytes that the pixels of the image take."""
    width, height, end = containers.tiff_extent(data)
    if width * height > max_pixels or not len(data) < end <= len(data) + MAX_PIXEL_BYTES * width * height:
        return None
    return Repaired(data + bytes(end - len(data)), True)
