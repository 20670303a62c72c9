"""A job: what a worker needs to know, to open the same gallery on any machine, and the actor that adds units."""

import logging
import pickle
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from lookalike import __version__
from lookalike.config import (
    GallerySettings,
    Precision,
    Settings,
    from_environment,
    index_variable,
    read_gallery,
    write_gallery,
)
from lookalike.errors import BadSetting, FeatureMismatch, LookalikeError, Unavailable
from lookalike.factory import open_gallery
from lookalike.gallery import Gallery
from lookalike.ray_ingest.units import Unit, UnitResult
from lookalike.types import Outcome

RETRY_SECONDS = (1.0, 5.0, 15.0, 60.0, 120.0, 240.0)
"""Pauses after which a unit is tried again where the catalog or the object store does not answer: a restart of
either does not end a run of days."""
log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class IngestJob:
    """Settings of a gallery, and of a run.

    `gallery` has the addresses of catalog and engines with their passwords, which Ray carries to its workers; `cores`
    are those of a worker. `fingerprints` are those of the features by pipeline, `version` that of this package.
    """

    gallery: GallerySettings = field(repr=False)
    precision: Precision
    fingerprints: dict[str, str]
    cores: int
    exif: bool = True
    again: bool = False
    version: str = __version__

    def open(self, folder: Path) -> Gallery:
        """Open the gallery in an empty folder of this machine; its embedded indexes stay empty there.

        Raises:
            BadSetting: Another version of this package is installed here.
            FeatureMismatch: The encoders of this machine make other features.
            Unavailable: The catalog does not answer, or weights cannot be downloaded.
        """
        if self.version != __version__:
            raise BadSetting(
                f"the command runs Lookalike {self.version} and a machine of the cluster {__version__}; install the "
                "same version on all"
            )
        write_gallery(folder, replace(self.gallery, catalog=None, index={}))  # these may hold passwords
        settings = replace(
            from_environment(),
            catalog=self.gallery.catalog,
            index={index_variable(name): address for name, address in self.gallery.index.items()},
            precision=self.precision,
            workers=self.cores,
            server=None,
        )
        gallery = open_gallery(folder, settings=settings)
        if (here := gallery.fingerprints()) != self.fingerprints:
            gallery.close()
            other = [name for name, fingerprint in here.items() if self.fingerprints.get(name) != fingerprint]
            raise FeatureMismatch(
                f"the features of {', '.join(other)} differ between the machines; install the same version of "
                "Lookalike, the same LOOKALIKE_MODELS and the same weights on all"
            )
        return gallery


def prepare_job(
    folder: Path, settings: Settings, gallery: Gallery, cores: int, *, exif: bool = True, again: bool = False
) -> IngestJob:
    """Describe the gallery in a folder, which is opened as `gallery`, for workers of `cores` cores."""
    found = read_gallery(folder).with_environment(settings)
    return IngestJob(found, found.precision or settings.precision, gallery.fingerprints(), cores, exif, again)


def check_catalog(folder: Path, settings: Settings) -> None:
    """Raise BadSetting for a gallery whose catalog is a file: one process at a time could write it."""
    if read_gallery(folder).with_environment(settings).catalog is None:
        raise BadSetting(
            f"the catalog of {folder} is a SQLite file, which one process at a time writes, and ingest runs several. "
            "Create a gallery on PostgreSQL (`lookalike init --catalog postgresql://user@host/name`), or add the "
            "manifest with this process alone: `lookalike add --manifest ...`"
        )


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
