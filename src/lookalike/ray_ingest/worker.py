"""The worker: an actor that adds units of a manifest as `lookalike add` does."""

import logging
import pickle
import tempfile
import threading
import time
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from lookalike.errors import LookalikeError, Unavailable
from lookalike.gallery import Gallery
from lookalike.ray_ingest.job import IngestJob
from lookalike.ray_ingest.units import Unit, UnitResult
from lookalike.types import Outcome

RETRY_SECONDS = (1.0, 5.0, 15.0, 60.0, 120.0, 240.0)
"""Pauses after which a unit is tried again where the catalog or the object store does not answer: a restart of
either does not end a run of days."""

log = logging.getLogger("lookalike")


class IngestWorker:
    """Holds the gallery open: encoders, decoding processes, threads that fetch, and connections to the catalog.

    Two units run at a time, so that one is fetched while the other is encoded; the gallery is safe for threads.
    """

    def __init__(self, job: IngestJob) -> None:
        self._job = job
        self._folder = tempfile.TemporaryDirectory(prefix="lookalike-ingest-")
        self._gallery: Gallery | None = None
        self._opening = threading.Lock()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        return {"result": [pickle.dumps(self.add(pickle.loads(data))) for data in batch["unit"]]}

    def add(self, unit: Unit) -> UnitResult | LookalikeError:
        """Add a unit's rows, and return their outcomes, or the error that ends the run."""
        for pause in (*RETRY_SECONDS, None):
            try:
                return UnitResult(self._outcomes(unit), unit.passed_over, unit.others)
            except Unavailable as error:
                if pause is None:
                    return error
                log.warning("trying again in %.0f s: %s", pause, error)
                time.sleep(pause)
            except LookalikeError as error:
                return error
        raise AssertionError("the last attempt returns")

    def _outcomes(self, unit: Unit) -> list[tuple[str, Outcome]]:
        gallery = self._opened()
        found: list[tuple[str, Outcome]] = []
        for tenant, rows in groupby(unit.rows, key=itemgetter(0)):
            items = [item for _, item in rows]
            outcomes = gallery.add_to_catalog(items, tenant=tenant, exif=self._job.exif, again=self._job.again)
            found += ((tenant, outcome) for outcome in outcomes)
        return found

    def _opened(self) -> Gallery:
        with self._opening:
            if self._gallery is None:
                self._gallery = self._job.open(Path(self._folder.name))
            return self._gallery
