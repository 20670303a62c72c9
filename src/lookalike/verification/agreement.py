"""Agreement of two aligned grey images: local correlation, and the windows in which they disagree."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Box
from lookalike.verification.raster import Grey, components, window_mean

MIN_VARIANCE: Final = 25.0
"""Variance of luma in a window (levels squared) from which a pixel counts as textured: twice the noise of JPEG 15."""
STRONG_VARIANCE: Final = 150.0
"""Variance from which disagreement is a difference; weaker texture is lost by compression, print has thousands."""
NOISE_VARIANCE: Final = 4.0
"""Added to both variances, so that noise on flat areas doesn't correlate or fail to."""
MIN_CORRELATION: Final = 0.7
"""Correlation from which a pixel's surroundings agree."""
MIN_TEXTURED: Final = 60
"""Textured pixels below which nothing is known."""
CELL: Final = 12
"""Pixels a side of the cells in which disagreement is gathered: one line of small text."""
MIN_CELL_TEXTURE: Final = 0.15
"""Share of a cell's pixels that must be textured for the cell to count."""
MAX_CELL_AGREEMENT: Final = 0.45
"""Share of a cell's textured pixels that agree, up to which the cell disagrees."""

MIN_CELL_DISAGREEING: Final = (1 - MAX_CELL_AGREEMENT) * MIN_CELL_TEXTURE * CELL * CELL
"""The fewest pixels that disagree in a cell that does."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """`share` of the textured pixels that agree, None where there are too few; `textured` share of the compared ones.

    `differing` is the share of the textured cells that are in connected groups which disagree, `largest` the number of
    cells of the largest group, `boxes` are the groups, largest first, relative to the compared images.
    """

    share: float | None
    textured: float
    differing: float
    largest: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Moments:
    """Local means and variances of a blurred image."""

    image: Grey
    mean: Grey
    variance: Grey


def moments(image: Grey) -> Moments:
    """Means and variances of the windows of a blurred image."""
    mean = window_mean(image)
    variance = window_mean(image * image)
    variance -= mean * mean
    return Moments(image, mean, variance)


def correlate(first: Moments, second: Moments) -> tuple[Grey, NDArray[np.bool_]]:
    """Of every pixel: the larger variance of the two images around it, and whether they agree there."""
    covariance = window_mean(first.image * second.image)
    covariance -= first.mean * second.mean
    least = first.variance + np.float32(NOISE_VARIANCE)
    least *= second.variance + np.float32(NOISE_VARIANCE)
    least *= np.float32(MIN_CORRELATION**2)
    agrees = covariance > 0
    covariance *= covariance
    agrees &= covariance > least
    return np.maximum(first.variance, second.variance), agrees


def share_agreeing(first: Moments, second: Moments) -> float | None:
    """The share of textured pixels that agree; None where there are too few."""
    variance, agrees = correlate(first, second)
    textured = variance > MIN_VARIANCE
    count = np.count_nonzero(textured)
    return float(np.count_nonzero(textured & agrees) / count) if count >= MIN_TEXTURED else None


@dataclass(frozen=True, slots=True)
class AgreementMap:
    """Where two aligned images agree: `share` and `textured` of `Agreement`, strong texture, and what agrees of it."""

    share: float | None
    textured: float
    strong: NDArray[np.bool_]
    agrees: NDArray[np.bool_]

    def with_groups(self) -> Agreement:
        """The result with the groups of cells that disagree, which cost as much as the map."""
        if self.share is None:
            return Agreement(None, self.textured, 0.0, 0, ())
        return Agreement(self.share, self.textured, *_groups(self.strong, self.agrees))


def agreement(first: Moments, second: Moments, mask: NDArray[np.bool_] | None) -> AgreementMap:
    """Compare two aligned blurred images where `mask` holds; None: everywhere."""
    variance, agrees = correlate(first, second)
    textured, strong = variance > MIN_VARIANCE, variance > STRONG_VARIANCE
    if mask is not None:
        textured &= mask
        strong &= mask
    count = int(np.count_nonzero(textured))
    compared = max(textured.size if mask is None else int(np.count_nonzero(mask)), 1)
    agrees &= textured
    share = float(np.count_nonzero(agrees) / count) if count >= MIN_TEXTURED else None
    agrees &= strong
    return AgreementMap(share, count / compared, strong, agrees)


def _groups(textured: NDArray[np.bool_], agrees: NDArray[np.bool_]) -> tuple[float, int, tuple[Box, ...]]:
    """Connected cells that disagree: their share of the textured cells, the largest group, and boxes of all."""
    if np.count_nonzero(textured) - np.count_nonzero(agrees) < MIN_CELL_DISAGREEING:
        return 0.0, 0, ()
    texture, agreeing = _cell_sums(textured), _cell_sums(agrees)
    counts = texture >= MIN_CELL_TEXTURE * CELL * CELL
    total = int(np.count_nonzero(counts))
    if not total:
        return 0.0, 0, ()
    disagreeing = counts & (agreeing <= MAX_CELL_AGREEMENT * texture)
    groups = sorted(components(disagreeing), key=lambda group: -group.size)
    height, width = textured.shape
    boxes = tuple(
        Box(
            group.left * CELL / width,
            group.top * CELL / height,
            min(group.right * CELL / width, 1.0),
            min(group.bottom * CELL / height, 1.0),
        )
        for group in groups
    )
    return sum(group.size for group in groups) / total, max((group.size for group in groups), default=0), boxes


def _cell_sums(values: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number of true values in each cell; the last cells may be smaller."""
    # at most CELL in a column of a cell: bytes hold them, and are added several times as fast as integers
    rows = np.add.reduceat(values.view(np.uint8), range(0, values.shape[0], CELL), axis=0, dtype=np.uint8)
    sums: NDArray[np.intp] = np.add.reduceat(rows, range(0, values.shape[1], CELL), axis=1, dtype=np.intp)
    return sums
