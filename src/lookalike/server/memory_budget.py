"""Memory budget for the request bodies that are being processed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lookalike.errors import Unavailable


class MemoryBudget:
    """The bytes that request bodies take together; belongs to the event loop's thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @property
    def taken(self) -> int:
        """Bytes held now."""
        return self._taken

    @asynccontextmanager
    async def account(self) -> AsyncIterator["MemoryLease"]:
        """What one request holds, given back at its end."""
        account = MemoryLease(self)
        try:
            yield account
        finally:
            account.give_back()

    def take(self, nbytes: int) -> None:
        """Count bytes; raises Unavailable where there would be too many."""
        if self._taken + nbytes > self._most:
            raise Unavailable(
                f"the service is busy: requests under way hold {self._taken:,} of {self._most:,} bytes", retry_after=1.0
            )
        self._taken += nbytes

    def free(self, nbytes: int) -> None:
        """Count them off."""
        self._taken -= nbytes


class MemoryLease:
    """The bytes that one request holds."""

    def __init__(self, memory: MemoryBudget) -> None:
        self._memory = memory
        self._held = 0

    def take(self, nbytes: int) -> None:
        """Hold so many more; raises Unavailable."""
        self._memory.take(nbytes)
        self._held += nbytes

    def give_back(self, nbytes: int | None = None) -> None:
        """Hold so many less, or none any more."""
        freed = self._held if nbytes is None else min(nbytes, self._held)
        self._memory.free(freed)
        self._held -= freed
