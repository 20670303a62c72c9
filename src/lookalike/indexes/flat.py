"""The flat index: compares a query with every row. Exact under both metrics; the reference for all other indexes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lookalike.indexes import snapshot
from lookalike.indexes.base import EmbeddedIndex
from lookalike.indexes.row_table import RowTable
from lookalike.types import Features, FeatureSpec, Ids, Matches


class FlatIndex(EmbeddedIndex):
    """An index that scans. Opening a folder loads its last snapshot with the features memory-mapped.

    Only one object in one process may write to a folder at a time; its readers see each write atomically.
    Raises FeatureMismatch for other features, Damaged for a snapshot that fails its checks.
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

    def count(self, tenant: int | None = None) -> int:
        self._check_open()
        view = self._table.view
        return view.count if tenant is None else len(view.of_tenant(tenant))

    def _put(self, ids: Ids, features: Features, tenants: Ids) -> None:
        if len(ids):
            self._table.put(ids, features, tenants)
            self._saved -= {"ids", "tenants", "alive", "tail"}

    def _remove(self, ids: Ids) -> None:
        if self._table.remove(ids):
            self._saved -= {"alive"}

    def _search(
        self, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        view = self._table.view
        return view.nearest(self._spec.metric, queries, k, view.allowed(tenant, ids), max_distance)

    def _save(self, sequence: int) -> None:
        """Save a snapshot; arrays and files unchanged since the last one are linked, not written."""
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

    def _reset(self) -> None:
        self._table = RowTable(self._spec)
        self._saved = set()

    def _compact(self) -> None:
        """Compact before a flush: drop deleted rows once they are the majority; merge a large tail into the base."""
        view = self._table.view
        if view.size > 2 * view.count + 1024:
            self._table.compact(drop_deleted=True)
            self._saved = set()
        elif len(view.tail) > len(view.base) // 2:
            self._table.compact(drop_deleted=False)
            self._saved -= {"base", "tail"}

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
