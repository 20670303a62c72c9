"""The flat index: compares a query with every row. Exact under both metrics; the reference for all other indexes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lookalike.indexes import snapshot
from lookalike.indexes.base import EmbeddedIndex, allowed_ids
from lookalike.indexes.row_table import RowTable, View
from lookalike.indexes.validation import check_query, check_rows
from lookalike.types import Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows


class FlatIndex(EmbeddedIndex):
    """A `VectorIndex` that scans; in memory, with snapshots in `folder` (None: memory only).

    Opening a folder loads its last snapshot with the features memory-mapped. Raises FeatureMismatch for other
    features, Damaged for a snapshot that fails its checks; `snapshot.wipe(folder)` removes it.
    Only one object in one process may write to a folder at a time; its readers see each write atomically.
    """

    def __init__(self, spec: FeatureSpec, folder: Path | None, *, writable: bool = True) -> None:
        super().__init__(spec, folder, writable=writable)
        self._saved: set[str] = set()  # arrays and files that are unchanged since the current snapshot
        self._table = RowTable(spec)
        loaded = snapshot.load(folder, spec, files=self._file_readers()) if folder is not None else None
        if loaded:
            self._table = RowTable(spec, loaded.arrays)
            self._sequence = loaded.sequence
            self._saved = {*loaded.arrays, *loaded.files}
            self._restore(loaded)

    def upsert(self, rows: Rows) -> None:
        """Insert or replace rows, all or none; raises as `check_rows`."""
        ids, features, tenants = check_rows(self._spec, rows)
        with self._lock:
            self._check_open()
            if len(ids):
                self._table.put(ids, features, tenants)
                self._mark_changed("ids", "tenants", "alive", "tail")
                self._after_upsert()

    def delete(self, ids: Ids) -> None:
        """Delete rows by id; unknown ids are ignored."""
        with self._lock:
            self._check_open()
            if self._table.remove(ids):
                self._mark_changed("alive")

    def search(
        self,
        queries: Features,
        k: int,
        *,
        tenant: int | None = None,
        filter: ResolvedFilter | None = None,
        max_distance: float | None = None,
        fresh: bool = False,
    ) -> Matches:
        """The k nearest rows of each query; raises as `check_query`."""
        queries = check_query(self._spec, queries, k, max_distance)
        self._check_open()
        return self._search(self._table.view, queries, k, tenant, allowed_ids(filter), max_distance)

    def count(self, tenant: int | None = None) -> int:
        """Number of rows."""
        self._check_open()
        view = self._table.view
        return view.count if tenant is None else len(view.of_tenant(tenant))

    def flush(self, sequence: int) -> None:
        """Save a snapshot; arrays and files unchanged since the last one are linked, not written."""
        with self._lock:
            self._check_open(flush=True)
            self._compact()
            if self._folder is not None:
                arrays, files = self._arrays(), self._file_writers()
                snapshot.save(
                    self._folder,
                    self._spec,
                    sequence,
                    {name: array for name, array in arrays.items() if name not in self._saved},
                    files={name: write for name, write in files.items() if name not in self._saved},
                    keep=[name for name in (*arrays, *files) if name in self._saved],
                )
                self._after_save({*arrays, *files} - self._saved)
                self._saved = {*arrays, *files}
            self._sequence = sequence

    def clear(self) -> None:
        """Delete every row; durably if the index is writable."""
        with self._lock:
            self._check_open()
            if self._folder is not None and self._writable:
                snapshot.wipe(self._folder)
            self._table = RowTable(self._spec)
            self._saved = set()
            self._sequence = 0

    def close(self) -> None:
        """Release files and memory; unflushed changes are lost."""
        with self._lock:
            self._closed = True
            self._table = RowTable(self._spec)

    def _search(
        self, view: View, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        return view.nearest(self._spec.metric, queries, k, view.allowed(tenant, ids), max_distance)

    def _compact(self) -> None:
        """Compact before a flush: drop deleted rows once they are the majority; merge a large tail into the base."""
        view = self._table.view
        if view.size > 2 * view.count + 1024:
            self._table.compact(drop_deleted=True)
            self._saved = set()
        elif len(view.tail) > len(view.base) // 2:
            self._table.compact(drop_deleted=False)
            self._mark_changed("base", "tail")

    def _after_upsert(self) -> None:
        """Hook: rows were upserted."""

    def _after_save(self, names: set[str]) -> None:
        """Hook: a snapshot was saved in which `names` were newly written."""

    def _restore(self, loaded: snapshot.LoadedSnapshot) -> None:
        """Hook: restore the parts of a snapshot that are not rows."""

    def _arrays(self) -> Mapping[str, NDArray[Any]]:
        return self._table.arrays()

    def _file_readers(self) -> Mapping[str, Callable[[Path], Any]]:
        return {}

    def _file_writers(self) -> Mapping[str, Callable[[Path], None]]:
        return {}

    def _mark_changed(self, *names: str) -> None:
        self._saved.difference_update(names)
