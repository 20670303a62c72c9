"""Synchronisation of indexes with the catalog, by replay of its change log."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from lookalike.catalog import Catalog, IndexLease
from lookalike.errors import Damaged, GalleryBusy, Unavailable, UnsupportedQuery
from lookalike.interfaces import VectorIndex
from lookalike.pipeline import Pipeline

log = logging.getLogger("lookalike")

BATCH_CHANGES = 8192
"""Changes applied to an index at once."""
MIN_UNSAVED_ROWS = 1000
MIN_UNSAVED_SHARE = 0.05
"""An index is saved once its unsaved changes exceed both; until then they are replayed at each opening."""

FRESHNESS_TIMEOUT = 10.0
"""Seconds that a search waits for its `min_sequence`."""
POLL_PAUSE = 0.05
"""Seconds between checks of an index that another process is bringing up to date."""


Report: TypeAlias = Callable[[int], None]
"""Called with the last change that was applied."""


def ignore_progress(progress: object) -> None:
    """Discard a report of progress."""


class IndexSync(Protocol):
    """Brings one pipeline's index up to date with the catalog. Safe to use from several threads."""

    @property
    def applied(self) -> int:
        """Sequence number of the last change that searches of this process are known to see."""

    @property
    def missing_features(self) -> str | None:
        """Why this index cannot be searched (it lacks released features, which only the engine had), or None."""

    def catch_up(self, until: float | None = None) -> int:
        """Apply the changes since the index's sequence number, and return the number reached.

        It stops after the first batch that ends later than `until` (of the monotonic clock).
        """

    def ensure_fresh(self) -> int:
        """Before a search: bring the index up to date without a long wait, and return the number reached."""

    def save(self, *, always: bool = False) -> None:
        """Save the index if enough has changed, or with `always` if anything has."""

    def rebuild(self, report: Report = ignore_progress) -> int:
        """Rebuild the index from the catalog, and return the number of its rows; `report` the changes applied."""


@dataclass(frozen=True, slots=True)
class OpenPipeline:
    """An open pipeline, the synchronisation of its index, and whether that index may be written to disk."""

    pipeline: Pipeline
    sync: IndexSync
    writable: bool

    @property
    def read_only(self) -> bool:
        """Whether it must be reopened once this process writes to the gallery's folder."""
        return not (self.writable or self.pipeline.index.shared)


class LocalIndexSync:
    """Synchronises an embedded index, and saves it when enough has changed.

    A process that may not write the gallery's folder (not `writable`) applies changes in memory only.
    """

    def __init__(self, catalog: Catalog, pipeline: Pipeline, *, writable: bool) -> None:
        self._catalog = catalog
        self._pipeline = pipeline
        self._writable = writable
        self._applied = pipeline.index.sequence
        self._unsaved = 0
        self._lock = threading.Lock()

    @property
    def applied(self) -> int:
        return self._applied

    @property
    def missing_features(self) -> str | None:
        return None

    def catch_up(self, until: float | None = None) -> int:
        if self._applied == self._catalog.changes.last_sequence():
            return self._applied
        with self._lock:
            if needs_rebuild(self._catalog, self._applied):
                self._pipeline.index.clear()
                self._applied = 0
            more = True
            while more and not _expired(until):
                self._applied, changed, more = _apply(self._catalog, self._pipeline.index, self._applied)
                self._unsaved += changed
            return self._applied

    def ensure_fresh(self) -> int:
        """Apply all changes: with an embedded index that takes no longer than a check."""
        return self.catch_up()

    def save(self, *, always: bool = False) -> None:
        if not self._writable:
            return
        with self._lock:
            threshold = max(MIN_UNSAVED_ROWS, MIN_UNSAVED_SHARE * self._pipeline.index.count())
            if self._unsaved > (0 if always else threshold):
                self._pipeline.index.flush(self._applied)
                self._unsaved = 0

    def rebuild(self, report: Report = ignore_progress) -> int:
        with self._lock:
            self._pipeline.index.clear()
            self._applied = 0
        report(self.catch_up())
        self.save(always=True)
        return self._pipeline.index.count()


POLL_INTERVAL = 1.0
"""Seconds between checks of a shared index by searches: how stale an answer may be."""
FLUSH_EVERY = 8
"""Batches of changes after which they are flushed; a flush costs an engine up to a fifth of a second."""
RELEASE_BATCH = 65_536
"""Changes whose features the catalog releases between two checks of the lease."""
MAX_COUNTED, MAX_NAMED = 1000, 3
"""Most images without features that an error counts, and most that it names."""


class SharedIndexSync:
    """Synchronises an index on a server, which one process at a time brings up to date: the holder of its lease.

    A writer catches up after writing; a search checks once in `POLL_INTERVAL` seconds whether the index is up to date,
    and applies one batch if no other process does. Raises Unavailable if the engine does not answer: the catalog keeps
    the changes.

    A catalog that leaves features to the engine releases them once the engine has flushed them, while the lease is
    held, so that no process rebuilds an index from them meanwhile. An index that lacks such features is Damaged.

    `generation` is that of the index: each one of a pipeline has a lease of its own.
    """

    def __init__(self, catalog: Catalog, pipeline: Pipeline, generation: int = 0) -> None:
        self._catalog = catalog
        self._pipeline = pipeline
        self._name = f"{pipeline.name}-{pipeline.spec.fingerprint[:12]}" + (f"-{generation}" if generation else "")
        self._applied = 0
        self._releases_features = catalog.features.keeper() == "engine"
        self._released = 0.0 if self._releases_features else math.inf  # features up to this change are released
        self._missing_features: str | None = None  # the reason found by the last check
        self._last_check = -math.inf
        self._lock = threading.Lock()

    @property
    def applied(self) -> int:
        return self._applied

    @property
    def missing_features(self) -> str | None:
        return self._missing_features

    def catch_up(self, until: float | None = None) -> int:
        """Apply the changes since the index's sequence number, or read the progress of the process with the lease."""
        if self._applied == self._catalog.changes.last_sequence() and (
            until is not None or self._released >= self._applied
        ):
            return self._applied
        with self._lock, self._catalog.leases.try_acquire(self._name) as lease:
            index = self._pipeline.index
            applied = index.sequence
            if lease is not None:
                if needs_rebuild(self._catalog, applied):
                    self._check_features(0, f"is at change {applied}, from which it cannot catch up", Damaged)
                    self._rebuild_index(lease)
                    applied = index.sequence
                self._check_features(applied, f"is only at change {applied}", Damaged)
                self._missing_features = None
                applied = self._replay(index, applied, lease, until)
                if until is None:
                    self._release_features(applied, lease)
            self._applied = applied
            return applied

    def ensure_fresh(self) -> int:
        """Check at most every `POLL_INTERVAL` seconds whether the index is up to date; if not, apply one batch."""
        now = time.monotonic()
        if now >= self._last_check + POLL_INTERVAL and not self._lock.locked():
            self._last_check = now
            self.catch_up(until=now)
        elif self._missing_features is not None:
            raise Damaged(self._missing_features)
        return self._applied

    def save(self, *, always: bool = False) -> None:
        """Do nothing: applied changes are on the server."""

    def rebuild(self, report: Report = ignore_progress) -> int:
        """Rebuild the index beside the old one, which searches use meanwhile; raises GalleryBusy without the lease."""
        with self._lock, self._catalog.leases.try_acquire(self._name) as lease:
            if lease is None:
                raise GalleryBusy(f"another process is updating the index {self._name}; try again later")
            self._check_features(0, "cannot be rebuilt", UnsupportedQuery)
            self._applied = self._rebuild_index(lease, report)
        self.catch_up()  # changes since
        return self._pipeline.index.count()

    def _rebuild_index(self, lease: IndexLease, report: Report = ignore_progress) -> int:
        with self._pipeline.index.rebuilding() as fresh:
            applied = self._replay(fresh, 0, lease, None, report)
            # the lease may have been lost to a process that released features
            self._check_features(0, "was not rebuilt", UnsupportedQuery)
            return applied

    def _release_features(self, applied: int, lease: IndexLease) -> None:
        """Release the features in the catalog that the engine has flushed."""
        if self._released >= applied:
            return
        done = self._catalog.features.released_through(self._pipeline.spec)
        while done < applied:
            lease.record(applied)  # raises if the lease was lost meanwhile
            done = min(done + RELEASE_BATCH, applied)
            self._catalog.features.release(self._pipeline.spec, through=done)
        self._released = applied

    def _check_features(self, since: int, problem: str, kind: type[Damaged | UnsupportedQuery]) -> None:
        """Raise this kind of error if an index at change `since` needs features that the catalog has released."""
        spec = self._pipeline.spec
        if not self._releases_features or since >= (released := self._catalog.features.released_through(spec)):
            return
        if keys := self._catalog.features.only_in_engine(spec, since, MAX_COUNTED):
            names = ", ".join(repr(key) for key in keys[:MAX_NAMED]) + (", ..." if len(keys) > MAX_NAMED else "")
            number = f"{len(keys)}{' or more' if len(keys) == MAX_COUNTED else ''}"
            message = (
                f"the index of {self._pipeline.name} {problem}, and the catalog, created with features=engine, no "
                f"longer has the features of {number} images ({names}) that it needs. If the index is lost, restore "
                f"the engine's own backup of it, of a state between the changes {released} and "
                f"{self._catalog.changes.last_sequence()}, or remove these images and add them again (`lookalike rm`, "
                "`lookalike add`), which encodes them"
            )
            if kind is Damaged:
                self._missing_features = message
            raise kind(message)

    def _replay(
        self, index: VectorIndex, applied: int, lease: IndexLease, until: float | None, report: Report = ignore_progress
    ) -> int:
        """Apply the changes after `applied`, flush every `FLUSH_EVERY` batches, and record progress in the lease."""
        flushed, batches, more = applied, 0, True
        while more and (batches == 0 or not _expired(until)):
            applied, _, more = _apply(self._catalog, index, applied, attributes=True)
            batches += 1
            if batches % FLUSH_EVERY == 0:
                index.flush(applied)
                flushed = applied
            lease.record(flushed)  # raises if the lease was lost meanwhile
            report(applied)
        if applied > flushed:
            index.flush(applied)
            lease.record(applied)
        return applied


def needs_rebuild(catalog: Catalog, applied: int) -> bool:
    """Return whether an index cannot catch up by replay: it is behind pruned deletions, or ahead of the catalog.

    It is ahead where an older catalog was restored.
    """
    return applied > catalog.changes.last_sequence() or 0 < applied < catalog.changes.pruned_through()


def _apply(catalog: Catalog, index: VectorIndex, since: int, *, attributes: bool = False) -> tuple[int, int, bool]:
    """Apply a batch of changes; returns the sequence number reached, the number of changes, and whether more follow."""
    changes = catalog.changes.since(index.spec, since, BATCH_CHANGES, attributes=attributes)
    if len(changes.deletes):
        index.delete(changes.deletes)
    if len(changes.upserts.ids):
        index.upsert(changes.upserts)
    if len(changes.released) and changes.released_attributes is not None:
        index.update_attributes(changes.released, changes.released_tenants, changes.released_attributes)
    changed = len(changes.deletes) + len(changes.upserts.ids) + len(changes.released)
    return changes.sequence, changed, changes.more


def _expired(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until


def catch_up(opened: Sequence[OpenPipeline], *, save: bool = False) -> None:
    """Bring all indexes up to date with the catalog, and with `save` those of which enough has changed to disk.

    One whose engine does not answer catches up later: the catalog keeps the changes.
    """
    for entry in opened:
        try:
            entry.sync.catch_up()
        except Unavailable as error:
            if not entry.pipeline.index.shared:
                raise
            log.warning("the index of %s will catch up later: %s", entry.pipeline.name, error)
        if save:
            entry.sync.save()


def ensure_fresh(opened: Sequence[OpenPipeline], min_sequence: int | None = None) -> int:
    """Before a search: bring the indexes up to date, and return the sequence number that all have reached.

    Waits up to `FRESHNESS_TIMEOUT` seconds for `min_sequence`; raises Unavailable if it is not reached by then.
    """
    for entry in opened:
        try:
            entry.sync.ensure_fresh()
        except Unavailable:
            if not entry.pipeline.index.shared:
                raise  # the catalog is down; an engine that is down is reported by the search
    until = time.monotonic() + FRESHNESS_TIMEOUT
    while (reached := min(o.sync.applied for o in opened)) < (min_sequence or 0):
        behind = min(opened, key=lambda o: o.sync.applied)
        if time.monotonic() > until:
            raise Unavailable(
                f"the index of {behind.pipeline.name} is at change {reached}, not yet at {min_sequence}; try again",
                retry_after=1.0,
            )
        if behind.sync.catch_up(until) < (min_sequence or 0):
            time.sleep(POLL_PAUSE)  # another process is updating it
    return reached
