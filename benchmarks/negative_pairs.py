"""Distances of negative pairs (unrelated images): the data behind a pipeline's calibration.

A distance is not comparable between pipelines; the false-match rate, the share of negative pairs at most that far
apart, is. It is measured here on real images, and kept with a pipeline as anchors (distance, log10 of that rate).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import pairwise
from lookalike.errors import BadInput
from lookalike.types import Features, Metric

BINS = 20_000
"""Bins of the histogram of cosine distances, from 0 to 2: 0.0001 each."""
RATES = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.6)
"""The shares of unrelated pairs at which anchors are set."""
MIN_PAIRS = 10
"""Pairs that must lie below an anchor, so that chance moves its rate by no more than about a third (1 / sqrt(10))."""
_BLOCK = 256

Anchor = tuple[float, float]
"""(distance in 0..1, log10 of the share of unrelated pairs at most that far apart)."""


@dataclass(frozen=True, slots=True)
class NegativePairs:
    """The distances of unrelated pairs: `counts[i]` of `pairs` were in bin `i`, at most `edges[i]` (0..1) apart."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    pairs: int

    def rate(self, distance: float) -> float:
        """The share of unrelated pairs at most this far apart, 0..1."""
        last = int(np.searchsorted(self.edges, distance + 1e-9, side="right"))
        return float(self.counts[:last].sum()) / self.pairs

    def threshold(self, rate: float) -> float:
        """The largest distance (0..1) at which at most this share of unrelated pairs is accepted; -1 if there is none.

        Raises BadInput where fewer than `MIN_PAIRS` pairs would decide it: more images are needed.
        """
        if rate * self.pairs < MIN_PAIRS:
            raise BadInput(
                f"A rate of {rate:g} cannot be measured with {self.pairs:,} unrelated pairs: "
                f"it takes {MIN_PAIRS / rate:,.0f} of them, so measure with more images."
            )
        within = np.flatnonzero(np.cumsum(self.counts) <= rate * self.pairs)
        return float(self.edges[within[-1]]) if len(within) else -1.0

    def anchors(self, rates: Sequence[float] = RATES) -> list[Anchor]:
        """Anchors for these rates, distances and rates strictly rising; rates too small to be measured are left out.

        Each anchor has the true rate of its distance, at most the requested one.
        """
        anchors: list[Anchor] = []
        for rate in sorted(rates):
            if rate * self.pairs < MIN_PAIRS:
                continue
            distance = self.threshold(rate)
            real = self.rate(distance)
            if real * self.pairs >= MIN_PAIRS and (not anchors or distance > anchors[-1][0]):
                anchors.append((distance, math.log10(real)))
        return anchors


def negative_pair_distances(
    metric: Metric, features: Features, groups: Sequence[str], *, views: Features | None = None
) -> NegativePairs:
    """Count the distances between images of different groups, each image once as the query of each other.

    `features` are `(n, width)`, as an index holds them; `groups` are n labels, the same for images that are related
    in any way (copies, the same scene, the same kind of thing). `views` `(n, v, width)` are the queries where a search
    uses several views of an image: the nearest view counts. Distances are scaled to 0..1: bits / bits of a row,
    or 1 - cosine (a distance above 1, between opposite vectors, is kept as it is). Raises BadInput where there are no
    two groups, or counts that do not match.
    """
    labels = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)[1]
    if len(labels) != len(features) or (views is not None and len(views) != len(features)):
        raise BadInput(f"{len(features)} features need as many groups and views, not {len(labels)}.")
    if len(labels) == 0 or labels.max() == 0:
        raise BadInput("Negative pairs need images of at least two groups.")
    queries = features[:, None, :] if views is None else views
    bits = features.shape[1] * 8 if metric == "hamming" else 0
    steps = np.arange(bits + 1) if bits else np.arange(1, BINS + 1)
    edges = steps.astype(np.float64) / (bits or BINS / 2)
    counts = np.zeros(len(edges), np.int64)
    for start in range(0, len(features), _BLOCK):
        part = slice(start, start + _BLOCK)
        nearest = _nearest_view(metric, queries[part], features)
        negative = nearest[labels[part, None] != labels[None, :]]
        bins = negative if bits else np.ceil(negative * (BINS / 2) - 1e-6) - 1
        counts += np.bincount(np.clip(bins, 0, len(edges) - 1).astype(np.int64), minlength=len(edges))
    return NegativePairs(edges, counts, int(counts.sum()))


def _nearest_view(metric: Metric, queries: Features, rows: Features) -> NDArray[np.float64]:
    """The distance of each query's nearest view from each row: `(q, v, width)` and `(n, width)` give `(q, n)`."""
    count, views, width = queries.shape
    flat = queries.reshape(count * views, width)
    if metric == "hamming":
        table = pairwise(metric, flat, rows)
    else:
        table = 1 - flat.astype(np.float32) @ rows.astype(np.float32).T
    nearest: NDArray[np.float64] = table.reshape(count, views, len(rows)).min(axis=1).astype(np.float64)
    return nearest
