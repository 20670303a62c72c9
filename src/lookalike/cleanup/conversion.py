"""Whether a file without loss was made from a JPEG: whether it has exactly the pixels of that, turned or mirrored."""

import numpy as np

from lookalike.errors import ImageRejected
from lookalike.imaging import decode, read_bytes
from lookalike.imaging.limits import DEFAULT_LIMITS
from lookalike.types import Pixels


def is_converted(path: str, jpeg: str) -> bool:
    """Whether a file was converted from a JPEG; the other way round, the pixels would differ.

    Args:
        path: A file of a format without loss.
        jpeg: A JPEG file.

    Returns:
        Whether all pixels are the same, in one of the eight orientations; not where one of the files cannot be read.
    """
    try:
        converted = decode(read_bytes(path, DEFAULT_LIMITS), limits=DEFAULT_LIMITS)
        if converted.alpha is not None or converted.frames > 1:
            return False
        return _are_turned(converted.rgb, decode(read_bytes(jpeg, DEFAULT_LIMITS), limits=DEFAULT_LIMITS).rgb)
    except (ImageRejected, OSError):
        return False


def _are_turned(first: Pixels, second: Pixels) -> bool:
    """Whether two images have the same pixels in one of the eight orientations."""
    views = (np.rot90(image, quarters) for image in (second, second[:, ::-1]) for quarters in range(4))
    return any(np.array_equal(first, view) for view in views)
