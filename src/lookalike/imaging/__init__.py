"""Imaging: decoding, border removal, resizing to encoder inputs, thumbnails, decoding in processes."""

from lookalike.imaging.borders import crop_border, find_border
from lookalike.imaging.decode_pool.pool import DecodePool, Source, Unchanged
from lookalike.imaging.decoding import decode
from lookalike.imaging.limits import Limits
from lookalike.imaging.preprocessing import prepare, read_bytes
from lookalike.imaging.resizing import resize_to
from lookalike.imaging.thumbnails import make_thumbnail, thumbnail_of

__all__ = [
    "DecodePool",
    "Limits",
    "Source",
    "Unchanged",
    "crop_border",
    "decode",
    "find_border",
    "make_thumbnail",
    "prepare",
    "read_bytes",
    "resize_to",
    "thumbnail_of",
]
