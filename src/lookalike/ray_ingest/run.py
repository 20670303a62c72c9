"""The run: files, units, workers and outcomes as a Ray Data pipeline, while the indexes are kept up to date."""

import logging
import pickle
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from lookalike.errors import LookalikeError, Unavailable
from lookalike.gallery import Gallery
from lookalike.ray_ingest.cluster import Workers
from lookalike.ray_ingest.job import IngestJob, IngestWorker
from lookalike.ray_ingest.units import UnitReader, UnitResult

UPDATE_SECONDS = 10.0
"""Seconds between two updates, so that a long run does not end with one long wait."""

log = logging.getLogger("lookalike")
READERS = 4
"""Files of manifests read at a time; one alone gives more rows a second than any catalog takes images."""
UNITS_AT_ONCE = 2
"""Units that a worker has in hand: one is fetched while another is encoded."""
UNITS_QUEUED = 4
"""Units sent to a worker, with those in hand: more would only wait there."""
NO_PROGRESS_SECONDS = 1800
"""Seconds without the result of a unit after which the run ends: the cluster has no machine left, or a unit kills each
worker that takes it."""
MAX_FILE_BLOCKS = 256
"""Blocks of the list of files."""


class IndexUpdates:
    """Updates indexes during a block, and a last time at its end, unless that is an error."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookalike-indexes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._gallery.update_indexes()

    def _run(self) -> None:
        while not self._stop.wait(UPDATE_SECONDS):
            try:
                self._gallery.update_indexes()
            except LookalikeError as error:
                log.warning("the indexes will catch up later: %s", error)


@dataclass(frozen=True, slots=True)
class IngestRun:
    """One run over the files of manifests in a connected cluster."""

    job: IngestJob
    reader: UnitReader
    files: Sequence[str]
    workers: Workers

    def results(self) -> Iterator[UnitResult]:
        """Yield the results of all units, in the order in which they are done; each comes once.

        A unit whose worker or machine is lost is done again, by any worker: what it had written is then `unchanged`.

        Raises:
            LookalikeError: What a worker raised.
            Unavailable: The cluster lost so much of itself that the run cannot go on; the same command continues it.
        """
        import ray  # noqa: PLC0415 - of the extra ray

        try:
            for batch in self._dataset().iter_batches(batch_size=None, batch_format="pyarrow"):
                for data in batch["result"]:
                    result: UnitResult | LookalikeError = pickle.loads(data.as_py())
                    if isinstance(result, LookalikeError):
                        raise result
                    yield result
        except ray.exceptions.RayError as error:
            raise _error_of(error) from error

    def _dataset(self) -> Any:
        import ray  # noqa: PLC0415 - of the extra ray
        from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy  # noqa: PLC0415

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_no_progress_timeout_s = NO_PROGRESS_SECONDS
        context.target_max_block_size = 1  # a unit is a block, so that a worker gets one at a time
        blocks = min(len(self.files), MAX_FILE_BLOCKS)
        files = ray.data.from_items([{"file": file} for file in self.files], override_num_blocks=blocks)
        units = files.map_batches(self.reader, batch_size=1, num_cpus=0, compute=TaskPoolStrategy(READERS))
        pool = ActorPoolStrategy(
            min_size=self.workers.fewest,
            max_size=self.workers.most,
            max_tasks_in_flight_per_actor=UNITS_QUEUED,
            max_concurrent_calls_per_actor=UNITS_AT_ONCE,
            enable_true_multi_threading=True,
        )
        return units.map_batches(
            IngestWorker,
            fn_constructor_args=(self.job,),
            compute=pool,
            batch_size=1,
            num_cpus=self.job.cores,
        )


def _error_of(error: Exception) -> LookalikeError:
    """The error of this package that a worker raised, or Unavailable for a failure of the cluster."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LookalikeError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    said = str(error).strip().splitlines()
    return Unavailable(f"the Ray cluster ended the run; run the same command again to continue: {said[-1]}")
