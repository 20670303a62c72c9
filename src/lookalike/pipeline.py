"""Pipelines: an encoder, the index of its features, and the calibration of its distances."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadSetting, FeatureMismatch
from lookalike.interfaces import Encoder, VectorIndex
from lookalike.types import (
    FULLY_EXACT,
    NO_GUARANTEE,
    EncodedViews,
    FeatureSpec,
    Ids,
    InputSpec,
    Matches,
    ResolvedFilter,
)

EXTRAPOLATION_DECADES = 1.5
"""Powers of ten over which the slope below the first anchor is taken."""

RATE_DIGITS = 4
"""Significant digits of a false-match rate; it is an estimate."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """False-match rate by distance, measured on unrelated pairs of images ("negatives").

    `anchors` are pairs (distance in 0..1, log10 of the share of negatives within it), rising in both. `threshold` is
    the distance up to which a match counts as a copy. Where they were not `measured`, they preserve the order only.
    """

    anchors: tuple[tuple[float, float], ...]
    threshold: float
    measured: bool = True

    def __post_init__(self) -> None:
        if len(self.anchors) < 2:
            raise BadSetting("a calibration needs at least two anchors (distance, log10 of the false-match rate)")
        for (d0, r0), (d1, r1) in zip(self.anchors, self.anchors[1:], strict=False):
            if not (d0 < d1 and r0 < r1):
                raise BadSetting(f"calibration anchors must rise in both columns: {(d0, r0)} then {(d1, r1)}")
        if not 0 <= self.threshold <= 1:
            raise BadSetting(f"the copy threshold must be in 0..1, not {self.threshold}")

    def log_false_match_rate(self, distance: float) -> float:
        """Return log10 of the share of negatives within a distance: the lower, the stronger the evidence.

        Linear between the anchors and beyond them, so that the distances of different pipelines are on one scale and
        keep their order. Below the first anchor it is an extrapolation, not a measurement.
        """
        (d0, r0), (d1, r1) = self._segment(bisect_left(self.anchors, (distance, -np.inf)))
        return r0 + (distance - d0) * (r1 - r0) / (d1 - d0)

    def false_match_rate(self, distance: float) -> float | None:
        """Return the share (0..1) of negatives within a distance; None where that was not measured.

        It is never below the lowest share that was measured: of smaller distances it is an upper bound.
        """
        if not self.measured:
            return None
        rate = 10 ** min(max(self.log_false_match_rate(distance), self.anchors[0][1]), 0.0)
        return float(f"{rate:.{RATE_DIGITS}g}")

    def distance_at(self, log_rate: float) -> float:
        """Return the distance, in 0..1, of a false-match rate (log10); the inverse of `log_false_match_rate`."""
        (d0, r0), (d1, r1) = self._segment(bisect_left([r for _, r in self.anchors], log_rate))
        return min(max(d0 + (log_rate - r0) * (d1 - d0) / (r1 - r0), 0.0), 1.0)

    def _segment(self, at: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the two anchors whose line applies before anchor `at`.

        Below the first it is the line to the last anchor within `EXTRAPOLATION_DECADES`, which is longer than the first
        step and so less affected by sampling noise.
        """
        if at == 0:
            far = max(
                [1, *(n for n, (_, r) in enumerate(self.anchors) if r <= self.anchors[0][1] + EXTRAPOLATION_DECADES)]
            )
            return self.anchors[0], self.anchors[far]
        at = min(at, len(self.anchors) - 1)
        return self.anchors[at - 1], self.anchors[at]


@dataclass(frozen=True, slots=True)
class ClosedPipeline:
    """What is known of a pipeline whose embedded index is not open; `saved_at` is the sequence number saved with it."""

    spec: FeatureSpec
    calibration: Calibration
    engine: str
    saved_at: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """One query's matches in one pipeline: `ids` and `distances` (0..1), nearest first, ties by id.

    `exact_within` is None where the query has no usable feature: nothing was compared.
    """

    ids: Ids
    distances: NDArray[np.float32]
    exact_within: float | None


class Pipeline:
    """An encoder and the index of its features, with distances normalised to 0..1 (smaller is more similar).

    `engine` is the address of what the index runs on, without passwords.
    """

    def __init__(self, encoder: Encoder, index: VectorIndex, calibration: Calibration, *, engine: str = "") -> None:
        if encoder.spec != index.spec:
            raise FeatureMismatch(f"the index holds {index.spec}, the encoder gives {encoder.spec}")
        self.encoder = encoder
        self.index = index
        self.calibration = calibration
        self.engine = engine

    @property
    def name(self) -> str:
        """The encoder's name, which identifies the pipeline in settings and hits."""
        return self.encoder.spec.name

    @property
    def spec(self) -> FeatureSpec:
        """Name, metric, width and fingerprint of its features."""
        return self.encoder.spec

    @property
    def input(self) -> InputSpec:
        """Size, mode and resampling of the images that its encoder takes."""
        return self.encoder.input

    def search_views(
        self,
        encoded: EncodedViews,
        k: int,
        *,
        tenant: int | None = None,
        filter: ResolvedFilter | None = None,
        max_distance: float | None = None,
        fresh: bool = False,
    ) -> list[Ranked]:
        """Return the k nearest rows of each query within `max_distance` (0..1), by the best of its views.

        A query whose feature is not usable (the hash of a flat image) has no matches.
        """
        features, usable = encoded.features, encoded.usable
        matches: list[Ranked] = [Ranked(np.empty(0, np.int64), np.empty(0, np.float32), None) for _ in usable]
        if usable.any():
            found = self.search_features(
                features[usable], k, tenant=tenant, filter=filter, max_distance=max_distance, fresh=fresh
            )
            for n, ranked in zip(np.flatnonzero(usable), found, strict=True):
                matches[int(n)] = ranked
        return matches

    def search_features(
        self,
        features: NDArray[np.generic],
        k: int,
        *,
        tenant: int | None = None,
        filter: ResolvedFilter | None = None,
        max_distance: float | None = None,
        fresh: bool = False,
    ) -> list[Ranked]:
        """Like `search_views`, for usable features (n, views, width)."""
        n, views, width = features.shape
        raw = None if max_distance is None else max_distance * self.spec.scale
        flat = np.ascontiguousarray(features.reshape(n * views, width))
        found = self.index.search(flat, k, tenant=tenant, filter=filter, max_distance=raw, fresh=fresh)
        exact = self._exact_within(found, max_distance)
        ids = found.ids.reshape(n, -1)
        distances = np.minimum(found.distances.reshape(n, -1) / self.spec.scale, 1.0).astype(np.float32)
        return [_best(i, d, k, exact) for i, d in zip(ids, distances, strict=True)]

    def _exact_within(self, found: Matches, max_distance: float | None) -> float:
        if found.exact_within == NO_GUARANTEE:
            return NO_GUARANTEE
        exact = 1.0 if found.exact_within == FULLY_EXACT else min(found.exact_within / self.spec.scale, 1.0)
        return exact if max_distance is None else min(exact, max_distance)


def _best(ids: Ids, distances: NDArray[np.float32], k: int, exact: float) -> Ranked:
    """Keep the best distance of each id, drop padding, and order by distance, then id."""
    valid = ids >= 0
    ids, distances = ids[valid], distances[valid]
    order = np.lexsort((ids, distances))
    ids, distances = ids[order], distances[order]
    _, first = np.unique(ids, return_index=True)
    first.sort()
    return Ranked(ids[first[:k]], distances[first[:k]], exact)
