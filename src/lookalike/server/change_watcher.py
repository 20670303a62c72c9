"""Requests that wait for a change of the gallery: one look at the catalog serves all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from lookalike.errors import Unavailable

POLL_SECONDS = 0.25
"""Seconds between two looks at the catalog while requests wait."""
MAX_WAITING = 512
"""Requests that wait at once; they use no thread, but a connection each."""


class ChangeWatcher:
    """Waits until the catalog has a change; `read_last` reads the number of its last one. Of one event loop."""

    def __init__(self, read_last: Callable[[], Awaitable[int]]) -> None:
        self._read_last = read_last
        self._reading: asyncio.Future[int] | None = None
        self._read_at = 0.0
        self._last = 0
        self._stopped = False
        self.waiting = 0

    def stop(self) -> None:
        """End all waits, now and from now on: the server is stopping."""
        self._stopped = True

    async def wait_beyond(self, sequence: int, until: float, is_disconnected: Callable[[], Awaitable[bool]]) -> bool:
        """Wait for a change after this sequence number, until a time of the monotonic clock; whether there is one.

        Raises Unavailable if too many requests wait.
        """
        if self.waiting >= MAX_WAITING:
            raise Unavailable(f"{self.waiting} requests wait for changes already; try again later", retry_after=5.0)
        self.waiting += 1
        try:
            while not self._stopped:
                left = until - time.monotonic()
                if left <= 0 or await is_disconnected():
                    break
                if await self._recent_last() > sequence:
                    return True
                await asyncio.sleep(min(POLL_SECONDS, left))
            return False
        finally:
            self.waiting -= 1

    async def _recent_last(self) -> int:
        """The catalog's last sequence number, read at most `POLL_SECONDS` ago, once for all requests."""
        if self._reading is not None:
            return await asyncio.shield(self._reading)
        if time.monotonic() - self._read_at >= POLL_SECONDS:
            self._reading = asyncio.ensure_future(self._read_last())
            try:
                self._last = await asyncio.shield(self._reading)
                self._read_at = time.monotonic()
            finally:
                self._reading = None
        return self._last
