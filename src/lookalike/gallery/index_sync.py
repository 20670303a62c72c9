"""Keeping indexes in step with the catalog, which is the truth, and the keeper of features where no engine is."""

import math
import threading
import time
from typing import Protocol

from lookalike.catalog import Catalog, IndexLease
from lookalike.errors import Damaged, GalleryBusy, UnsupportedQuery
from lookalike.interfaces import VectorIndex
from lookalike.pipeline import Pipeline

CHANGES = 8192
"""Changes applied to an index at once."""
PENDING_ROWS = 1000
PENDING_SHARE = 0.05
"""An index is written to disk once its unsaved changes exceed both; until then they are replayed at each opening."""


class IndexSync(Protocol):
    """Brings one pipeline's index up to the catalog. Safe to use from several threads."""

    @property
    def applied(self) -> int:
        """The last change that searches of this process see."""
        ...

    @property
    def missing_features(self) -> str | None:
        """Why searches refuse this index, for it lacks what nobody can give it; None where they do not."""
        ...

    def catch_up(self, until: float | None = None) -> int:
        """Apply what the catalog has beyond the index, and give the sequence number reached.

        After `until` (of the monotonic clock) it stops at the next pause, wherever it is.
        """
        ...

    def ensure_fresh(self) -> int:
        """What a search does: see that the index is in step, without long waiting; gives the number reached."""
        ...

    def save(self, *, always: bool = False) -> None:
        """Make durable what is worth it, or `always` whatever has changed."""
        ...

    def rebuild(self) -> int:
        """Build the index anew from the catalog; gives the number of its rows."""
        ...


class LocalIndexSync:
    """Follows with an index of this process, and saves it when that is worth the writing.

    A process that may not write the gallery's folder (`writable`) follows in memory alone; what it applied is forgotten
    with it.
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
        """The last change that searches of this process see."""
        return self._applied

    @property
    def missing_features(self) -> str | None:
        """Nothing: all of it can be built from the catalog."""
        return None

    def catch_up(self, until: float | None = None) -> int:
        """Apply what the catalog has beyond the index; gives the sequence number reached.

        An index that is ahead of the catalog (an older catalog was restored), or so far behind that deletions were
        forgotten meanwhile, is built anew.
        """
        if self._applied == self._catalog.changes.last_sequence():
            return self._applied
        with self._lock:
            if needs_rebuild(self._catalog, self._applied):
                self._pipeline.index.clear()
                self._applied = 0
            more = True
            while more and not _late(until):
                self._applied, changed, more = _apply(self._catalog, self._pipeline.index, self._applied)
                self._unsaved += changed
            return self._applied

    def ensure_fresh(self) -> int:
        """The same, for applying takes no longer than asking would."""
        return self.catch_up()

    def save(self, *, always: bool = False) -> None:
        """Write the index to disk if enough changed since the last time, or `always` if anything did."""
        if not self._writable:
            return
        with self._lock:
            worth = max(PENDING_ROWS, PENDING_SHARE * self._pipeline.index.count())
            if self._unsaved > (0 if always else worth):
                self._pipeline.index.flush(self._applied)
                self._unsaved = 0

    def rebuild(self) -> int:
        """Build the index anew from the catalog and save it; gives the number of its rows."""
        with self._lock:
            self._pipeline.index.clear()
            self._applied = 0
        self.catch_up()
        self.save(always=True)
        return self._pipeline.index.count()


POLL_INTERVAL = 1.0
"""Seconds for which searches take an index on a server to be as they last saw it: how stale an answer may be."""
FLUSH_EVERY = 8
"""Portions of changes after which they are made visible; a flush costs an engine up to a fifth of a second."""
RELEASED_FEATURES = 65_536
"""Changes whose features the catalog releases between two looks at the claim."""
COUNTED, NAMED = 1000, 3
"""Images without features that are counted in an error, and those named."""


class SharedIndexSync:
    """Follows with an index on a server, which one process at a time brings up to date: the one that has the claim.

    Whoever has written catches up; a search looks once in `POLL_INTERVAL` seconds whether that was done, and does a
    portion of it if nobody does. Raises Unavailable where the engine does not answer: the catalog keeps the changes.

    Where the catalog leaves features to the engine, they are released once the engine has them for good, while the
    claim is held, so that nobody builds an index from them meanwhile. An index that lacks such features is Damaged.
    """

    def __init__(self, catalog: Catalog, pipeline: Pipeline) -> None:
        self._catalog = catalog
        self._pipeline = pipeline
        self._name = f"{pipeline.name}-{pipeline.spec.fingerprint[:12]}"
        self._applied = 0
        self._leaving = catalog.features.keeper() == "engine"
        self._left = 0.0 if self._leaving else math.inf  # features up to this change are the engine's alone
        self._lacking: str | None = None  # how the index was last found not to be whole
        self._looked = float("-inf")
        self._lock = threading.Lock()

    @property
    def applied(self) -> int:
        """The last change that searches of this process see, as far as it knows."""
        return self._applied

    @property
    def missing_features(self) -> str | None:
        """Why searches refuse this index: it lacks features that only the engine had."""
        return self._lacking

    def catch_up(self, until: float | None = None) -> int:
        """Apply what the catalog has beyond the index, or see how far the process that has the claim has come."""
        if self._applied == self._catalog.changes.last_sequence() and (
            until is not None or self._left >= self._applied
        ):
            return self._applied
        with self._lock, self._catalog.leases.try_acquire(self._name) as claim:
            index = self._pipeline.index
            applied = index.sequence
            if claim is not None:
                if needs_rebuild(self._catalog, applied):
                    self._check(0, f"has reached change {applied}, from where it cannot go on", Damaged)
                    self._renew(claim)
                    applied = index.sequence
                self._check(applied, f"has reached change {applied} only", Damaged)
                self._lacking = None
                applied = self._replay(index, applied, claim, until)
                if until is None:
                    self._release_features(applied, claim)
            self._applied = applied
            return applied

    def ensure_fresh(self) -> int:
        """Check at most every `POLL_INTERVAL` seconds whether the index is up to date; if not, apply one portion."""
        now = time.monotonic()
        if now >= self._looked + POLL_INTERVAL and not self._lock.locked():
            self._looked = now
            self.catch_up(until=now)
        elif self._lacking is not None:
            raise Damaged(self._lacking)
        return self._applied

    def save(self, *, always: bool = False) -> None:
        """Nothing to do: what was applied is on the server."""

    def rebuild(self) -> int:
        """Build the index anew beside the old one, in which searches go on; raises GalleryBusy if another applies."""
        with self._lock, self._catalog.leases.try_acquire(self._name) as claim:
            if claim is None:
                raise GalleryBusy(f"another process is bringing the index {self._name} up to date; try again later")
            self._check(0, "cannot be built anew", UnsupportedQuery)
            self._applied = self._renew(claim)
        self.catch_up()  # what came meanwhile
        return self._pipeline.index.count()

    def _renew(self, claim: IndexLease) -> int:
        with self._pipeline.index.rebuilding() as fresh:
            applied = self._replay(fresh, 0, claim, None)
            # the claim may have been lost to one who released features
            self._check(0, "was not built anew", UnsupportedQuery)
            return applied

    def _release_features(self, applied: int, claim: IndexLease) -> None:
        """Have the catalog release the features that the engine has flushed."""
        if self._left >= applied:
            return
        done = self._catalog.features.released_through(self._pipeline.spec)
        while done < applied:
            claim.record(applied)  # raises if the claim was lost meanwhile
            done = min(done + RELEASED_FEATURES, applied)
            self._catalog.features.release(self._pipeline.spec, through=done)
        self._left = applied

    def _check(self, since: int, what: str, kind: type[Damaged | UnsupportedQuery]) -> None:
        """Raise this kind of error where an index of the state `since` needs features that the catalog has released."""
        spec = self._pipeline.spec
        if not self._leaving or since >= (released := self._catalog.features.released_through(spec)):
            return
        if keys := self._catalog.features.only_in_engine(spec, since, COUNTED):
            names = ", ".join(repr(key) for key in keys[:NAMED]) + (", ..." if len(keys) > NAMED else "")
            number = f"{len(keys)}{' or more' if len(keys) == COUNTED else ''}"
            told = (
                f"the index of {self._pipeline.name} {what}, and this catalog, made with features=engine, no longer "
                f"holds the features of {number} images ({names}) that it would take. If the index is lost, restore "
                f"the engine's own backup of it, of a state between the changes {released} and "
                f"{self._catalog.changes.last_sequence()}, or remove these images and add them again (`lookalike rm`, "
                "`lookalike add`), which encodes them"
            )
            if kind is Damaged:
                self._lacking = told
            raise kind(told)

    def _replay(self, index: VectorIndex, applied: int, claim: IndexLease, until: float | None) -> int:
        """Apply changes from `applied` on; every so often they are flushed, and the claim's progress noted."""
        flushed, portions, more = applied, 0, True
        while more and (portions == 0 or not _late(until)):
            applied, _, more = _apply(self._catalog, index, applied, attributes=True)
            portions += 1
            if portions % FLUSH_EVERY == 0:
                index.flush(applied)
                flushed = applied
            claim.record(flushed)  # raises if the claim was lost meanwhile
        if applied > flushed:
            index.flush(applied)
            claim.record(applied)
        return applied


def index_sync_of(catalog: Catalog, pipeline: Pipeline, *, writable: bool) -> IndexSync:
    """What keeps this pipeline's index in step; `writable` where this process may write the gallery's folder."""
    if pipeline.index.shared:
        return SharedIndexSync(catalog, pipeline)
    return LocalIndexSync(catalog, pipeline, writable=writable)


def needs_rebuild(catalog: Catalog, applied: int) -> bool:
    """Whether changes cannot bring an index from here to the catalog: it is of another time, or too far behind."""
    return applied > catalog.changes.last_sequence() or 0 < applied < catalog.changes.pruned_through()


def _apply(catalog: Catalog, index: VectorIndex, since: int, *, attributes: bool = False) -> tuple[int, int, bool]:
    """Apply one portion; gives the sequence number reached, the number of changes, and whether there are more."""
    changes = catalog.changes.since(index.spec, since, CHANGES, attributes=attributes)
    if len(changes.deletes):
        index.delete(changes.deletes)
    if len(changes.upserts.ids):
        index.upsert(changes.upserts)
    if len(changes.released) and changes.released_attributes is not None:
        index.update_attributes(changes.released, changes.released_tenants, changes.released_attributes)
    changed = len(changes.deletes) + len(changes.upserts.ids) + len(changes.released)
    return changes.sequence, changed, changes.more


def _late(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until
