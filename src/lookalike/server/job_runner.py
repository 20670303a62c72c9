"""Job worker: a thread of the server claims jobs one by one, writes their progress and honours cancellation."""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lookalike.catalog import Job, JobState
from lookalike.errors import BadInput, GalleryBusy, ImageRejected, LookalikeError, NotFound, Unavailable
from lookalike.evaluation.pipeline_comparison import compare_pipelines
from lookalike.gallery import Gallery
from lookalike.image_files import find_files
from lookalike.problem_details import problem_of
from lookalike.results import IndexMoveProgress
from lookalike.server.live_queries import LiveQueries
from lookalike.server.requests.body import check_pixels
from lookalike.server.url_fetch.fetcher import Fetcher
from lookalike.types import Found, Item, Outcome
from lookalike.wire.objects import to_dict
from lookalike.wire.pipelines import IndexMove

POLL_SECONDS = 2.0
"""Interval between polls of the catalog for jobs queued by other processes."""
RETRY_SECONDS = 5.0
"""Seconds before this process retries after another one held the gallery's writer lock."""
HEARTBEAT_SECONDS = 1.0
"""Interval between writes of a running job's progress."""
MAX_CONCURRENT_FETCHES = 4
"""Concurrent URL fetches of a job, besides those of requests."""
FETCH_BATCH = 16
"""Fetched images that are written in one batch."""
MAX_REPORTED_REJECTED = 100
MAX_REPORTED_CLUSTERS = 1000
"""Rejected images and clusters that a job's result lists."""
log = logging.getLogger("lookalike.jobs")


@dataclass(slots=True)
class Progress:
    """The progress of a job; written by the job's thread, read by the heartbeat thread. `lost` is set once the job was
    cancelled, or claimed by another process.
    """

    attempts: int
    done: int = 0
    total: int | None = None
    lost: threading.Event = field(default_factory=threading.Event)
    counts: dict[str, int] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    def count(self, name: str, n: int = 1) -> None:
        """Increase a count."""
        self.counts[name] = self.counts.get(name, 0) + n

    def as_dict(self) -> dict[str, Any]:
        """The catalog's representation."""
        return {
            "attempts": self.attempts,
            "done": self.done,
            "total": self.total,
            "counts": dict(self.counts),
            "result": {name: copy(values) for name, values in self.result.items()},
        }


class JobRunner:
    """Runs a gallery's jobs, one at a time in this process; several processes share the queue."""

    def __init__(
        self, gallery: Gallery, fetcher: Fetcher, import_from: Sequence[Path], live_queries: LiveQueries
    ) -> None:
        self._gallery = gallery
        self._live_queries = live_queries
        self._fetcher = fetcher
        self._import_from = [folder.resolve() for folder in import_from]
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="lookalike-jobs", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Poll for jobs now."""
        self._wake.set()

    def close(self, timeout: float = 30.0) -> None:
        """Stop at the next step of the running job, which is queued again."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def check_paths(self, paths: Sequence[str]) -> list[Path]:
        """The resolved paths; raises BadInput if one is not below an import folder."""
        resolved = [Path(path).resolve() for path in paths]
        for path, given in zip(resolved, paths, strict=True):
            if not any(path.is_relative_to(folder) for folder in self._import_from):
                raise BadInput(f"{given!r} is not below a folder given by `lookalike serve --import-from DIR`")
        return resolved

    def _is_stopped(self, progress: Progress) -> bool:
        return progress.lost.is_set() or self._stop.is_set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                job = self._gallery.catalog.jobs.start_next(self._worker)
            except LookalikeError as error:
                log.warning("polling for jobs failed: %s", error)
                job = None
            if job is None:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
            else:
                self._run(job)

    def _run(self, job: Job) -> None:
        log.info("job %s (%s) started, attempt %d", job.id, job.kind, job.attempts)
        progress = Progress(job.attempts)
        finished = threading.Event()
        arguments = job, progress, finished
        heartbeat = threading.Thread(target=self._heartbeat, args=arguments, name="lookalike-job-heartbeat")
        heartbeat.start()
        state: JobState = "done"
        error_fields: dict[str, Any] = {}
        try:
            for _ in STEPS[job.kind](self, job, progress):
                if self._is_stopped(progress):
                    break
        except GalleryBusy:
            state = "queued"  # another process holds the writer lock, and can run the job
        except LookalikeError as error:
            state, error_fields = "failed", {"error": problem_of(error)}
        except Exception:
            log.exception("job %s failed unexpectedly", job.id)
            unexpected = LookalikeError("an unexpected error occurred; see the server's log")
            state, error_fields = "failed", {"error": problem_of(unexpected)}
        finally:
            finished.set()
            heartbeat.join()
        self._finish(job, state, {**progress.as_dict(), **error_fields}, lost=progress.lost.is_set())

    def _finish(self, job: Job, state: JobState, progress: Mapping[str, Any], *, lost: bool) -> None:
        requeued = state == "queued" or (self._stop.is_set() and state == "done")
        try:
            if requeued:
                self._gallery.catalog.jobs.requeue(job.id, self._worker)
            elif not lost:
                self._gallery.catalog.jobs.update(job.id, self._worker, progress, state=state)
        except LookalikeError as error:
            log.warning("writing the result of job %s failed; it will run again: %s", job.id, error)
        log.info("job %s: %s", job.id, "requeued" if requeued else "lost or cancelled" if lost else state)
        if state == "queued":
            self._stop.wait(RETRY_SECONDS)

    def _heartbeat(self, job: Job, progress: Progress, finished: threading.Event) -> None:
        """Write the progress periodically, which also renews the claim, and detect cancellation."""
        while not finished.wait(HEARTBEAT_SECONDS):
            try:
                if not self._gallery.catalog.jobs.update(job.id, self._worker, progress.as_dict()):
                    progress.lost.set()
                    return
            except LookalikeError as error:
                log.warning("writing the progress of job %s failed: %s", job.id, error)

    # Each kind of job is a generator, so that it can be stopped between steps.

    def _import(self, job: Job, progress: Progress) -> Iterator[None]:
        attributes = job.request.get("attributes")
        if "paths" in job.request:
            paths = self.check_paths(job.request["paths"])
            groups: Iterable[Iterable[Found]] = [find_files(paths, attributes=attributes)]
        else:
            progress.total = len(job.request["urls"])
            groups = self._fetch_batches(job, attributes, progress)
        for group in groups:
            for outcome in self._gallery.add_iter(group, tenant=job.tenant):
                progress.done += 1
                progress.count(outcome.outcome)
                rejected = progress.result.setdefault("rejected", [])
                if outcome.outcome == "rejected" and len(rejected) < MAX_REPORTED_REJECTED:
                    rejected.append({"key": outcome.key, "reason": outcome.reason})
                yield

    def _fetch_batches(
        self, job: Job, attributes: Mapping[str, Any] | None, progress: Progress
    ) -> Iterator[list[Item | Outcome]]:
        urls: Sequence[str] = job.request["urls"]
        max_pixels: int | None = job.request.get("max_pixels")

        def fetch(url: str) -> Item | Outcome:
            if self._is_stopped(progress):
                return Outcome(url, None, "rejected", "unreadable: the job was stopped")
            try:
                data = self._fetcher.fetch(url)
                if max_pixels is not None:
                    check_pixels(data, max_pixels)
                return Item(url, data, attributes)
            except (BadInput, NotFound, Unavailable) as error:
                reason = error.reason if isinstance(error, ImageRejected) else "unreadable"
                return Outcome(url, None, "rejected", f"{reason}: {error}")

        with ThreadPoolExecutor(MAX_CONCURRENT_FETCHES, thread_name_prefix="lookalike-job-fetch") as pool:
            for start in range(0, len(urls), FETCH_BATCH):
                group = list(pool.map(fetch, urls[start : start + FETCH_BATCH]))
                if self._is_stopped(progress):
                    return
                yield group

    def _repair(self, job: Job, progress: Progress) -> Iterator[None]:
        report = self._gallery.repair(verification_records=job.request.get("verification_records", False))
        progress.done = progress.total = report.images
        progress.counts.update(report.rebuilt)
        if report.verification_records is not None:
            progress.result["verification_records"] = asdict(report.verification_records)
        yield

    def _duplicates(self, job: Job, progress: Progress) -> Iterator[None]:
        clusters = progress.result.setdefault("clusters", [])
        for cluster in self._gallery.duplicates(tenant=job.tenant, pipelines=job.request.get("pipelines")):
            progress.done += 1
            progress.count("clusters")
            progress.count("images", len(cluster.images))
            if len(clusters) < MAX_REPORTED_CLUSTERS:
                clusters.append([image.key for image in cluster.images])
            yield

    def _delete(self, job: Job, progress: Progress) -> Iterator[None]:
        deleted = self._gallery.remove_by_filter(job.request["filter"], tenant=job.tenant)
        progress.done = progress.total = len(deleted.keys)
        progress.count("deleted", len(deleted.keys))
        yield

    def _backfill(self, job: Job, progress: Progress) -> Iterator[None]:
        name = job.request["pipeline"]
        for found in self._gallery.backfill_iter(name, retry=job.request.get("retry", False)):
            progress.done, progress.total = found.done, found.total
            progress.counts.update(encoded=found.encoded, failed=found.failed, unreachable=found.unreachable)
            yield

    def _move_index(self, job: Job, progress: Progress) -> Iterator[None]:
        def report(found: IndexMoveProgress) -> None:
            progress.done, progress.total = found.applied, found.total
            if self._is_stopped(progress):
                raise _JobStoppedError

        asked = job.request
        with suppress(_JobStoppedError):
            moved = self._gallery.move_index(
                asked["pipeline"], asked["to"], force=asked.get("force", False), report=report
            )
            progress.result["move"] = to_dict(IndexMove.of(moved))
        yield

    def _compare_pipelines(self, job: Job, progress: Progress) -> Iterator[None]:
        def step(done: int, total: int) -> None:
            progress.done, progress.total = done, total
            if self._is_stopped(progress):
                raise _JobStoppedError

        asked = job.request
        new, old = asked["pipeline"], asked.get("old") or self._gallery.pipelines[-1]
        if new == old:
            raise BadInput(f"{new} ranks already; name the other pipeline (old)")
        live = self._live_queries.of_tenant(job.tenant, (old, new)) if asked.get("live") else []
        with suppress(_JobStoppedError):
            change = compare_pipelines(
                self._gallery,
                old,
                new,
                sample=asked.get("sample", 200),
                edits=asked.get("edits", ()),
                live=live,
                tenant=job.tenant,
                seed=asked.get("seed", 0),
                step=step,
            )
            progress.result["comparison"] = change.as_json()
        yield


class _JobStoppedError(Exception):
    """Raised in the job's thread to leave what it does."""


STEPS: Mapping[str, Callable[[JobRunner, Job, Progress], Iterator[None]]] = {
    "import": JobRunner._import,
    "repair": JobRunner._repair,
    "duplicates": JobRunner._duplicates,
    "delete": JobRunner._delete,
    "backfill": JobRunner._backfill,
    "move_index": JobRunner._move_index,
    "compare_pipelines": JobRunner._compare_pipelines,
}
"""The steps of each kind of job."""
