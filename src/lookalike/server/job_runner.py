"""Running jobs: a thread of the server claims them one by one, tells how they stand, and minds cancelling."""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookalike.catalog import Job, JobState
from lookalike.errors import BadInput, GalleryBusy, ImageRejected, LookalikeError, NotFound, Unavailable
from lookalike.gallery import Gallery
from lookalike.image_files import items_from
from lookalike.problem_details import problem_of
from lookalike.server.requests.pixels import check_pixels
from lookalike.server.url_fetch.fetcher import Fetcher
from lookalike.types import Item, Outcome

POLL_SECONDS = 2.0
"""How often the catalog is asked for jobs that other processes queued."""
RETRY_SECONDS = 5.0
"""How long a job is left to others after this process was not allowed to write."""
HEARTBEAT_SECONDS = 1.0
"""How often a running job's progress is written."""
FETCHES = 4
"""URLs fetched at the same time, the more so as requests fetch some, too."""
GROUP = 16
"""Fetched images that are written together."""
MAX_REPORTED_REJECTED = 100
MAX_REPORTED_CLUSTERS = 1000
"""Rejected images and clusters that a job's result names."""
log = logging.getLogger("lookalike.jobs")


@dataclass(slots=True)
class Progress:
    """How a job stands; written by the job's thread, read by the one that tells of it.

    `lost` is set once the job is no longer this process's: it was cancelled, or taken up by another.
    """

    attempts: int
    done: int = 0
    total: int | None = None
    lost: threading.Event = field(default_factory=threading.Event)
    counts: dict[str, int] = field(default_factory=dict)
    result: dict[str, list[Any]] = field(default_factory=dict)

    def count(self, what: str, n: int = 1) -> None:
        """Count."""
        self.counts[what] = self.counts.get(what, 0) + n

    def told(self) -> dict[str, Any]:
        """As the catalog keeps it."""
        return {
            "attempts": self.attempts,
            "done": self.done,
            "total": self.total,
            "counts": dict(self.counts),
            "result": {name: list(values) for name, values in self.result.items()},
        }


class JobRunner:
    """Runs the jobs of a gallery, one at a time in this process; several processes share them out."""

    def __init__(self, service: Gallery, fetcher: Fetcher, import_from: Sequence[Path] = ()) -> None:
        self._service = service
        self._fetcher = fetcher
        self._import_from = [folder.resolve() for folder in import_from]
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="lookalike-jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look for a job now."""
        self._wake.set()

    def close(self, seconds: float = 30.0) -> None:
        """Stop at the next step of the job under way, which goes back into the queue."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def check_paths(self, paths: Sequence[str]) -> list[Path]:
        """The paths, if all lie below the folders that may be read; raises BadInput otherwise."""
        found = [Path(path).resolve() for path in paths]
        for path, named in zip(found, paths, strict=True):
            if not any(path.is_relative_to(folder) for folder in self._import_from):
                raise BadInput(f"{named!r} is not below a folder given by `lookalike serve --import-from DIR`")
        return found

    def _halts(self, progress: Progress) -> bool:
        return progress.lost.is_set() or self._stop.is_set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                job = self._service.catalog.claim_job(self._worker)
            except LookalikeError as error:
                log.warning("cannot look for jobs: %s", error)
                job = None
            if job is None:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
            else:
                self._run(job)

    def _run(self, job: Job) -> None:
        log.info("job %s (%s) begins, attempt %d", job.id, job.kind, job.attempts)
        progress = Progress(job.attempts)
        over = threading.Event()
        beating = threading.Thread(target=self._heartbeat, args=(job, progress, over), name="lookalike-job-beat")
        beating.start()
        state: JobState = "done"
        told: dict[str, Any] = {}
        try:
            for _ in STEPS[job.kind](self, job, progress):
                if self._halts(progress):
                    break
        except GalleryBusy:
            state = "queued"  # another process writes this gallery: that one shall do it
        except LookalikeError as error:
            state, told = "failed", {"error": problem_of(error)}
        except Exception:
            log.exception("job %s failed unexpectedly", job.id)
            state, told = (
                "failed",
                {"error": problem_of(LookalikeError("an unexpected error; the server's log tells more"))},
            )
        finally:
            over.set()
            beating.join()
        self._end(job, state, {**progress.told(), **told}, lost=progress.lost.is_set())

    def _end(self, job: Job, state: JobState, progress: Mapping[str, Any], *, lost: bool) -> None:
        put_back = state == "queued" or (self._stop.is_set() and state == "done")
        try:
            if put_back:
                self._service.catalog.release_job(job.id, self._worker)
            elif not lost:
                self._service.catalog.update_job(job.id, self._worker, progress, state=state)
        except LookalikeError as error:
            log.warning("cannot write how job %s ended; it will be begun again: %s", job.id, error)
        log.info("job %s: %s", job.id, "put back" if put_back else "lost or cancelled" if lost else state)
        if state == "queued":
            self._stop.wait(RETRY_SECONDS)

    def _heartbeat(self, job: Job, progress: Progress, over: threading.Event) -> None:
        """Write the progress now and then, which also shows that this process lives, and learn of cancelling."""
        while not over.wait(HEARTBEAT_SECONDS):
            try:
                if not self._service.catalog.update_job(job.id, self._worker, progress.told()):
                    progress.lost.set()
                    return
            except LookalikeError as error:
                log.warning("cannot write how job %s stands: %s", job.id, error)

    # Each kind of job is a generator, so that it can be stopped between its steps.

    def _import(self, job: Job, progress: Progress) -> Iterator[None]:
        attributes = job.request.get("attributes")
        if "paths" in job.request:
            groups: Iterable[Iterable[Item | Outcome]] = [
                items_from(self.check_paths(job.request["paths"]), attributes=attributes)
            ]
        else:
            progress.total = len(job.request["urls"])
            groups = self._fetched(job, attributes, progress)
        for group in groups:
            for outcome in self._service.add_iter(group, tenant=job.tenant):
                progress.done += 1
                progress.count(outcome.outcome)
                rejected = progress.result.setdefault("rejected", [])
                if outcome.outcome == "rejected" and len(rejected) < MAX_REPORTED_REJECTED:
                    rejected.append({"key": outcome.key, "reason": outcome.reason})
                yield

    def _fetched(
        self, job: Job, attributes: Mapping[str, Any] | None, progress: Progress
    ) -> Iterator[list[Item | Outcome]]:
        urls: Sequence[str] = job.request["urls"]
        most_pixels: int | None = job.request.get("max_pixels")

        def fetch(url: str) -> Item | Outcome:
            if self._halts(progress):
                return Outcome(url, None, "rejected", "unreadable: the job was stopped")
            try:
                data = self._fetcher.fetch(url)
                if most_pixels is not None:
                    check_pixels(data, most_pixels)
                return Item(url, data, attributes)
            except (BadInput, NotFound, Unavailable) as error:
                word = error.reason if isinstance(error, ImageRejected) else "unreadable"
                return Outcome(url, None, "rejected", f"{word}: {error}")

        with ThreadPoolExecutor(FETCHES, thread_name_prefix="lookalike-job-fetch") as pool:
            for start in range(0, len(urls), GROUP):
                group = list(pool.map(fetch, urls[start : start + GROUP]))
                if self._halts(progress):
                    return
                yield group

    def _repair(self, job: Job, progress: Progress) -> Iterator[None]:
        report = self._service.repair()
        progress.done = progress.total = report.images
        progress.counts.update(report.rebuilt)
        yield

    def _duplicates(self, job: Job, progress: Progress) -> Iterator[None]:
        clusters = progress.result.setdefault("clusters", [])
        for cluster in self._service.duplicates(tenant=job.tenant, pipelines=job.request.get("pipelines")):
            progress.done += 1
            progress.count("clusters")
            progress.count("images", len(cluster.images))
            if len(clusters) < MAX_REPORTED_CLUSTERS:
                clusters.append([image.key for image in cluster.images])
            yield

    def _delete(self, job: Job, progress: Progress) -> Iterator[None]:
        gone = self._service.remove_by_filter(job.request["filter"], tenant=job.tenant)
        progress.done = progress.total = len(gone.keys)
        progress.count("deleted", len(gone.keys))
        yield


STEPS: Mapping[str, Callable[[JobRunner, Job, Progress], Iterator[None]]] = {
    "import": JobRunner._import,
    "repair": JobRunner._repair,
    "duplicates": JobRunner._duplicates,
    "delete": JobRunner._delete,
}
"""What to do for each kind of job."""
