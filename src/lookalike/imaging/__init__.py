"""From the bytes of a picture to clean pixels in the sizes that encoders want."""

from lookalike.imaging.clean import cut, find_border
from lookalike.imaging.decode import decode
from lookalike.imaging.limits import Limits
from lookalike.imaging.pool import DecodePool, Source, Unchanged
from lookalike.imaging.prepare import prepare, read_bytes, resize_to
from lookalike.imaging.thumbnail import make_thumbnail, thumbnail_of

__all__ = [
    "DecodePool",
    "Limits",
    "Source",
    "Unchanged",
    "cut",
    "decode",
    "find_border",
    "make_thumbnail",
    "prepare",
    "read_bytes",
    "resize_to",
    "thumbnail_of",
]
