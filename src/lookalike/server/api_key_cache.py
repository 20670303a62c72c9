"""The live keys of a catalog as a server keeps them in memory."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from starlette.concurrency import run_in_threadpool

from lookalike.catalog.api_keys import ApiKey, KeyLimits, digest_of, id_in, new_token, scopes_up_to

CACHE_SECONDS = 2.0
"""So long a server goes by what it last read: a revoked key works no longer than this, in any process."""
_NOBODY = ApiKey("", digest_of(""), "", None, (), KeyLimits(), 0.0, None)


@dataclass(frozen=True, slots=True)
class Keys:
    """The live keys at one moment, by id. `made` says whether any key was ever made: then one is required."""

    by_id: Mapping[str, ApiKey]
    made: bool

    def holder(self, token: str) -> ApiKey | None:
        """The live key of a token; an unknown id takes as long as a wrong secret."""
        key = self.by_id.get(id_in(token) or "", _NOBODY)
        return key if key.matches(token) and key is not _NOBODY else None


class ApiKeyCache:
    """Keeps the keys of a catalog fresh. Nothing is trusted longer than `seconds`: where the catalog cannot be read,
    its error goes to whoever asked.

    `load` reads every key, the revoked ones too; it runs in a thread.
    """

    def __init__(self, load: Callable[[], Sequence[ApiKey]], *, seconds: float = CACHE_SECONDS) -> None:
        self._load = load
        self._seconds = seconds
        self._keys = Keys({}, made=False)
        self._until = -1.0
        self._reading = asyncio.Lock()
        self._own: list[ApiKey] = []

    def make_own(self) -> str:
        """The token of a key that this process alone knows, for the page of the person who started it; not stored."""
        public, token = new_token()
        key = ApiKey(
            public, digest_of(token), "this server's page", None, scopes_up_to("admin"), KeyLimits(), 0.0, None
        )
        self._own.append(key)
        self._until = -1.0
        return token

    async def current(self) -> Keys:
        """The keys, read anew where they are not fresh; raises what reading the catalog raises."""
        if monotonic() >= self._until:
            async with self._reading:
                if monotonic() >= self._until:
                    await self._read()
        return self._keys

    async def _read(self) -> None:
        began = monotonic()  # the age of what was read counts from before the question
        found = await run_in_threadpool(self._load)
        live = {key.id: key for key in (*found, *self._own) if key.revoked is None}
        self._keys = Keys(live, made=bool(found))
        self._until = began + self._seconds
