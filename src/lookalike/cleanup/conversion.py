"""Whether a file without loss was made from a JPEG: whether it has exactly the pixels of that, turned or mirrored."""

from collections.abc import Sequence

import numpy as np

from lookalike.errors import ImageRejected
from lookalike.imaging import decode, read_bytes
from lookalike.imaging.limits import DEFAULT_LIMITS
from lookalike.types import Decoded, Pixels


def is_converted(path: str, jpegs: Sequence[str]) -> bool:
    """Whether a file was converted from a JPEG; the other way round, the pixels would differ.

    Args:
        path: A file of a format without loss.
        jpegs: JPEG files of its size.

    Returns:
        Whether all pixels are those of one of them, in one of the eight orientations; a file that cannot be read is
        none.
    """
    converted = _read(path) if jpegs else None
    if converted is None or converted.alpha is not None or converted.frames > 1:
        return False
    return any(jpeg is not None and _are_turned(converted.rgb, jpeg.rgb) for jpeg in map(_read, jpegs))


def _read(path: str) -> Decoded | None:
    try:
        return decode(read_bytes(path, DEFAULT_LIMITS))
    except (ImageRejected, OSError):
        return None


def _are_turned(first: Pixels, second: Pixels) -> bool:
    """Whether two images have the same pixels in one of the eight orientations."""
    views = (np.rot90(image, quarters) for image in (second, second[:, ::-1]) for quarters in range(4))
    return any(np.array_equal(first, view) for view in views)
