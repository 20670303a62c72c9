"""Calibration of a gallery from the results of edited copies: see `lookalike.gallery_calibration` for the method."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lookalike.evaluation.measurement import STANDARD_EDITS, QueryResult, ScoredHit, Search
from lookalike.evaluation.runner import Original
from lookalike.gallery_calibration import Curve, Floats, GalleryCalibration, fit_curve
from lookalike.pipeline import Calibration
from lookalike.types import Record

Query = tuple[str, str]
"""An image and an edit."""


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
    """Return the searches that a calibration needs: each pipeline alone, by distance."""
    return tuple(Search(name, {"pipelines": [name]}) for name in pipelines)


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
    by_measure = {name: {(r.image, r.edit): r for r in results if r.search == name} for name in calibrations}
    curves = {
        name: fit_curve(_originals(found.values()), _nearest_false(found.values()), images)
        for name, found in by_measure.items()
    }
    together = None
    if len(curves) > 1:
        limits = {name: calibration.threshold for name, calibration in list(calibrations.items())[:-1]}
        right = _together(by_measure, curves, limits, lambda r: r.right)
        false = _together(by_measure, curves, limits, lambda r: next(iter(r.without_original), None))
        together = fit_curve(right[np.isfinite(right)], false, images)
    return GalleryCalibration(created, gallery_images, dict(fingerprints), curves, together)


def _originals(results: Iterable[QueryResult]) -> Floats:
    return np.array([r.right.distance for r in results if r.right is not None], np.float64)


def _nearest_false(results: Iterable[QueryResult]) -> Floats:
    return np.array([min((h.distance for h in r.without_original), default=np.inf) for r in results], np.float64)


def _together(
    by_measure: Mapping[str, Mapping[Query, QueryResult]],
    curves: Mapping[str, Curve],
    limits: Mapping[str, float],
    choose: Callable[[QueryResult], ScoredHit | None],
) -> Floats:
    """The lowest false share of any measure, by query: how a search with several pipelines judges its surest hit.

    Pipelines but the last contribute only hits within their copy threshold, as in a search.
    """
    queries = list(dict.fromkeys(query for found in by_measure.values() for query in found))
    lowest = np.full(len(queries), np.inf)
    for name, found in by_measure.items():
        for number, query in enumerate(queries):
            hit = choose(found[query]) if query in found else None
            if hit is not None and hit.distance <= limits.get(name, np.inf):
                lowest[number] = min(lowest[number], curves[name].false_share(hit.distance))
    return lowest
