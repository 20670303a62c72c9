"""Memory budget for the request bodies that are being processed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lookalike.errors import Unavailable


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
