"""Reading objects ahead of the decoder, several at once, in order, within limits on number and bytes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, TypeVar

from lookalike.errors import BadInput, ImageRejected, LookalikeError, NotFound, Unavailable
from lookalike.gallery.originals import READ_THREADS, Originals
from lookalike.sources.objects import ObjectInfo, stat_object
from lookalike.sources.urls import MEMBER, is_url
from lookalike.types import Found, FoundObject, Outcome

MAX_AHEAD = 4 * READ_THREADS
"""Objects read, and not decoded yet."""
MAX_AHEAD_BYTES = 256 * 1024 * 1024
"""Bytes of these, as far as their sizes are known; one object may be larger."""
MAX_CONSECUTIVE_FAILURES = 2 * READ_THREADS
"""Objects in a row that could not be reached, each after several attempts, from which on the store is down."""


class Readable(Protocol):
    """What is to be read: `data` is filled in."""

    path: str | None
    nbytes: int | None
    data: bytes | None

    @property
    def is_unread(self) -> bool:
        """Whether its bytes are those of an object that was not read yet."""

    def rejected(self, reason: str) -> Outcome:
        """The outcome where it cannot be read."""


R = TypeVar("R", bound=Readable)


class Prefetcher:
    """Reads the objects of one run of adding images. Threads are started for the first object."""

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._threads: ThreadPoolExecutor | None = None
        self._failures = 0

    def close(self) -> None:
        """Read nothing more."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None

    def run(self, tasks: Iterator[R | Outcome]) -> Iterator[R | Outcome]:
        """Yield tasks in their order, those of objects with their bytes; one that cannot be read is a rejected outcome.

        Raises Unavailable where so many in a row could not be reached that the store must be down.
        """
        ahead: deque[tuple[R | Outcome, Future[bytes] | None, int]] = deque()
        nbytes = 0
        for task in tasks:
            future, size = None, 0
            if not isinstance(task, Outcome) and task.is_unread:
                future, size = self._pool().submit(self.read, task), task.nbytes or 0
            elif not ahead:
                yield task
                continue
            ahead.append((task, future, size))
            nbytes += size
            while ahead and (len(ahead) >= MAX_AHEAD or nbytes > MAX_AHEAD_BYTES or _is_ready(ahead[0][1])):
                first, future, size = ahead.popleft()
                nbytes -= size
                yield self._finished(first, future)
        while ahead:
            first, future, _ = ahead.popleft()
            yield self._finished(first, future)

    def read(self, task: Readable) -> bytes:
        """Return the bytes of one object; raises as `Originals.read`."""
        assert task.path is not None
        return self._originals.read(task.path, nbytes=task.nbytes)

    def with_facts(self, chunk: list[Found]) -> list[Found]:
        """Return found things with the size and ETag of those objects whose list did not say them."""
        at = [n for n, one in enumerate(chunk) if isinstance(one, FoundObject) and _needs_facts(one)]
        if not at:
            return chunk
        result = list(chunk)
        wanted = [one for n in at if isinstance(one := chunk[n], FoundObject)]
        for n, one, facts in zip(at, wanted, self._pool().map(_facts, wanted), strict=True):
            if isinstance(facts, ObjectInfo):
                result[n] = replace(one, etag=facts.etag, nbytes=facts.nbytes)
            else:
                self._note(facts)
                result[n] = Outcome(one.relative, one.url, "rejected", _reason(facts))
        return result

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="lookalike-read")
        return self._threads

    def _finished(self, task: R | Outcome, future: Future[bytes] | None) -> R | Outcome:
        if isinstance(task, Outcome) or future is None:
            return task
        try:
            task.data = future.result()
        except LookalikeError as error:
            self._note(error)
            return task.rejected(_reason(error))
        self._failures = 0
        return task

    def _note(self, error: LookalikeError) -> None:
        if not isinstance(error, Unavailable):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= MAX_CONSECUTIVE_FAILURES:
            raise Unavailable(
                f"{self._failures} objects in a row could not be reached; run the same command again later. "
                f"The last one: {error}"
            ) from error


def _is_ready(future: Future[bytes] | None) -> bool:
    return future is None or future.done()


def _needs_facts(one: FoundObject) -> bool:
    return one.etag is None and one.data is None and is_url(one.url) and MEMBER not in one.url


def _facts(one: FoundObject) -> ObjectInfo | LookalikeError:
    try:
        return stat_object(one.url)
    except (BadInput, NotFound, Unavailable) as error:
        return error


def _reason(error: LookalikeError) -> str:
    return f"{error.reason if isinstance(error, ImageRejected) else 'unreadable'}: {error}"
