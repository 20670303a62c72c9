"""Calibration of a gallery on its own images: by measure, the share of false answers and the probability of a copy.

Both are measured on edited copies of the gallery's images, searched for with their originals in the answers and
without them (`lookalike calibrate`). A hit is judged by a *measure* (`measure_of`): the distance in a pipeline, or what
a comparison of its pixels found; smaller is surer.

The share of false answers is a conformal p-value (Vovk, Gammerman and Shafer 2005): of n queries without an original,
c / (n + 1), where c have a hit at least as sure, which is what new queries have on average at the value of the c-th.
Between two values of the sample it is interpolated: steps would give up to half of a small share away. It is never
below 1 / (n + 1), so it promises nothing that the sample cannot show. In a gallery that has grown by a factor g since,
the nearest of more images is nearer: the share p becomes 1 - (1 - p)^g, exactly so for images drawn alike, and at least
as large as the truth where queries differ in how many neighbours they have (1 - (1 - p)^g is concave in p). Where
images were deleted the share is left as it is.

Kinds of images differ: different letters lie closer together than different photos, so that one curve for both promises
too much of letters. Therefore queries are calibrated in groups (Mondrian conformal prediction, Vovk et al. 2005,
chapter 4) by the density of the gallery around them: the distance of the fourth nearest image (`DENSITY_RANK`), which a
search finds anyway, and which needs no names of kinds. The limits between groups are where these distances have gaps,
as between documents and photos: a group of two kinds would promise too much of one and too little of the other.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Damaged, UnsupportedQuery
from lookalike.estimation import isotonic, wilson_interval
from lookalike.types import Evidence, Probability, Verification

MAX_TAIL, MAX_QUANTILES = 200, 200
"""Points kept of a distribution: its surest values one by one, and quantiles of the rest."""

Floats = NDArray[np.float64]
Mode = Literal["single", "distance", "verified"]
"""How hits are judged: by their own measure (one pipeline, no verification), or by the lowest false share of any."""
FORMAT = 3
"""Version of the stored JSON object."""
VERIFICATION = "verification"
"""Name of the measure of hits whose pixels were compared."""
LABELS = ("copy", "variant", "similar")
"""Evidence of a comparison of pixels, the surest first."""
DENSITY_RANK = 4
"""The rank of the image whose distance says how dense the gallery is around a query: low, for there may be few of a
kind, and above the number of copies that most images have. Of photos and documents in one gallery each get the share
asked for within a factor of 2 (docs/numbers.md)."""


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
        """Return the value up to which hits are false for at most this share of queries.

        None below `floor`, and where hits with the surest value are false for more.
        """
        if share < self.floor(growth):
            return None
        seen = (1 - (1 - share) ** (1 / max(growth, 1.0))) * (self.images + 1) / self.images
        if not self.shares or seen >= self.shares[-1][1]:
            return np.inf
        if self.shares[0][0] <= 0 and seen < self.shares[0][1]:
            return None
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
class CurveGroup:
    """The curves of queries that have the gallery equally dense around them.

    Attributes:
        measures: Curve by measure.
        combined: Curve of the lowest share seen by any measure, by mode: "distance" for searches with several
            pipelines, "verified" for those that compare pixels.
    """

    measures: Mapping[str, Curve]
    combined: Mapping[str, Curve]

    def curve(self, measure: str, mode: Mode) -> Curve | None:
        """Return the curve that judges a measure's hits; None where it was not measured."""
        if mode == "single":
            return self.measures.get(measure)
        return self.combined.get(mode) if measure in self.measures else None

    def false_share(self, measure: str, value: float, mode: Mode, growth: float) -> float | None:
        """Return the share of queries without an original that get a hit at least as sure; None if not measured."""
        curve = self.curve(measure, mode)
        return None if curve is None else curve.false_share(self._judged(measure, value, mode), growth)

    def probability(self, measure: str, value: float, mode: Mode, growth: float) -> Probability | None:
        """Return the probability that a hit with this value is a copy; None if not measured."""
        curve = self.curve(measure, mode)
        return None if curve is None else curve.probability(self._judged(measure, value, mode), growth)

    def _judged(self, measure: str, value: float, mode: Mode) -> float:
        """Return the value to look up in the curve: unless the mode is "single", the share seen by the measure's."""
        return value if mode == "single" else self.measures[measure].seen(value)


@dataclass(frozen=True, slots=True)
class GalleryCalibration:
    """The calibration of one tenant's images.

    Attributes:
        created: Seconds since 1970, UTC.
        gallery_images: Images of the tenant at that time.
        fingerprints: Of the features, by pipeline: with others the calibration is stale.
        radii: By pipeline, the distances of the image of rank `DENSITY_RANK` up to which a query is in the first group,
            the second, and so on; in the last group are all others.
        groups: Curves by density, the densest first.
    """

    created: float
    gallery_images: int
    fingerprints: Mapping[str, str]
    radii: Mapping[str, tuple[float, ...]]
    groups: tuple[CurveGroup, ...]
    format: int = field(default=FORMAT)

    def is_stale(self, fingerprints: Mapping[str, str]) -> bool:
        """Return whether a pipeline has features that this was not measured with."""
        return any(self.fingerprints.get(name) != fingerprint for name, fingerprint in fingerprints.items())

    def growth(self, images: int) -> float:
        """Return how many times as many images as at the calibration there are."""
        return images / max(self.gallery_images, 1)

    def groups_at(self, pipeline: str, radius: float | None) -> Sequence[CurveGroup]:
        """Return the group of a query by its radius in a pipeline; all groups where it is not known."""
        if radius is None or pipeline not in self.radii:
            return self.groups
        return (self.groups[bisect_left(self.radii[pipeline], radius)],)

    def check_share(self, share: float, measures: Sequence[str], mode: Mode, *, images: int) -> None:
        """Raise UnsupportedQuery for a share of false answers that the sample cannot show."""
        curves = [curve for group in self.groups for m in measures if (curve := group.curve(m, mode)) is not None]
        floor = max((curve.floor(self.growth(images)) for curve in curves), default=1.0)
        if share < floor:
            alike = " of those with as dense a neighbourhood" if len(self.groups) > 1 else ""
            raise UnsupportedQuery(
                f"max_false {share:g} is less than the calibration of this gallery can show: fewer than 1 in "
                f"{1 / floor:,.0f}{alike} was seen. Ask for {floor:.2g} or more, or measure with more images: "
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
            radii = {name: tuple(map(float, limits)) for name, limits in stored["radii"].items()}
            groups = tuple(
                CurveGroup(
                    {name: Curve.of_json(curve) for name, curve in group["measures"].items()},
                    {mode: Curve.of_json(curve) for mode, curve in group["combined"].items()},
                )
                for group in stored["groups"]
            )
            return cls(stored["created"], stored["gallery_images"], stored["fingerprints"], radii, groups)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Damaged(
                f"the stored calibration of this gallery is damaged ({error}); repeat lookalike calibrate"
            ) from error
