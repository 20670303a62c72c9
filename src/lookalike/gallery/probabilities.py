"""Probabilities of hits, and the limit on false answers, from the calibration of a gallery."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.catalog import Catalog
from lookalike.errors import UnsupportedQuery
from lookalike.gallery_calibration import GalleryCalibration, Mode
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
    at the calibration; `max_false` is the share of queries without an original that may get an answer.
    """

    calibration: GalleryCalibration
    mode: Mode
    growth: float
    max_false: float | None = None

    def probability(self, measure: str, value: float) -> Probability | None:
        """Return the probability of a hit with this value of a measure; None where that was not calibrated."""
        curve = self.calibration.curve(measure, self.mode)
        if curve is None:
            return None
        judged = self.calibration.judged(measure, value, self.mode)
        return curve.probability(judged, self.growth)

    def accepts(self, measure: str, value: float) -> bool:
        """Return whether hits as sure as this one are false for few enough queries."""
        if self.max_false is None:
            return True
        curve = self.calibration.curve(measure, self.mode)
        if curve is None:
            return False
        judged = self.calibration.judged(measure, value, self.mode)
        return curve.false_share(judged, self.growth) <= self.max_false


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
        return HitProbabilities(calibration, mode, calibration.growth(images), max_false)

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
