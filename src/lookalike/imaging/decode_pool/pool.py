"""A pool of decoding processes: all cores are used, and a hang or a crash of a decoder costs only its image.

The processes are spawned (never forked: OpenVINO's threads would not survive it; never `multiprocessing`: the
caller's script need not be importable), read the files themselves, and exit with their parent, even if it is killed.
"""

import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lookalike import imaging
from lookalike.cpu import usable_cores
from lookalike.errors import BadSetting, ImageRejected
from lookalike.imaging.decode_pool.process import WorkerCrashed, WorkerProcess
from lookalike.imaging.decode_pool.worker import Reply, Request
from lookalike.imaging.limits import DEFAULT_LIMITS, Limits
from lookalike.types import InputSpec, Prepared

CHUNK_SECONDS: Final = 0.04
"""Target duration of one message's work: long compared with its overhead, short for interactive use."""
MAX_CHUNK_IMAGES: Final = 64
MAX_CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Bytes of image data in one message."""
MAX_AHEAD_PER_WORKER: Final = 256
"""Images in flight for each worker."""
MAX_CHUNKS_PER_WORKER: Final = 16
"""Messages in flight for each worker: its work while the caller encodes and writes."""
MAX_AHEAD_BYTES: Final = 64 * 1024 * 1024
"""Bytes of results, and of image data in sources, in flight."""
_OPTIONS: Final = ("want_pixels", "thumbnail_side", "variants", "reduced_side", "reduced_required", "reduced_apart")
INLINE_LIMIT: Final = 4
"""Most images that a command decodes in its own process, because starting workers would take longer; a server: 0."""
POLL_SECONDS: Final = 0.1
"""Seconds between two checks for overdue workers."""


@dataclass(slots=True)
class Source:
    """An image to read: its path, or its bytes. `known` is its stored SHA-256, if any: such bytes are not decoded.

    The others are options of `prepare`.
    """

    path: str | Path | None = None
    data: bytes | None = None
    known: bytes | None = None
    want_pixels: bool = False
    thumbnail_side: int = 0
    reduced_side: int = 0
    reduced_required: bool = False
    reduced_apart: bool = False
    variants: bool = False

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise BadSetting("A source needs either a path or data.")

    def request(self, *, want_pixels: bool = False) -> Request:
        """The message to a worker."""
        options = {name: value for name in _OPTIONS if (value := getattr(self, name))}
        if want_pixels:
            options["want_pixels"] = True
        return None if self.path is None else os.fspath(self.path), self.data, self.known, options


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The bytes have the known digest: their SHA-256, and their number."""

    sha256: bytes
    nbytes: int


@dataclass(slots=True, eq=False)
class _Task:
    """A chunk in flight: `replies` or `error` once `done`."""

    requests: list[Request]
    nbytes: int  # of image data, and at most of reduced pixels in the replies
    done: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    replies: list[Reply] = field(default_factory=list)
    seconds: float = 0.0
    error: Exception | None = None


class DecodePool:
    """Prepares images for `inputs` in `workers` processes (default: the usable cores), kept until `close`.

    They are started for the first call with more than `inline_limit` images, which the caller's process decodes itself,
    and then serve all calls, because a hostile image cannot crash the caller from there. Thread-safe. Raises BadSetting
    for less than one worker.
    """

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        *,
        limits: Limits = DEFAULT_LIMITS,
        workers: int | None = None,
        inline_limit: int = 0,
    ) -> None:
        self.workers = usable_cores() if workers is None else workers
        if self.workers < 1:
            raise BadSetting(f"A pool needs at least 1 worker, not {workers}.")
        self._inputs = tuple(inputs)
        self._limits = limits
        self._inline_limit = inline_limit
        each = sum(prod((i.width, i.height, 3 if i.mode == "RGB" else 1)) for i in self._inputs)
        self.ahead = max(2 * self.workers, min(MAX_AHEAD_PER_WORKER * self.workers, MAX_AHEAD_BYTES // max(each, 1)))
        """The largest number of images that `map` reads from its sources before it yields the first."""
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._processes: list[WorkerProcess] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._pending: list[_Task] = []
        self._closed = False
        self._seconds_per_image = CHUNK_SECONDS  # seconds an image; the first chunks are single images
        self._finalizer = weakref.finalize(self, _shut_down, self._tasks, self._processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def map(
        self, sources: Iterable[Source], *, want_pixels: bool = False
    ) -> Iterator[Prepared | Unchanged | ImageRejected]:
        """Read and prepare images, in the order of `sources`, which is consumed as the results are (see `ahead`).

        An image that cannot be decoded yields its ImageRejected. Raises Unavailable where no process can be started.
        """
        remaining = iter(sources)
        if self._inline_limit and not self._processes:
            first = list(islice(remaining, self._inline_limit + 1))
            if len(first) <= self._inline_limit:
                for source in first:
                    request = source.request(want_pixels=want_pixels)
                    yield _result(imaging.read_and_prepare(request, self._inputs, self._limits))
                return
            remaining = chain(first, remaining)
        in_flight: deque[_Task] = deque()
        images = nbytes = 0
        try:
            more = True
            while more or in_flight:
                while more and self._has_capacity(len(in_flight), images, nbytes):
                    task = self._next_task(remaining, want_pixels)
                    if task is None:
                        more = False
                    else:
                        in_flight.append(task)
                        images, nbytes = images + len(task.requests), nbytes + task.nbytes
                        self._submit(task)
                if in_flight:
                    for reply in self._replies(in_flight[0]):
                        yield _result(reply)
                    task = in_flight.popleft()
                    images, nbytes = images - len(task.requests), nbytes - task.nbytes
        finally:
            for task in in_flight:
                task.cancelled = True

    def close(self) -> None:
        """Terminate the processes, even while they decode; idempotent."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        self._finalizer()
        for minder in threads:
            minder.join()

    def _has_capacity(self, chunks: int, images: int, nbytes: int) -> bool:
        """Whether another chunk may be sent beside so many in flight, with so many images and bytes."""
        return not chunks or (
            images + self._chunk_size() <= self.ahead
            and chunks < MAX_CHUNKS_PER_WORKER * self.workers
            and nbytes < MAX_AHEAD_BYTES
        )

    def _chunk_size(self) -> int:
        images = int(CHUNK_SECONDS / self._seconds_per_image)
        return max(1, min(images, MAX_CHUNK_IMAGES, self.ahead // (2 * self.workers)))

    def _next_task(self, sources: Iterator[Source], want_pixels: bool) -> _Task | None:
        """The next images, as many as take `CHUNK_SECONDS`."""
        requests: list[Request] = []
        nbytes, size = 0, self._chunk_size()
        for source in sources:
            requests.append(source.request(want_pixels=want_pixels))
            nbytes += len(source.data or b"") + 3 * source.reduced_side**2
            if len(requests) >= size or nbytes >= MAX_CHUNK_BYTES:
                break
        return _Task(requests, nbytes) if requests else None

    def _submit(self, task: _Task) -> None:
        """Enqueue a task, and start another process where all are busy."""
        with self._lock:
            if self._closed:
                raise BadSetting("This pool is closed.")
            self._pending = [*(other for other in self._pending if not other.done.is_set()), task]
            self._tasks.put(task)
            if len(self._processes) < min(self.workers, len(self._pending)):
                process = WorkerProcess(self._inputs, self._limits)
                arguments = self._tasks, process
                thread = threading.Thread(target=_run_worker, args=arguments, name="decode-pool", daemon=True)
                self._processes.append(process)
                self._threads.append(thread)
                thread.start()

    def _replies(self, task: _Task) -> list[Reply]:
        while not task.done.wait(POLL_SECONDS):
            for process in tuple(self._processes):
                process.kill_if_overdue()
        if task.error is not None:
            raise task.error
        self._seconds_per_image = max((self._seconds_per_image + task.seconds / len(task.requests)) / 2, 1e-6)
        return task.replies


def _result(reply: Reply) -> Prepared | Unchanged | ImageRejected:
    return Unchanged(*reply) if isinstance(reply, tuple) else reply


def _run_worker(tasks: "queue.SimpleQueue[_Task | None]", process: WorkerProcess) -> None:
    while (task := tasks.get()) is not None:
        if not task.cancelled:
            try:
                task.replies, task.seconds = _complete(process, task.requests)
            except Exception as error:  # noqa: BLE001 - raised again by the caller that waits for the results
                task.error = error
        task.done.set()
        del task  # frees its replies before the next task
    process.close()


def _complete(process: WorkerProcess, requests: list[Request]) -> tuple[list[Reply], float]:
    """Replies to all requests, and the seconds taken; an image that crashes its process is rejected."""
    replies: dict[int, Reply] = {}
    pending = list(range(len(requests)))
    seconds = 0.0
    while pending:
        try:
            answers, seconds = process.work([requests[index] for index in pending])
        except WorkerCrashed as crash:
            position = pending.pop(crash.position)
            replies[position] = crash.rejection(requests[position][0])
        else:
            replies.update(zip(pending, answers, strict=True))
            break
    return [replies[index] for index in range(len(requests))], seconds


def _shut_down(tasks: "queue.SimpleQueue[_Task | None]", processes: list[WorkerProcess]) -> None:
    for process in tuple(processes):
        process.terminate()
        tasks.put(None)
