"""Decoding in processes: every core at work, and an image that hangs or crashes its decoder costs only itself.

The processes are started afresh (never forked: OpenVINO's threads would not survive it; never `multiprocessing`: the
caller's script need not be importable), read the files themselves, and end when we do, even when we are killed.
"""

import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lookalike.cpu import usable_cores
from lookalike.errors import BadSetting, ImageRejected
from lookalike.imaging.decode_pool.process import WorkerCrashed, WorkerProcess
from lookalike.imaging.decode_pool.worker import Reply, Request
from lookalike.imaging.limits import DEFAULT_LIMITS, Limits
from lookalike.types import InputSpec, Prepared

CHUNK_SECONDS: Final = 0.04
"""Work that one message brings: long beside the message's own cost, short beside a person's patience."""
CHUNK_IMAGES: Final = 64
CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Bytes handed over in one message, where sources hold bytes."""
AHEAD_PER_WORKER: Final = 256
"""Images that a worker may be ahead of the caller."""
CHUNKS_PER_WORKER: Final = 16
"""Messages that may be underway for a worker: what it does while the caller encodes and writes."""
AHEAD_BYTES: Final = 64 * 1024 * 1024
"""Bytes of results, and of sources that hold bytes, that may be underway."""
LOOK: Final = 0.1
"""Seconds between two looks for workers that take too long."""


@dataclass(frozen=True, slots=True)
class Source:
    """An image to read: its path, or its bytes. `known` is the SHA-256 that we have already, if we have.

    Bytes of that digest are not decoded. `want_pixels` has the pixels digested too, `thumbnail_side`, where it is not
    0, a small image made, as in `prepare`.
    """

    path: str | Path | None = None
    data: bytes | None = None
    known: bytes | None = None
    want_pixels: bool = False
    thumbnail_side: int = 0

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise BadSetting("A source has either a path or data.")


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The bytes are those that were known already: their SHA-256, and how many they are."""

    sha256: bytes
    nbytes: int


@dataclass(slots=True, eq=False)
class _Task:
    """A chunk on its way: `replies` or `error` once `done`."""

    requests: list[Request]
    nbytes: int
    done: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    replies: list[Reply] = field(default_factory=list)
    seconds: float = 0.0
    error: Exception | None = None


class DecodePool:
    """Prepares images for `inputs` in processes of their own, as many as `workers` (default: the usable cores).

    They are started when first needed and kept until `close`; closing takes a fraction of a second. Safe to use from
    several threads. Raises BadSetting for less than one worker.
    """

    def __init__(
        self, inputs: Sequence[InputSpec], *, limits: Limits = DEFAULT_LIMITS, workers: int | None = None
    ) -> None:
        self.workers = usable_cores() if workers is None else workers
        if self.workers < 1:
            raise BadSetting(f"A pool needs at least 1 worker, not {workers}.")
        self._inputs = tuple(inputs)
        self._limits = limits
        each = sum(prod((i.width, i.height, 3 if i.mode == "RGB" else 1)) for i in self._inputs)
        self.ahead = max(2 * self.workers, min(AHEAD_PER_WORKER * self.workers, AHEAD_BYTES // max(each, 1)))
        """How many images `map` reads from its sources, at most, before it has yielded the first of them."""
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._processes: list[WorkerProcess] = []
        self._minders: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting: list[_Task] = []
        self._closed = False
        self._pace = CHUNK_SECONDS  # seconds an image; the first chunks are single images
        self._finalizer = weakref.finalize(self, _end, self._tasks, self._processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def map(
        self, sources: Iterable[Source], *, want_pixels: bool = False
    ) -> Iterator[Prepared | Unchanged | ImageRejected]:
        """Read and prepare images, in the order of `sources`, which is consumed as the results are (see `ahead`).

        Whatever is wrong with one image is yielded as its ImageRejected; the others go on. Raises Unavailable where
        the processes cannot be started.
        """
        rest = iter(sources)
        underway: deque[_Task] = deque()
        images = nbytes = 0
        try:
            more = True
            while more or underway:
                while more and self._has_room(len(underway), images, nbytes):
                    task = self._next_task(rest, want_pixels)
                    if task is None:
                        more = False
                    else:
                        underway.append(task)
                        images, nbytes = images + len(task.requests), nbytes + task.nbytes
                        self._submit(task)
                if underway:
                    self._wait(underway[0])
                    for reply in self._taken(underway[0]):
                        yield Unchanged(*reply) if isinstance(reply, tuple) else reply
                    task = underway.popleft()
                    images, nbytes = images - len(task.requests), nbytes - task.nbytes
        finally:
            for task in underway:
                task.cancelled = True

    def close(self) -> None:
        """End the processes, whatever they are doing; closing twice is harmless."""
        with self._lock:
            self._closed = True
            minders = list(self._minders)
        self._finalizer()
        for minder in minders:
            minder.join()

    def _has_room(self, chunks: int, images: int, nbytes: int) -> bool:
        """Whether another chunk may be underway beside so many, with so many images and bytes in them."""
        return not chunks or (
            images + self._chunk_size() <= self.ahead
            and chunks < CHUNKS_PER_WORKER * self.workers
            and nbytes < AHEAD_BYTES
        )

    def _chunk_size(self) -> int:
        return max(1, min(int(CHUNK_SECONDS / self._pace), CHUNK_IMAGES, self.ahead // (2 * self.workers)))

    def _next_task(self, sources: Iterator[Source], want_pixels: bool) -> _Task | None:
        """The next images, few enough to take `CHUNK_SECONDS`."""
        requests: list[Request] = []
        nbytes = 0
        size = self._chunk_size()
        for source in sources:
            path = None if source.path is None else os.fspath(source.path)
            pixels = source.want_pixels or want_pixels
            requests.append((path, source.data, source.known, pixels, source.thumbnail_side))
            nbytes += len(source.data) if source.data is not None else 0
            if len(requests) >= size or nbytes >= CHUNK_BYTES:
                break
        return _Task(requests, nbytes) if requests else None

    def _submit(self, task: _Task) -> None:
        """Queue a task, and start another process where all are busy."""
        with self._lock:
            if self._closed:
                raise BadSetting("This pool is closed.")
            self._waiting = [*(other for other in self._waiting if not other.done.is_set()), task]
            self._tasks.put(task)
            if len(self._processes) < min(self.workers, len(self._waiting)):
                process = WorkerProcess(self._inputs, self._limits)
                minder = threading.Thread(
                    target=_run_worker, args=(self._tasks, process), name="decode-pool", daemon=True
                )
                self._processes.append(process)
                self._minders.append(minder)
                minder.start()

    def _wait(self, task: _Task) -> None:
        while not task.done.wait(LOOK):
            for process in tuple(self._processes):
                process.kill_if_overdue()

    def _taken(self, task: _Task) -> list[Reply]:
        if task.error is not None:
            raise task.error
        self._pace = max((self._pace + task.seconds / len(task.requests)) / 2, 1e-6)
        return task.replies


def _run_worker(tasks: "queue.SimpleQueue[_Task | None]", process: WorkerProcess) -> None:
    """Have one process work off tasks until there is a None; the thread's whole life."""
    while (task := tasks.get()) is not None:
        if not task.cancelled:
            try:
                task.replies, task.seconds = _complete(process, task.requests)
            except Exception as error:  # noqa: BLE001 - raised again where the results are waited for
                task.error = error
        task.done.set()
        del task  # else its replies would live until the next one
    process.close()


def _complete(process: WorkerProcess, requests: list[Request]) -> tuple[list[Reply], float]:
    """Replies to all requests, and the seconds that took; each that its process does not survive is rejected."""
    rejected: dict[int, Reply] = {}
    todo = list(range(len(requests)))
    seconds = 0.0
    while todo:
        try:
            replies, seconds = process.work([requests[place] for place in todo])
        except WorkerCrashed as died:
            place = todo.pop(died.place)
            rejected[place] = died.rejection(requests[place][0])
        else:
            answered = dict(zip(todo, replies, strict=True)) | rejected
            return [answered[place] for place in range(len(requests))], seconds
    return [rejected[place] for place in range(len(requests))], seconds


def _end(tasks: "queue.SimpleQueue[_Task | None]", processes: list[WorkerProcess]) -> None:
    """End all processes and the threads that mind them."""
    for process in tuple(processes):
        process.end()
        tasks.put(None)
