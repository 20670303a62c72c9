"""Live queries: the features of some queries of users, kept in memory to compare pipelines by them."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.errors import LookalikeError
from lookalike.gallery import Gallery
from lookalike.results import ImageFeatures

MAX_KEPT = 1000
"""The most queries that a server can be configured to keep."""
MAX_WAITING = 4
"""Queries that wait to be encoded by the pipelines that did not answer them; further ones are not kept."""
PAUSE_SECONDS = 1.0
"""Seconds between two queries that are encoded: what this costs has a bound, whatever the load."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class _Kept:
    """The features of a query by every pipeline, and the tenant that was searched."""

    tenant: str
    features: ImageFeatures


class LiveQueries:
    """Keeps the features of the last `limit` queries that were chosen, and nothing else of them; none where it is 0.

    They are by all pipelines, active and shadow, so that a query is encoded once more.
    """

    def __init__(self, gallery: Gallery, limit: int) -> None:
        self._gallery = gallery
        self._kept: deque[_Kept] = deque(maxlen=limit)
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(MAX_WAITING)
        self._free_at = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def offer(self, tenant: str | None, query: object) -> None:
        """Offer a query that was answered, without waiting; the bytes of an image are held until they are encoded.

        Stored images and features are not kept, nor searches in all tenants (None).
        """
        if not self._kept.maxlen or tenant is None or not isinstance(query, bytes):
            return
        with self._lock:
            if self._stopped.is_set() or time.monotonic() < self._free_at or self._waiting.full():
                return
            self._free_at = time.monotonic() + PAUSE_SECONDS
            self._waiting.put_nowait((tenant, query))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="live queries", daemon=True)
                self._thread.start()

    def of_tenant(self, tenant: str, pipelines: Sequence[str]) -> list[ImageFeatures]:
        """Return what is kept of a tenant's queries with usable features by all of these pipelines."""
        return [
            kept.features
            for kept in list(self._kept)
            if kept.tenant == tenant and all(kept.features.features.get(name) is not None for name in pipelines)
        ]

    def close(self) -> None:
        """Forget all, and stop the thread after the current image."""
        with self._lock:
            self._stopped.set()
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
        self._kept.clear()

    def _loop(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            if not self._stopped.is_set():
                self._keep(*waiting)
            del waiting

    def _keep(self, tenant: str, data: bytes) -> None:
        try:
            [(_, encoded)] = self._gallery.encode([data], pipelines=self._gallery.comparable_pipelines)
        except LookalikeError as error:
            log.warning("a live query was not kept: %s", error)
            return
        if isinstance(encoded, ImageFeatures):  # else it was answered all the same
            self._kept.append(_Kept(tenant, encoded))
