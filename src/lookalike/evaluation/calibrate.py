"""Calibration of a gallery from the results of edited copies: see `lookalike.gallery_calibration` for the method."""

import random
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lookalike.evaluation.measurement import STANDARD_EDITS, VERIFIED, QueryResult, ScoredHit, Search
from lookalike.evaluation.runner import Original
from lookalike.gallery_calibration import VERIFICATION, Curve, CurveGroup, Floats, GalleryCalibration, fit_curve
from lookalike.pipeline import Calibration
from lookalike.types import Record

Query = tuple[str, str]
"""An image and an edit."""
MAX_GROUPS = 4
"""Groups of queries by the density of the gallery around them, at most; more are not needed (docs/numbers.md)."""
BELOW_ALL = -1.0
"""A limit that every radius is above."""
MIN_GROUP_IMAGES = 100
"""Images of a group: fewer show no share of false answers below a hundredth."""


def calibration_originals(records: Sequence[Record], queries: int, seed: int) -> list[Original]:
    """Return images to make `queries` copies of, one random edit each; in several rounds where they are fewer.

    Only the first round's edit differs from image to image at random; later rounds add other edits of the same images.
    """
    rng = random.Random(seed)
    usable = [record for record in records if record.path is not None]
    edits: dict[str, tuple[str, ...]] = {}
    rounds, rest = divmod(queries, max(len(usable), 1))
    for number, record in enumerate(usable):
        wanted = min(rounds + (number < rest), len(STANDARD_EDITS))
        edits[record.key] = tuple(rng.sample(STANDARD_EDITS, wanted))
    return [Original(r.key, str(r.path), "random", edits[r.key]) for r in usable if edits[r.key]]


def calibration_searches(pipelines: Sequence[str]) -> tuple[Search, ...]:
    """Return the searches that a calibration needs: each pipeline alone by distance, and all with pixels compared."""
    alone = tuple(Search(name, {"pipelines": [name], "verify": False}) for name in pipelines)
    return (*alone, Search(VERIFIED, {"pipelines": list(pipelines), "verify": True}))


def fit_calibration(
    results: Sequence[QueryResult],
    calibrations: Mapping[str, Calibration],
    *,
    fingerprints: Mapping[str, str],
    gallery_images: int,
    created: float,
) -> GalleryCalibration:
    """Fit the calibration of a gallery.

    Args:
        results: Of the `calibration_searches`.
        calibrations: Of the pipelines, in their order.
        fingerprints: Of their features.
        gallery_images: Images that were searched.
        created: Seconds since 1970.
    """
    images = len({result.image for result in results})
    least = -(-MIN_GROUP_IMAGES * len(results) // max(images * len({result.search for result in results}), 1))
    radii = _group_limits({name: _radii([r for r in results if r.search == name]) for name in calibrations}, least)
    count = len(next(iter(radii.values()))) + 1
    groups = tuple(_fit_group(_Sample(results, radii, number), calibrations) for number in range(count))
    return GalleryCalibration(created, gallery_images, dict(fingerprints), radii, groups)


def _group_limits(radii: Mapping[str, Floats], least: int) -> dict[str, tuple[float, ...]]:
    """For each pipeline limits between as many groups as the last one has, by whose radii searches are grouped.

    Where the radii of another one form fewer groups, a limit is repeated, between which no query is.
    """
    last = list(radii)[-1]
    limits = {last: _limits(radii[last], MAX_GROUPS, least)}
    count = len(limits[last])
    for name in radii:
        found = _limits(radii[name], count + 1, least)
        limits[name] = found + (found or (BELOW_ALL,))[-1:] * (count - len(found))
    return {name: limits[name] for name in radii}


def _radii(results: Sequence[QueryResult]) -> Floats:
    """The radii that are known, of searches without the original; sorted."""
    return np.sort([result.radius_without for result in results if result.radius_without is not None])


def _limits(radii: Floats, count: int, least: int) -> tuple[float, ...]:
    """The limits between at most so many groups of queries, the radii of each of which are alike.

    The group whose radii differ most is divided where the sum of squares around the means of its parts is least (Otsu
    1979), as long as both have at least so many: so a limit lies between kinds of images rather than within one.
    """
    parts = [radii]
    while len(parts) < count:
        splits = [_split(part, least) for part in parts]
        number = max(range(len(parts)), key=lambda part: splits[part][0])
        gain, size = splits[number]
        if not gain:
            break
        parts[number : number + 1] = [parts[number][:size], parts[number][size:]]
    return tuple(float(below[-1] + above[0]) / 2 for below, above in pairwise(parts))


def _split(radii: Floats, least: int) -> tuple[float, int]:
    """By how much the sum of squares falls where sorted radii are divided best, and the size of the first part.

    0 where they cannot be divided into two different parts of `least` each.
    """
    sizes = np.arange(1, len(radii))
    allowed = (sizes >= least) & (sizes <= len(radii) - least) & (np.diff(radii) > 0)
    if not allowed.any():
        return 0.0, 0
    sums, total = np.cumsum(radii)[:-1], radii.sum()
    first, second = sums / sizes, (total - sums) / (len(radii) - sizes)
    gains = np.where(allowed, sizes * (len(radii) - sizes) / len(radii) * (first - second) ** 2, 0)
    best = int(gains.argmax())
    return float(gains[best]), best + 1


@dataclass(frozen=True, slots=True)
class _Sample:
    """What belongs to one group: the queries that have the gallery so dense around them, with or without the original.

    Searches with all pipelines are grouped by the last one. A query without a radius, of which nothing was compared, is
    in the last group.
    """

    results: Sequence[QueryResult]
    radii: Mapping[str, tuple[float, ...]]
    number: int

    def copies(self, search: str) -> list[QueryResult]:
        """The results whose hits with the original belong here."""
        return [r for r in self.results if r.search == search and self._is_in(search, r.radius)]

    def negatives(self, search: str) -> list[QueryResult]:
        """The results whose hits without the original belong here."""
        return [r for r in self.results if r.search == search and self._is_in(search, r.radius_without)]

    def _is_in(self, search: str, radius: float | None) -> bool:
        limits = self.radii[list(self.radii)[-1] if search == VERIFIED else search]
        return (len(limits) if radius is None else bisect_left(limits, radius)) == self.number


def _fit_group(sample: _Sample, calibrations: Mapping[str, Calibration]) -> CurveGroup:
    names = list(calibrations)
    curves = {name: _fit(sample, name, name) for name in names} | {VERIFICATION: _fit(sample, VERIFIED, VERIFICATION)}
    combined = {"verified": _fit_combined(sample, [VERIFIED], curves, {})}
    if len(names) > 1:
        limits = {name: calibrations[name].threshold for name in names[:-1]}
        combined["distance"] = _fit_combined(sample, names, curves, limits)
    return CurveGroup(curves, combined)


def _fit(sample: _Sample, search: str, measure: str) -> Curve:
    """The curve of one measure: of the original, and of the surest hit without it."""
    found, missing = sample.copies(search), sample.negatives(search)
    if not missing:  # between two equal limits
        found = missing = [r for r in sample.results if r.search == search]
    copies = [r.right.value for r in found if r.right is not None and r.right.measure == measure]
    false = [min((h.value for h in r.without_original if h.measure == measure), default=np.inf) for r in missing]
    return fit_curve(np.array(copies, np.float64), np.array(false, np.float64), len({r.image for r in missing}))


def _fit_combined(
    sample: _Sample, searches: Sequence[str], curves: Mapping[str, Curve], limits: Mapping[str, float]
) -> Curve:
    """The curve of the lowest share seen by any measure, over searches by one pipeline each, or one by all.

    Measures with a limit contribute only hits up to it, as all pipelines but the last do in a search. The last search
    says to which group a query belongs.
    """

    def surest(hits: Iterable[ScoredHit]) -> float:
        within = (h for h in hits if h.measure in curves and h.value <= limits.get(h.measure, np.inf))
        return min((curves[h.measure].seen(h.value) for h in within), default=np.inf)

    def of_queries(chosen: Sequence[QueryResult]) -> list[list[QueryResult]]:
        queries: dict[Query, list[QueryResult]] = {(r.image, r.edit): [] for r in chosen}
        for result in sample.results:
            if result.search in searches and (result.image, result.edit) in queries:
                queries[result.image, result.edit].append(result)
        return list(queries.values())

    found, missing = sample.copies(searches[-1]), sample.negatives(searches[-1])
    copies = np.array(
        [surest(r.right for r in results if r.right is not None) for results in of_queries(found)], np.float64
    )
    false = [surest(hit for r in results for hit in r.without_original) for results in of_queries(missing)]
    images = len({r.image for r in missing})
    return fit_curve(copies[np.isfinite(copies)], np.array(false, np.float64), images)
