"""Calibration of a gallery on its own images: how likely a hit is a copy, and how often a search answers falsely.

Both are measured on edited copies of the gallery's images, searched for with their originals in the answers and
without them (`lookalike calibrate`). A hit is judged by a *measure* (`measure_of`): the distance in a pipeline, or what
a comparison of its pixels found; smaller is surer.

The share of false answers is a conformal p-value (Vovk, Gammerman and Shafer 2005): of n queries without an original,
(c + 1) / (n + 1), where c have a hit at least as sure. It is never below 1 / (n + 1), so it promises nothing that the
sample cannot show. In a gallery that has grown by a factor g since, the nearest of more images is nearer: the share p
becomes 1 - (1 - p)^g, exactly so for images drawn alike, and at least as large as the truth where queries differ in how
many neighbours they have (1 - (1 - p)^g is concave in p). Where images were deleted the share is left as it is.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Damaged, UnsupportedQuery
from lookalike.estimation import isotonic, wilson_interval
from lookalike.types import Evidence, Probability, Verification

FORMAT = 1
"""Version of the stored JSON object."""
VERIFICATION = "verification"
"""Name of the measure of hits whose pixels were compared."""
LABELS = ("copy", "variant", "similar")
"""Evidence of a comparison of pixels, the surest first."""
Mode = Literal["single", "distance", "verified"]
"""How hits are judged: by their own measure (one pipeline, no verification), or by the lowest false share of any."""
MAX_TAIL, MAX_QUANTILES = 200, 200
"""Points kept of a distribution: its surest values one by one, and quantiles of the rest."""

Floats = NDArray[np.float64]


def measure_of(
    evidence: Evidence, pipeline: str, distance: float, verification: Verification | None
) -> tuple[str, float]:
    """Return the measure that judges a hit, and its value in 0..1.

    Where pixels were compared the label decides, and within it the agreement: the value is in the first third for
    "copy", in the second for "variant", in the last for "similar".
    """
    if verification is None or verification.agreement is None or evidence == "exact":
        return pipeline, distance
    return VERIFICATION, (LABELS.index(evidence) + 1 - verification.agreement) / len(LABELS)


@dataclass(frozen=True, slots=True)
class Curve:
    """One measure: false answers and probability by value.

    Attributes:
        shares: (value, share of queries without an original whose surest hit is at most at this value), rising.
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
        at = bisect_right(self.shares, (value, np.inf))
        share = self.shares[at - 1][1] if at else 0.0
        return _grown((share * self.images + 1) / (self.images + 1), growth)

    def value_at(self, share: float, growth: float = 1.0) -> float | None:
        """Return the value below which hits are false for at most this share of queries; None below `floor`."""
        if share < self.floor(growth):
            return None
        for value, _ in self.shares:
            if self.false_share(value, growth) > share:
                return value
        return np.inf

    def floor(self, growth: float = 1.0) -> float:
        """Return the lowest share of false answers that the sample can show."""
        return _grown(1 / (self.images + 1), growth)

    def probability(self, value: float, growth: float = 1.0) -> Probability:
        """Return the probability that a hit with this value is a copy; see `false_share` for the arguments."""
        at = min(bisect_right(self.steps, (value, np.inf)), len(self.steps) - 1)
        _, p, low, high = self.steps[at]
        factor = max(growth, 1.0)
        return Probability(*(q / (q + (1 - q) * factor) for q in (p, low, high)))


@dataclass(frozen=True, slots=True)
class GalleryCalibration:
    """The calibration of one tenant's images.

    Attributes:
        created: Seconds since 1970, UTC.
        gallery_images: Images of the tenant at that time.
        fingerprints: Of the features, by pipeline: with others the calibration is stale.
        measures: Curve by measure.
        combined: Curve of the lowest false share of any measure, by mode: "distance" for searches with several
            pipelines, "verified" for those that compare pixels.
    """

    created: float
    gallery_images: int
    fingerprints: Mapping[str, str]
    measures: Mapping[str, Curve]
    combined: Mapping[str, Curve]
    format: int = field(default=FORMAT)

    def is_stale(self, fingerprints: Mapping[str, str]) -> bool:
        """Return whether a pipeline has features that this was not measured with."""
        return any(self.fingerprints.get(name) != fingerprint for name, fingerprint in fingerprints.items())

    def growth(self, images: int) -> float:
        """Return how many times as many images as at the calibration there are."""
        return images / max(self.gallery_images, 1)

    def curve(self, measure: str, mode: Mode) -> Curve | None:
        """Return the curve that judges a measure's hits; None where it was not measured."""
        if mode == "single":
            return self.measures.get(measure)
        return self.combined.get(mode) if measure in self.measures else None

    def judged(self, measure: str, value: float, mode: Mode) -> float:
        """Return the value to look up in `curve`: unless the mode is "single", the false share of the measure's."""
        return value if mode == "single" else self.measures[measure].false_share(value)

    def check_share(self, share: float, measures: Sequence[str], mode: Mode, *, images: int) -> None:
        """Raise UnsupportedQuery for a share of false answers that the sample cannot show."""
        curves = [curve for m in measures if (curve := self.curve(m, mode)) is not None]
        floor = max((curve.floor(self.growth(images)) for curve in curves), default=1.0)
        if share < floor:
            raise UnsupportedQuery(
                f"max_false {share:g} is less than the calibration of this gallery can show: fewer than 1 in "
                f"{1 / floor:,.0f} was seen. Ask for {floor:.2g} or more, or measure with more images: "
                "lookalike calibrate --queries N"
            )

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self | None:
        """Return a stored calibration, or None for one of another format; raises Damaged."""
        if stored.get("format") != FORMAT:
            return None
        try:
            measures = {name: _curve_of(curve) for name, curve in stored["measures"].items()}
            combined = {mode: _curve_of(curve) for mode, curve in stored["combined"].items()}
            return cls(stored["created"], stored["gallery_images"], stored["fingerprints"], measures, combined)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Damaged(
                f"the stored calibration of this gallery is damaged ({error}); repeat lookalike calibrate"
            ) from error


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
    # between two kept values the higher share counts: a step is where the next kept one begins
    starts = np.append(distinct[:1], distinct[kept[:-1] + 1]) if len(kept) > 1 else distinct[:1]
    return tuple(zip(starts.tolist(), shares[kept].tolist(), strict=True))


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


def _curve_of(stored: Mapping[str, Any]) -> Curve:
    shares = tuple((float(value), float(share)) for value, share in stored["shares"])
    steps = tuple((float(a), float(p), float(low), float(high)) for a, p, low, high in stored["steps"])
    return Curve(shares, steps, int(stored["images"]))
