"""Probabilities of hits, and the limit on false answers, from the calibration of a gallery."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.catalog import Catalog
from lookalike.errors import UnsupportedQuery
from lookalike.gallery_calibration import CurveGroup, GalleryCalibration, Mode
from lookalike.pipeline import Pipeline
from lookalike.types import Probability

CACHE_SECONDS = 10.0
"""Seconds for which the stored calibration and the number of images are kept."""
CERTAIN = Probability(1.0, 1.0, 1.0)
"""Of hits by digest: the same bytes, or the same pixels."""


@dataclass(frozen=True, slots=True)
class HitProbabilities:
    """Judges the hits of one search.

    `mode` says what they are judged by; `growth` is how many times as many images there are now as
    at the calibration; `pipeline` is the one whose distances say how dense the gallery is around a query; `max_false`
    is the share of queries without an original that may get an answer.
    """

    calibration: GalleryCalibration
    mode: Mode
    growth: float
    pipeline: str
    max_false: float | None = None

    def of_query(self, radius: float | None) -> "QueryProbabilities":
        """Return what judges the hits of one query, by the distance of its image of rank `DENSITY_RANK`."""
        return QueryProbabilities(self, self.calibration.groups_at(self.pipeline, radius))


@dataclass(frozen=True, slots=True)
class QueryProbabilities:
    """Judges the hits of one query: by its group, or, where that is not known, by what all groups can promise."""

    of_search: HitProbabilities
    groups: Sequence[CurveGroup]

    def probability(self, measure: str, value: float) -> Probability | None:
        """Return the probability of a hit with this value of a measure; None where that was not calibrated."""
        judge = self.of_search
        found = (group.probability(measure, value, judge.mode, judge.growth) for group in self.groups)
        return min((p for p in found if p is not None), key=lambda p: p.value, default=None)

    def accepts(self, measure: str, value: float) -> bool:
        """Return whether hits as sure as this one are false for few enough queries."""
        judge = self.of_search
        if judge.max_false is None:
            return True
        shares = [group.false_share(measure, value, judge.mode, judge.growth) for group in self.groups]
        return all(share is not None and share <= judge.max_false for share in shares)


class CalibrationReader:
    """Reads the calibrations of tenants from the catalog, and keeps them for some seconds. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._cached: dict[int, tuple[float, GalleryCalibration | None, int]] = {}

    def probabilities(
        self, tenant: int | None, pipelines: Sequence[Pipeline], max_false: float | None, *, verify: bool
    ) -> HitProbabilities | None:
        """Return what judges the hits of a search; None where there is no valid calibration.

        Raises:
            UnsupportedQuery: `max_false` was given and there is no valid calibration, or it cannot show that share.
        """
        if max_false is not None and not 0 < max_false <= 1:
            raise UnsupportedQuery(f"max_false must be a share above 0, at most 1, not {max_false}")
        calibration, images = (None, 0) if tenant is None else self._read(tenant)
        fingerprints = {pipeline.name: pipeline.spec.fingerprint for pipeline in pipelines}
        if calibration is None or calibration.is_stale(fingerprints):
            if max_false is not None:
                raise UnsupportedQuery(_why_not(tenant, calibration))
            return None
        mode: Mode = "verified" if verify else "distance" if len(pipelines) > 1 else "single"
        if max_false is not None:
            calibration.check_share(max_false, list(fingerprints), mode, images=images)
        return HitProbabilities(calibration, mode, calibration.growth(images), pipelines[-1].name, max_false)

    def forget(self) -> None:
        """Read again at the next search."""
        with self._lock:
            self._cached.clear()

    def _read(self, tenant: int) -> tuple[GalleryCalibration | None, int]:
        with self._lock:
            read, calibration, images = self._cached.get(tenant, (-CACHE_SECONDS, None, 0))
        now = time.monotonic()
        if now - read >= CACHE_SECONDS:
            stored = self._catalog.calibrations.get(tenant)
            calibration = None if stored is None else GalleryCalibration.of_json(stored)
            images = 0 if calibration is None else self._catalog.images.count(tenant)
            with self._lock:
                self._cached[tenant] = (now, calibration, images)
        return calibration, images


def _why_not(tenant: int | None, calibration: GalleryCalibration | None) -> str:
    if tenant is None:
        return "max_false needs one tenant: each has a calibration of its own"
    if calibration is None:
        return "max_false needs a calibration of this gallery; run: lookalike calibrate"
    return "the calibration of this gallery was measured with other features; run: lookalike calibrate"
