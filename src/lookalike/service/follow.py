"""Keeping indexes in step with the catalog, which is the truth."""

import threading

from lookalike.catalog import Catalog
from lookalike.pipeline import Pipeline

CHANGES = 8192
"""Changes applied to an index at once."""
PENDING_ROWS = 1000
PENDING_SHARE = 0.05
"""An index is written to disk once its unsaved changes exceed both; until then they are replayed at each opening."""


class Follower:
    """Brings one pipeline's index up to the catalog, and saves it when that is worth the writing.

    A process that only reads follows in memory alone; what it applied is forgotten with it.
    """

    def __init__(self, catalog: Catalog, pipeline: Pipeline) -> None:
        self._catalog = catalog
        self._pipeline = pipeline
        self._applied = pipeline.index.sequence
        self._unsaved = 0
        self._lock = threading.Lock()

    @property
    def applied(self) -> int:
        """The last change that searches of this process see."""
        return self._applied

    def catch_up(self) -> int:
        """Apply what the catalog has beyond the index; gives the sequence number reached.

        An index that is ahead of the catalog (an older catalog was restored), or so far behind that deletions were
        forgotten meanwhile, is built anew.
        """
        if self._applied == self._catalog.sequence():
            return self._applied
        with self._lock:
            if self._applied > self._catalog.sequence() or 0 < self._applied < self._catalog.pruned():
                self._pipeline.index.clear()
                self._applied = 0
            more = True
            while more:
                changes = self._catalog.changes(self._pipeline.spec, self._applied, CHANGES)
                if len(changes.deletes):
                    self._pipeline.index.delete(changes.deletes)
                if len(changes.upserts.ids):
                    self._pipeline.index.upsert(changes.upserts)
                self._unsaved += len(changes.deletes) + len(changes.upserts.ids)
                self._applied, more = changes.sequence, changes.more
            return self._applied

    def save(self, *, always: bool = False) -> None:
        """Write the index to disk if enough changed since the last time, or `always` if anything did."""
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
