"""Limits on the load of a server, which refuses work early: threads with a bounded queue, and memory of bodies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from lookalike.errors import Unavailable

T = TypeVar("T")
SMOOTHING = 0.1
"""Weight of the latest duration in the exponential moving average."""


class BoundedExecutor:
    """A thread pool with a bounded queue. Its methods must be called in the event loop's thread.

    A request that would wait behind `queue` others, or is expected to wait for more than `timeout` seconds, fails with
    Unavailable at once: an early refusal is cheaper than a late response that the client no longer awaits.
    """

    def __init__(self, name: str, *, threads: int, queue: int, timeout: float) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"lookalike-{name}")
        self._free = asyncio.Semaphore(threads)
        self._threads = threads
        self._queue = queue
        self._timeout = timeout
        self.waiting = 0  # calls that wait for a thread
        self.working = 0  # busy threads
        self._mean_seconds = 0.0  # exponential moving average

    def check_capacity(self) -> None:
        """Raise Unavailable if the queue is full; routes call it before they read a body, too."""
        wait = (self.waiting + 1) * self._mean_seconds / self._threads if self._free.locked() else 0.0
        if self.waiting >= self._queue or wait > self._timeout:
            raise Unavailable(
                f"the server is busy: {self.working} requests are running and {self.waiting} are queued",
                retry_after=max(1.0, wait),
            )

    async def run(self, function: Callable[[], T], *, timeout: float | None = None) -> T:
        """The result of a function called in a thread; raises Unavailable if no thread is free in time.

        `timeout` is for a response that has already started: it replaces the executor's, and the queue is not checked.
        """
        if self._free.locked():
            if timeout is None:
                self.check_capacity()
            await self._wait_for_thread(self._timeout if timeout is None else timeout)
        else:
            await self._free.acquire()
        return await asyncio.wrap_future(self._start(function))

    async def _wait_for_thread(self, timeout: float) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await self._free.acquire()
        except TimeoutError:
            message = f"the server is busy: no thread became free within {timeout:g} seconds"
            raise Unavailable(message, retry_after=2.0) from None
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Wait for the running calls; blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, do: Callable[[], T]) -> "Future[T]":
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.working += 1

        def free() -> None:
            self.working -= 1
            self._mean_seconds += SMOOTHING * (loop.time() - started - self._mean_seconds)
            self._free.release()

        def done(_: "Future[T]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(free)  # even if the caller was cancelled: the thread was busy until now

        try:
            future = self._pool.submit(do)
        except RuntimeError as error:
            free()
            raise Unavailable("the server is stopping", retry_after=5.0) from error
        future.add_done_callback(done)
        return future


class MemoryBudget:
    """Bounds the bytes that request bodies hold together; must be used in the event loop's thread."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used = 0  # bytes

    @asynccontextmanager
    async def lease(self) -> AsyncIterator["MemoryLease"]:
        """A lease for one request, released at its end."""
        lease = MemoryLease(self)
        try:
            yield lease
        finally:
            lease.release()


class MemoryLease:
    """The bytes reserved by one request."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._held = 0

    def acquire(self, nbytes: int) -> None:
        """Reserve more bytes; raises Unavailable above the budget's limit."""
        used, max_bytes = self._budget.used, self._budget.max_bytes
        if used + nbytes > max_bytes:
            message = f"the server is busy: running requests hold {used:,} of {max_bytes:,} bytes"
            raise Unavailable(message, retry_after=1.0)
        self._budget.used += nbytes
        self._held += nbytes

    def release(self, nbytes: int | None = None) -> None:
        """Release some bytes, or (None) all."""
        freed = self._held if nbytes is None else min(nbytes, self._held)
        self._budget.used -= freed
        self._held -= freed
