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
    from lookalike.imaging.limits import Limits as Limits
    from lookalike.imaging.limits import read_bytes as read_bytes
    from lookalike.imaging.pixels import encode_pixels as encode_pixels
    from lookalike.imaging.preprocessing import prepare as prepare
    from lookalike.imaging.preprocessing import read_and_prepare as read_and_prepare
    from lookalike.imaging.resizing import reduce_to as reduce_to
    from lookalike.imaging.resizing import resize_to as resize_to
    from lookalike.imaging.thumbnails import make_jpeg as make_jpeg
    from lookalike.imaging.thumbnails import make_thumbnail as make_thumbnail
    from lookalike.imaging.thumbnails import thumbnail_of as thumbnail_of

# Imported on first use: the HTTP client reads files within limits and a gallery lists its images, without a decoder.
_MODULES = {
    "borders": ("crop_border", "find_border"),
    "decode_pool.pool": ("DecodePool", "Source", "Unchanged"),
    "decoding": ("decode",),
    "limits": ("Limits", "read_bytes"),
    "pixels": ("encode_pixels",),
    "preprocessing": ("prepare", "read_and_prepare"),
    "resizing": ("reduce_to", "resize_to"),
    "thumbnails": ("make_jpeg", "make_thumbnail", "thumbnail_of"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
