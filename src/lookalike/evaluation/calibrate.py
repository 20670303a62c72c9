"""Calibration of a gallery from the results of edited copies: see `lookalike.gallery_calibration` for the method."""

import random
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lookalike.evaluation.measurement import STANDARD_EDITS, VERIFIED, QueryResult, ScoredHit, Search
from lookalike.evaluation.runner import Original
from lookalike.gallery_calibration import VERIFICATION, Curve, GalleryCalibration, fit_curve
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
    verified = [r for r in results if r.search == VERIFIED]
    of_measure = {name: [r for r in results if r.search == name] for name in calibrations} | {VERIFICATION: verified}
    curves = {name: _fit(found, name, images) for name, found in of_measure.items()}
    combined = {}
    if len(calibrations) > 1:
        limits = {name: calibration.threshold for name, calibration in list(calibrations.items())[:-1]}
        by_query: dict[Query, list[QueryResult]] = {}
        for result in (r for name in calibrations for r in of_measure[name]):
            by_query.setdefault((result.image, result.edit), []).append(result)
        combined["distance"] = _fit_combined(list(by_query.values()), curves, limits, images)
    combined["verified"] = _fit_combined([[result] for result in verified], curves, {}, images)
    return GalleryCalibration(created, gallery_images, dict(fingerprints), curves, combined)


def _fit(results: Sequence[QueryResult], measure: str, images: int) -> Curve:
    """The curve of one measure: of the original, and of the surest hit without it."""
    copies = [r.right.value for r in results if r.right is not None and r.right.measure == measure]
    false = [min((h.value for h in r.without_original if h.measure == measure), default=np.inf) for r in results]
    return fit_curve(np.array(copies, np.float64), np.array(false, np.float64), images)


def _fit_combined(
    queries: Sequence[Sequence[QueryResult]], curves: Mapping[str, Curve], limits: Mapping[str, float], images: int
) -> Curve:
    """The curve of the lowest false share of any measure.

    `queries` are the results of each query in one or more searches. Measures with a limit contribute only hits up to
    it, as all pipelines but the last do in a search.
    """

    def surest(hits: Iterable[ScoredHit]) -> float:
        within = (h for h in hits if h.measure in curves and h.value <= limits.get(h.measure, np.inf))
        return min((curves[h.measure].false_share(h.value) for h in within), default=np.inf)

    copies = [surest(r.right for r in results if r.right is not None) for results in queries]
    false = [surest(hit for r in results for hit in r.without_original) for results in queries]
    found = np.array(copies, np.float64)
    return fit_curve(found[np.isfinite(found)], np.array(false, np.float64), images)
