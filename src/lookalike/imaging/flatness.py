"""Images that show nothing: one color or one gradient, with no more than noise on it.

Whatever an encoder makes of such an image says nothing about it: networks find all of them alike. Of 600 photos none
varies by less than 94 levels between blocks; scanned blank pages vary by 5, noise with a deviation of 10 levels by 10.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Pixels

BLOCKS: Final = 32
"""Rows and columns of blocks whose mean colors are compared."""
MAX_BLOCK_RANGE: Final = 12.0
"""Levels by which the blocks of a flat image may differ from a plane (a linear gradient) through all of them."""
MAX_DEVIATION: Final = 16.0
"""Standard deviation, in levels, of the pixels of a flat image from the means of their blocks: noise. A fine pattern
has more."""


def has_content(images: Pixels) -> NDArray[np.bool_]:
    """Whether each of a batch, `(n, height, width, 3)` uint8, shows more than a color or a gradient: `(n,)` bool."""
    return np.array([_has_content(image) for image in images], np.bool_)


def _has_content(image: Pixels) -> bool:
    rows, columns = (max(1, side // BLOCKS) for side in image.shape[:2])
    height, width = (image.shape[0] // rows, image.shape[1] // columns)
    blocks = image[: height * rows, : width * columns].reshape(height, rows, width, columns, -1).astype(np.float32)
    means = blocks.mean(axis=(1, 3))
    y, x = (np.linspace(-0.5, 0.5, side) for side in (height, width))
    rest = means - means.mean(axis=(0, 1))
    for axis in (y[:, None, None] * np.ones((1, width, 1)), x[None, :, None] * np.ones((height, 1, 1))):
        if norm := float((axis**2).sum()):
            rest = rest - axis * ((rest * axis).sum(axis=(0, 1)) / norm)
    if float(np.ptp(rest, axis=(0, 1)).max()) > MAX_BLOCK_RANGE:
        return True
    return float((blocks - means[:, None, :, None]).std(axis=(0, 1, 2, 3)).max()) > MAX_DEVIATION
