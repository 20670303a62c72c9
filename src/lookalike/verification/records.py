"""The verification record: a `Side` in about 5 KB, for images whose pixels cannot be read again.

Layout, little-endian: magic "LVR", version (1 byte), CRC-32 of everything after it (4), full width and height (4 each),
the border as four shares of 65535 (2 each), number of points (2), length of the image (2), the image (WebP, with
colors or grey), then for every point x and y as shares of 1023 and 1023 (3 bytes together) and the 64 signs of its
descriptor (8 bytes).
"""

import io
import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import Damaged
from lookalike.types import Box, Capture, Pixels
from lookalike.verification import xfeat
from lookalike.verification.raster import luma_of, shrink, shrink_coarsely
from lookalike.verification.side import COLOR_SIDE, Side
from lookalike.verification.xfeat import LocalFeatures

MAGIC: Final = b"LVR"
VERSION: Final = 1
MAX_RECORD_POINTS: Final = 200
POINT_BYTES: Final = 11
IMAGE_BUDGET: Final = 2_900
"""Bytes of the image: the largest of `IMAGE_SIDES` that fits is stored."""
IMAGE_SIDES: Final = (384, 256, 192, 144, 96, 64)
"""Pixels of the longer side of the stored image."""
RECORD_SIDE: Final = IMAGE_SIDES[0]
"""Pixels of the longer side from which a record loses nothing: those of the largest image and of XFeat's input."""
QUALITY: Final = 45
"""Quality of WebP."""
REMEDY: Final = "run `lookalike repair --verification-records`"
_HEAD: Final = struct.Struct("<3sBI")
_BODY: Final = struct.Struct("<II4HHH?")
_GRID: Final = 4095


def to_record(side: Side) -> bytes:
    """The record of an image: at most 5.2 KB.

    Local features are part of it where they can be computed (extra [verify]).
    """
    points, signs = np.empty((0, 2), np.float32), np.empty((0, 8), np.uint8)
    if xfeat.available():
        features = side.features
        points = features.points[:MAX_RECORD_POINTS]
        signs = np.packbits(features.descriptors[:MAX_RECORD_POINTS] > 0, axis=1)
    image = _encoded(side)
    box = [round(share * 65535) for share in (side.border.left, side.border.top, side.border.right, side.border.bottom)]
    body = _BODY.pack(side.width, side.height, *box, len(points), len(image), side.colors is not None)
    body += image + _pack_places(points) + signs.tobytes()
    return _HEAD.pack(MAGIC, VERSION, zlib.crc32(body)) + body


def from_record(record: bytes, *, capture: Capture | None = None) -> Side:
    """The image of a record; `capture` is when and how a camera took it, if that is known.

    Raises Damaged where the record is truncated, altered or of an unknown version.
    """
    if len(record) < _HEAD.size + _BODY.size:
        raise Damaged(f"verification record of {len(record)} bytes is truncated: {REMEDY}")
    magic, version, stated = _HEAD.unpack_from(record)
    body = record[_HEAD.size :]
    if magic != MAGIC or version != VERSION:
        raise Damaged(f"not a verification record of version {VERSION}: {REMEDY}")
    if zlib.crc32(body) != stated:
        raise Damaged(f"verification record does not match its checksum: {REMEDY}")
    width, height, left, top, right, bottom, count, length, colored = _BODY.unpack_from(body)
    start = _BODY.size + length
    if len(body) != start + count * POINT_BYTES:
        raise Damaged(f"verification record has another length than it states: {REMEDY}")
    try:
        with Image.open(io.BytesIO(body[_BODY.size : start]), formats=["WEBP"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise Damaged(f"the image of a verification record cannot be decoded ({error}): {REMEDY}") from error
    places = _unpack_places(body[start : start + 3 * count])
    signs = np.unpackbits(np.frombuffer(body, np.uint8, offset=start + 3 * count).reshape(count, 8), axis=1)
    descriptors = (signs.astype(np.float32) * 2 - 1) / np.float32(8)
    border = Box(*(share / 65535 for share in (left, top, right, bottom)))
    features = LocalFeatures(places, descriptors, signs_only=True) if count else None
    colors = None
    if colored:
        factor = min(1.0, COLOR_SIDE / max(pixels.shape[:2]))
        colors = shrink_coarsely(pixels, *(max(1, round(pixels.shape[axis] * factor)) for axis in (1, 0)))
    return Side(luma_of(pixels), colors, width, height, border=border, features=features, capture=capture)


def is_intact(record: bytes) -> bool:
    """Whether this is a record of the version that this code writes, as it was written; its image is not decoded."""
    if len(record) < _HEAD.size + _BODY.size:
        return False
    magic, version, stated = _HEAD.unpack_from(record)
    return (magic, version, stated) == (MAGIC, VERSION, zlib.crc32(record[_HEAD.size :]))


def _encoded(side: Side) -> bytes:
    """The image as WebP, as large as the budget allows."""
    data = b""
    for longest in IMAGE_SIDES:
        factor = min(1.0, longest / max(side.luma.shape))
        height, width = (max(1, round(length * factor)) for length in side.luma.shape)
        luma = shrink(side.luma, width, height)
        pixels = luma if side.colors is None else _colored(luma, side.colors)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=4)
        data = file.getvalue()
        if len(data) <= IMAGE_BUDGET:
            break
    return data


def _colored(luma: Pixels, colors: Pixels) -> Pixels:
    """Luma with the chroma of a smaller color image."""
    large = shrink(colors, luma.shape[1], luma.shape[0])
    difference = luma.astype(np.int16) - luma_of(large)
    return np.asarray(np.clip(large.astype(np.int16) + difference[..., None], 0, 255), np.uint8)


def _pack_places(points: NDArray[np.float32]) -> bytes:
    """Relative coordinates in 12 bits each."""
    x, y = np.clip(np.rint(points * _GRID), 0, _GRID).astype(np.uint32).T
    packed = (x << 12) | y
    return np.stack([packed & 255, packed >> 8 & 255, packed >> 16], axis=1).astype(np.uint8).tobytes()


def _unpack_places(data: bytes) -> NDArray[np.float32]:
    low, middle, high = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.uint32).T
    packed = low | middle << 8 | high << 16
    return np.asarray(np.stack([packed >> 12, packed & 4095], axis=1) / np.float32(_GRID), np.float32)
