"""Views of an image over other backgrounds, to search with: a copy of a transparent image may be over any.

A transparent query is laid over every background. An opaque one that has a flat white or black background may be such
a copy: its background is taken to be transparent, and replaced by each of the others.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.imaging.color import BACKGROUNDS, MIN_CONTRAST
from lookalike.types import Pixels

OTHER_BACKGROUNDS: Final = len(BACKGROUNDS) - 1
MAX_SIDE: Final = 1024
"""The smaller side, in pixels, beyond which an opaque image is reduced before its background is replaced."""
FLAT_LEVELS: Final = (255, 0)
"""Grey levels of backgrounds that are replaced."""
TOLERANCE: Final = 6
"""Levels by which a background may differ from them, as JPEG leaves it."""
MIN_EDGE_SHARE: Final = 0.98
"""The share of an image's outermost pixels that must be of the background."""


def other_backgrounds(content: Pixels, alpha: Pixels, background: int) -> Iterator[Pixels]:
    """An image over each other background; `content` is over `background`, `alpha` has one channel."""
    clear = 255 - alpha.astype(np.int32)
    for level in BACKGROUNDS:
        if level != background:
            yield _relay(content, clear, level - background)


def replaced_backgrounds(content: Pixels, whole: Pixels) -> Iterator[Pixels]:
    """An opaque image with its flat background replaced by each other one; none where it has no such background.

    The background is looked for along the edges of the `whole` image, and replaced in its `content`.
    """
    level = _flat_level(whole)
    if level is None:
        return
    if (factor := min(content.shape[:2]) // MAX_SIDE) > 1:
        content = np.asarray(Image.fromarray(content).reduce(factor))
    difference = np.abs(content.astype(np.int32) - level)
    if difference.ndim == 3:
        difference = difference.max(axis=2)
    # a pixel between background and content is taken for a mixture of both
    clear = 255 - np.minimum(difference * 255 // MIN_CONTRAST, 255)
    for other in BACKGROUNDS:
        if other != level:
            yield _relay(content, clear, other - level)


def is_on_flat_background(whole: Pixels) -> bool:
    """Whether the edges of an image are of a flat background that can be replaced."""
    return _flat_level(whole) is not None


def _relay(content: Pixels, clear: NDArray[np.int32], change: int) -> Pixels:
    """Add `change` to what shows the background, by the share in 0..255 in which it does."""
    added = (clear * change + 127) // 255
    if content.ndim == 3:
        added = added[:, :, None]
    view: Pixels = np.clip(content + added, 0, 255).astype(np.uint8)
    return view


def _flat_level(whole: Pixels) -> int | None:
    edges = np.concatenate([edge.reshape(-1) for edge in (whole[0], whole[-1], whole[:, 0], whole[:, -1])])
    for level in FLAT_LEVELS:
        if (np.abs(edges.astype(np.int16) - level) <= TOLERANCE).mean() >= MIN_EDGE_SHARE:
            return level
    return None
