"""Blocking work off the event loop: so many threads, so many waiting, so many bytes, and a quick refusal beyond."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from lookalike.errors import Unavailable

T = TypeVar("T")
SMOOTHING = 0.1
"""The weight of the latest work in what work usually takes."""


class BoundedExecutor:
    """A bounded pool of threads with a bounded queue before it. Its methods belong to the event loop's thread.

    A request that would wait behind `queue` others, or for more than `patience` seconds as work goes now, gets
    Unavailable at once: it is better told to come again than answered when nobody waits for it any more.
    """

    def __init__(self, name: str, *, threads: int, queue: int, timeout: float) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"lookalike-{name}")
        self._free = asyncio.Semaphore(threads)
        self._threads = threads
        self._queue = queue
        self._timeout = timeout
        self._waiting = 0
        self._working = 0
        self._mean_seconds = 0.0  # seconds that a thread's work takes, the recent past counting most

    @property
    def waiting(self) -> int:
        """How many wait for a thread."""
        return self._waiting

    @property
    def working(self) -> int:
        """How many threads are at work."""
        return self._working

    def check_capacity(self) -> None:
        """Raise Unavailable where there is no room; asked before a body is read, too."""
        wait = (self._waiting + 1) * self._mean_seconds / self._threads if self._free.locked() else 0.0
        if self._waiting >= self._queue or wait > self._timeout:
            raise Unavailable(
                f"the service is busy: {self._working} requests are under way and {self._waiting} wait",
                retry_after=max(1.0, wait),
            )

    async def run(self, function: Callable[[], T], *, timeout: float | None = None) -> T:
        """What `do` gives, called in a thread; raises Unavailable where none is free in time.

        `patience` (seconds) is for what goes on in the background of an answer that has begun: it waits longer, and
        however many wait.
        """
        if self._free.locked():
            if timeout is None:
                self.check_capacity()
            await self._wait_for_thread(self._timeout if timeout is None else timeout)
        else:
            await self._free.acquire()
        return await asyncio.wrap_future(self._start(function))

    async def _wait_for_thread(self, patience: float) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(patience):
                await self._free.acquire()
        except TimeoutError:
            message = f"the service is busy: no thread was free for {patience:g} seconds"
            raise Unavailable(message, retry_after=2.0) from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Wait until the threads are done; blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, do: Callable[[], T]) -> "Future[T]":
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._working += 1

        def free() -> None:
            self._working -= 1
            self._mean_seconds += SMOOTHING * (loop.time() - began - self._mean_seconds)
            self._free.release()

        def done(_: "Future[T]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(free)  # also where the caller has gone: the thread is busy until now

        try:
            future = self._pool.submit(do)
        except RuntimeError as error:
            free()
            raise Unavailable("the service is stopping", retry_after=5.0) from error
        future.add_done_callback(done)
        return future
