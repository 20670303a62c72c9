"""Imaging: decoding, border removal, resizing to encoder inputs, thumbnails, decoding in processes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.imaging.borders import crop_border as crop_border
    from lookalike.imaging.borders import find_border as find_border
    from lookalike.imaging.decode_pool.pool import DecodePool as DecodePool
    from lookalike.imaging.decode_pool.pool import Source as Source
    from lookalike.imaging.decode_pool.pool import Unchanged as Unchanged
    from lookalike.imaging.decoding import decode as decode
    from lookalike.imaging.files import read_bytes as read_bytes
    from lookalike.imaging.limits import Limits as Limits
    from lookalike.imaging.preprocessing import prepare as prepare
    from lookalike.imaging.resizing import resize_to as resize_to
    from lookalike.imaging.thumbnails import make_thumbnail as make_thumbnail
    from lookalike.imaging.thumbnails import thumbnail_of as thumbnail_of

# Imported on first use: the HTTP client reads files within limits, and needs no decoder for that.
_MODULES = {
    "DecodePool": "decode_pool.pool",
    "Limits": "limits",
    "Source": "decode_pool.pool",
    "Unchanged": "decode_pool.pool",
    "crop_border": "borders",
    "decode": "decoding",
    "find_border": "borders",
    "make_thumbnail": "thumbnails",
    "prepare": "preprocessing",
    "read_bytes": "files",
    "resize_to": "resizing",
    "thumbnail_of": "thumbnails",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
