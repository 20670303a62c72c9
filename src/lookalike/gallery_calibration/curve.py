"""False answers and probability of a copy by the value of one measure, fitted to a sample."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.estimation import isotonic, wilson_interval
from lookalike.types import Probability

MAX_TAIL, MAX_QUANTILES = 200, 200
"""Points kept of a distribution: its surest values one by one, and quantiles of the rest."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """One measure: false answers and probability by value.

    Attributes:
        shares: (value, share of queries without an original whose surest hit is at most at this value), rising;
            between two of them the share is interpolated.
        steps: (value, probability, low, high): the probability of hits up to this value, falling.
        images: Images that the queries were made of: the size of the sample.
    """

    shares: tuple[tuple[float, float], ...]
    steps: tuple[tuple[float, float, float, float], ...]
    images: int

    def false_share(self, value: float, growth: float = 1.0) -> float:
        """Return the share of queries without an original that get a hit at least as sure.

        Args:
            value: Of the measure.
            growth: Images in the gallery now, divided by those at the calibration.
        """
        return _grown(max(self.seen(value) * self.images, 1) / (self.images + 1), growth)

    def seen(self, value: float) -> float:
        """Return the share of the sample's queries without an original that have a hit at least as sure.

        It is interpolated between the values of the sample, and below the lowest down to 0, so that it orders values
        of which the sample shows nothing, too; it promises nothing.
        """
        at = bisect_right(self.shares, (value, np.inf))
        if at == len(self.shares):
            return self.shares[-1][1] if self.shares else 0.0
        (below, low), (above, high) = self.shares[at - 1] if at else (0.0, 0.0), self.shares[at]
        return low + (high - low) * max(value - below, 0.0) / (above - below)

    def value_at(self, share: float, growth: float = 1.0) -> float | None:
        """Return the value up to which hits are false for at most this share of queries; None below `floor`."""
        if share < self.floor(growth):
            return None
        seen = (1 - (1 - share) ** (1 / max(growth, 1.0))) * (self.images + 1) / self.images
        if not self.shares or seen >= self.shares[-1][1]:
            return np.inf
        values, shares = zip((0.0, 0.0), *self.shares, strict=True)
        return float(np.interp(seen, shares, values))

    def floor(self, growth: float = 1.0) -> float:
        """Return the lowest share of false answers that the sample can show."""
        return _grown(1 / (self.images + 1), growth)

    def probability(self, value: float, growth: float = 1.0) -> Probability:
        """Return the probability that a hit with this value is a copy; see `false_share` for the arguments."""
        at = min(bisect_right(self.steps, (value, np.inf)), len(self.steps) - 1)
        _, p, low, high = self.steps[at]
        factor = max(growth, 1.0)
        return Probability(*(q / (q + (1 - q) * factor) for q in (p, low, high)))

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return a stored curve; raises KeyError, TypeError or ValueError for what is none."""
        shares = tuple((float(value), float(share)) for value, share in stored["shares"])
        steps = tuple((float(a), float(p), float(low), float(high)) for a, p, low, high in stored["steps"])
        return cls(shares, steps, int(stored["images"]))


def fit_curve(copies: Floats, negatives: Floats, images: int) -> Curve:
    """Fit a curve to measured values.

    Args:
        copies: `(n,)` value of the original, of the queries that found it.
        negatives: `(m,)` value of the surest hit of each query without an original; infinite without hits.
        images: Images that the queries were made of.
    """
    return Curve(_shares(negatives), _steps(copies, negatives[np.isfinite(negatives)], images), images)


def _shares(negatives: Floats) -> tuple[tuple[float, float], ...]:
    ordered = np.sort(negatives[np.isfinite(negatives)])
    distinct, first = np.unique(ordered, return_index=True)
    if not len(distinct):
        return ()
    shares = np.append(first[1:], len(ordered)) / len(negatives)
    tail = np.arange(min(MAX_TAIL, len(distinct)))
    rest = np.linspace(0, len(distinct) - 1, MAX_QUANTILES).round().astype(np.intp)
    kept = np.union1d(tail, rest)
    return tuple(zip(distinct[kept].tolist(), shares[kept].tolist(), strict=True))


def _steps(copies: Floats, negatives: Floats, images: int) -> tuple[tuple[float, float, float, float], ...]:
    values = np.concatenate([copies, negatives])
    labels = np.concatenate([np.ones(len(copies)), np.zeros(len(negatives))])
    order = np.lexsort((labels, values))  # of equal values the negatives first, which pools them
    values, fitted = values[order], isotonic(labels[order])
    bound = 1 / (images + 2)
    blocks: list[tuple[float, float, float, float]] = []
    low_so_far, high_so_far = 1.0, 1.0
    start = 0
    while start < len(values):
        end = start
        while end < len(values) and fitted[end] == fitted[start]:
            end += 1
        share, count = float(fitted[start]), end - start
        low, high = wilson_interval(share, count)
        low_so_far, high_so_far = min(low_so_far, low), min(high_so_far, high)
        p = min(max(share, bound), 1 - bound)
        upper = float(values[end]) if end < len(values) else np.inf
        blocks.append((min(upper, 2.0), p, min(low_so_far, p), max(high_so_far, p)))
        start = end
    return tuple(blocks) or ((2.0, 0.5, 0.0, 1.0),)


def _grown(share: float, growth: float) -> float:
    rest: float = (1 - share) ** max(growth, 1.0)
    return 1 - rest
