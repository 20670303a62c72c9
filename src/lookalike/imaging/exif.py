"""How an image must be turned so that it stands as a viewer shows it (EXIF, tag 0x0112)."""

from typing import Final

from PIL import Image

_ORIENTATION: Final = 0x0112
_UPRIGHTING: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS: Final = frozenset(
    {Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90}
)
"""Turns that swap width and height."""


def turn_of(exif: bytes | None) -> Image.Transpose | None:
    """The turn that a file's EXIF data ask for; damaged data are as good as none."""
    if not exif:
        return None
    tags = Image.Exif()
    try:
        tags.load(exif)
        return _UPRIGHTING.get(tags.get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - as many kinds as there are ways to damage it, and the image is still good
        return None
