"""In-memory cache of the catalog's valid API keys."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time

from starlette.concurrency import run_in_threadpool

from lookalike.catalog.api_keys import ApiKey, KeyLimits, digest_of, id_in, new_token, scopes_up_to

CACHE_SECONDS = 2.0
"""Age at which the cache is read again: the longest time, in any process, that a revoked API key still works."""
_UNKNOWN_KEY = ApiKey("", digest_of(""), "", None, (), KeyLimits(), 0.0, None)


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """The valid API keys by id. `any_created`: whether a key was ever created, which makes keys mandatory."""

    by_id: Mapping[str, ApiKey]
    any_created: bool

    def find(self, token: str) -> ApiKey | None:
        """The valid API key of a token, or None; an unknown id takes as long as a wrong secret."""
        key = self.by_id.get(id_in(token) or "", _UNKNOWN_KEY)
        return key if key.matches(token) and key is not _UNKNOWN_KEY and key.is_valid(time()) else None


class ApiKeyCache:
    """Caches API keys for `seconds`; `load` reads all of them, including revoked ones, in a thread."""

    def __init__(self, load: Callable[[], Sequence[ApiKey]], *, seconds: float = CACHE_SECONDS) -> None:
        self._load = load
        self._seconds = seconds
        self._keys = KeySnapshot({}, any_created=False)
        self._expires = -1.0
        self._read_lock = asyncio.Lock()
        self._page_keys: list[ApiKey] = []

    def create_page_key(self) -> str:
        """The token of a new admin key known to this process only, for the one-time link of `serve`; not stored."""
        public, token = new_token()
        scopes = scopes_up_to("admin")
        self._page_keys.append(
            ApiKey(public, digest_of(token), "this server's page", None, scopes, KeyLimits(), 0.0, None)
        )
        self._expires = -1.0
        return token

    async def current(self) -> KeySnapshot:
        """The keys, read again if expired; raises the catalog's errors."""
        if monotonic() >= self._expires:
            async with self._read_lock:
                if monotonic() >= self._expires:
                    await self._read()
        return self._keys

    async def _read(self) -> None:
        started = monotonic()  # the age counts from before the read
        keys = await run_in_threadpool(self._load)
        valid = {key.id: key for key in (*keys, *self._page_keys) if key.revoked is None}
        self._keys = KeySnapshot(valid, any_created=bool(keys))
        self._expires = started + self._seconds
