"""The set of pipelines that this process works with: that of the catalog, read again every second."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lookalike.catalog import Catalog, OtherIndex, StoredIndex, StoredPipeline

REFRESH_SECONDS = 1.0
"""For how long a process searches with a set of pipelines that another one may have changed. Writers learn of a change
in the transaction that it concerns."""
DROP_SECONDS = 3 * REFRESH_SECONDS
"""Seconds after which no search uses a pipeline any more that was taken from the set."""


@dataclass(frozen=True, slots=True)
class Pipelines:
    """A version of the set: `active` answer searches, the last one ranks; `encoded` are those and the shadow ones.

    Both are in order of precedence. `indexes` are those that answer; `others` are second ones, of pipelines whose index
    is being moved or was.
    """

    version: int
    active: tuple[str, ...]
    encoded: tuple[str, ...]
    indexes: Mapping[str, StoredIndex]
    others: Mapping[str, OtherIndex]


class CurrentPipelines:
    """Reads the set of pipelines from the catalog; `initial` are the names in the settings. Thread-safe."""

    def __init__(self, catalog: Catalog, initial: Sequence[str]) -> None:
        self.initial = tuple(initial)
        self._catalog = catalog
        self._lock = threading.Lock()
        self._read_at = time.monotonic()
        self._last = self._read()

    @property
    def last(self) -> Pipelines:
        """The set that was read last."""
        return self._last

    def get(self, *, now: bool = False) -> Pipelines:
        """The set, at most `REFRESH_SECONDS` old, or that of `now`."""
        if now or time.monotonic() - self._read_at > REFRESH_SECONDS:
            with self._lock:
                self._read_at = time.monotonic()
                if self._catalog.pipelines.version() != self._last.version:
                    self._last = self._read()
        return self._last

    def stored(self) -> list[StoredPipeline]:
        """What the catalog knows of each pipeline, in order of precedence."""
        found = list(self._catalog.pipelines.current().pipelines)
        return found or [StoredPipeline(name, "active") for name in self.initial]

    def _read(self) -> Pipelines:
        found = self._catalog.pipelines.current()
        stored = found.pipelines or tuple(StoredPipeline(name, "active") for name in self.initial)
        return Pipelines(
            found.version,
            tuple(p.name for p in stored if p.state == "active"),
            tuple(p.name for p in stored if p.state != "dropping"),
            {p.name: p.index for p in stored},
            {p.name: p.other for p in stored if p.other is not None},
        )
