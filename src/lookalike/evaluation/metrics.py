"""Measures of a search: recall, micro-average precision, recall at a false-answer rate, and bootstrap intervals.

All functions take optional weights, one a row, so that a bootstrap resamples by counting rows instead of copying them.
Scores are confidences: higher is surer. Equal scores are accepted or rejected together, so no result depends on their
order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.estimation import wilson_interval

Floats = NDArray[np.float64]
NO_ANSWER = -np.inf
"""The score of a query without an answer."""
RESAMPLES = 400
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its interval of 95 % confidence; all None where the sample cannot show it."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """All hits of all queries: score, whether the hit is the original, and the number of the query's image.

    `weights` is how many queries have this hit; `positives` is, by image, the number of its queries that have an
    original.
    """

    scores: Floats
    correct: NDArray[np.bool_]
    images: NDArray[np.intp]
    weights: Floats
    positives: Floats


def recall_at_k(ranks: Floats, k: int, weights: Floats | None = None) -> float:
    """Return the share of queries whose original is among the first k hits.

    Args:
        ranks: `(n,)` rank of the original, from 1; infinite where it was not found.
        k: Hits that count.
        weights: `(n,)` weight of each query.
    """
    return _share(ranks <= k, weights)


def micro_average_precision(
    scores: Floats, correct: NDArray[np.bool_], positives: float, weights: Floats | None = None
) -> float:
    """Return the micro-average precision (uAP): average precision over the hits of all queries in one ranking.

    Defined as in the Image Similarity Challenge (Douze et al. 2021, arXiv:2106.09672): the sum, over the thresholds,
    of the gain in recall times the precision.

    Args:
        scores: `(n,)` of every hit.
        correct: `(n,)` whether a hit is the original.
        positives: Number of queries that have an original, found or not.
        weights: `(n,)` weight of each hit.
    """
    recall, precision, _ = precision_recall(scores, correct, positives, weights)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def precision_recall(
    scores: Floats, correct: NDArray[np.bool_], positives: float, weights: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return recall, precision and threshold at every distinct score, from the highest down; see
    `micro_average_precision` for the arguments."""
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(order) else np.empty(0, np.intp)
    right = np.cumsum(weights[order] * correct[order])[last]
    answers = np.cumsum(weights[order])[last]
    some = answers > 0  # a bootstrap gives weight 0 to the rows that it left out
    right, answers = right[some], answers[some]
    return right / max(positives, 1e-12), right / answers, ordered[last][some]


def threshold_at_false_rate(negatives: Floats, rate: float, weights: Floats | None = None) -> float:
    """Return the lowest threshold that at most this share of negatives exceeds.

    Args:
        negatives: `(n,)` score of the best hit of each query that has no original; `NO_ANSWER` without hits.
        rate: Share in 0..1.
        weights: `(n,)` weight of each query.
    """
    weights = np.ones(len(negatives)) if weights is None else weights
    counted = weights > 0
    negatives, weights = negatives[counted], weights[counted]
    allowed = rate * weights.sum() + 1e-9
    distinct, place = np.unique(negatives, return_inverse=True)
    by_score = np.bincount(place, weights, minlength=len(distinct))
    above = np.append(np.cumsum(by_score[::-1])[::-1], 0.0)  # above[i]: weight at or above distinct[i]
    if above[0] <= allowed:
        return NO_ANSWER
    return float(distinct[np.flatnonzero(above[1:] <= allowed)[0]])


def recall_at_false_rate(
    right: Floats,
    negatives: Floats,
    rate: float,
    right_weights: Floats | None = None,
    negative_weights: Floats | None = None,
) -> float:
    """Return the share of queries answered rightly where at most this share of negatives gets an answer.

    Args:
        right: `(n,)` score of the first hit of each query where it is the original; `NO_ANSWER` where it is not.
        negatives: `(m,)` score of the first hit of each query that has no original.
        rate: Share of negatives in 0..1.
        right_weights: `(n,)`.
        negative_weights: `(m,)`.
    """
    threshold = threshold_at_false_rate(negatives, rate, negative_weights)
    return _share(right > threshold, right_weights)


def bootstrap(
    statistic: Callable[[Floats], float], images: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Return a statistic with its percentile bootstrap interval (Efron 1979) over images.

    Whole images are drawn, with all their queries, because the edited copies of one image succeed and fail together.
    Where no resample differs, as for values 0 and 1, chance cannot be seen in them; then the interval is that of a
    share of as many independent trials as there are images (Wilson 1927).

    Args:
        statistic: Takes a weight for each image, and returns the value.
        images: Number of images.
        seed: Of the resamples.
        resamples: Number of resamples.
    """
    if images == 0:
        return Estimate()
    rng = np.random.default_rng(seed)
    value = statistic(np.ones(images))
    draws = rng.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)
    values = np.array([statistic(weights) for weights in draws])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    if high - low < 1e-9:
        low, high = wilson_interval(value, images)
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def _share(condition: NDArray[np.bool_], weights: Floats | None) -> float:
    if weights is None:
        return float(condition.mean()) if len(condition) else 0.0
    total = float(weights.sum())
    return float(weights[condition].sum()) / total if total else 0.0
