"""Memory budget for the request bodies that are being processed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lookalike.errors import Unavailable


class MemoryBudget:
    """The bytes that request bodies take together; belongs to the event loop's thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._used

    @asynccontextmanager
    async def lease(self) -> AsyncIterator["MemoryLease"]:
        """What one request holds, given back at its end."""
        account = MemoryLease(self)
        try:
            yield account
        finally:
            account.release()

    def acquire(self, nbytes: int) -> None:
        """Count bytes; raises Unavailable where there would be too many."""
        if self._used + nbytes > self._max_bytes:
            raise Unavailable(
                f"the service is busy: requests under way hold {self._used:,} of {self._max_bytes:,} bytes",
                retry_after=1.0,
            )
        self._used += nbytes

    def release(self, nbytes: int) -> None:
        """Count them off."""
        self._used -= nbytes


class MemoryLease:
    """The bytes that one request holds."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._held = 0

    def acquire(self, nbytes: int) -> None:
        """Hold so many more; raises Unavailable."""
        self._budget.acquire(nbytes)
        self._held += nbytes

    def release(self, nbytes: int | None = None) -> None:
        """Hold so many less, or none any more."""
        freed = self._held if nbytes is None else min(nbytes, self._held)
        self._budget.release(freed)
        self._held -= freed
