"""From the bytes of an image to clean pixels in the sizes that encoders want."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.imaging.borders import cut, find_border
    from lookalike.imaging.decode_pool.pool import DecodePool, Source, Unchanged
    from lookalike.imaging.decoding import decode
    from lookalike.imaging.files import read_bytes
    from lookalike.imaging.limits import Limits
    from lookalike.imaging.preprocessing import prepare, resize_to
    from lookalike.imaging.thumbnails import make_thumbnail, thumbnail_of

# Imported on first use: the HTTP client reads files within limits, and needs no decoder for that.
_MODULES = {
    "DecodePool": "decode_pool.pool",
    "Limits": "limits",
    "Source": "decode_pool.pool",
    "Unchanged": "decode_pool.pool",
    "cut": "borders",
    "decode": "decoding",
    "find_border": "borders",
    "make_thumbnail": "thumbnails",
    "prepare": "preprocessing",
    "read_bytes": "files",
    "resize_to": "preprocessing",
    "thumbnail_of": "thumbnails",
}
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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
