"""From the bytes of a picture to clean pixels in the sizes that encoders want."""

from lookalike.imaging.clean import cut, find_border
from lookalike.imaging.decode import Decoded, decode
from lookalike.imaging.limits import Limits
from lookalike.imaging.pool import DecodePool, Source, Unchanged
from lookalike.imaging.prepare import prepare, read_bytes, resize_to

__all__ = [
    "DecodePool",
    "Decoded",
    "Limits",
    "Source",
    "Unchanged",
    "cut",
    "decode",
    "find_border",
    "prepare",
    "read_bytes",
    "resize_to",
]
