"""Base class of indexes that live in this process."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from lookalike.errors import BadInput, UnsupportedQuery
from lookalike.indexes import snapshot
from lookalike.indexes.validation import check_attributes, check_query, check_rows
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows


class EmbeddedIndex(ABC):
    """A `VectorIndex` in this process; a `folder` of None keeps everything in memory.

    An engine implements the abstract methods, which take validated arguments. Those that change rows run one at a time,
    under the lock; `_search` and `count` run beside them, and should read one immutable state.
    """

    def __init__(self, spec: FeatureSpec, folder: Path | None, *, writable: bool) -> None:
        self._spec = spec
        self._folder = folder
        self._writable = writable
        self._closed = False
        self._lock = threading.RLock()
        self._sequence = 0

    @property
    def shared(self) -> bool:
        return False

    @property
    def spec(self) -> FeatureSpec:
        return self._spec

    @property
    def sequence(self) -> int:
        return self._sequence

    def upsert(self, rows: Rows) -> None:
        ids, features, tenants = check_rows(self._spec, rows)
        with self._lock:
            self._check_open()
            self._put(ids, features, tenants)

    def delete(self, ids: Ids) -> None:
        with self._lock:
            self._check_open()
            self._remove(np.unique(np.asarray(ids, np.int64)))

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Validate only: filters reach an embedded index as ids, so it stores no attributes."""
        check_attributes(ids, tenants, attributes)
        self._check_open()

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
        queries = check_query(self._spec, queries, k, max_distance)
        self._check_open()
        return self._search(queries, k, tenant, _allowed_ids(filter), max_distance)

    def flush(self, sequence: int) -> None:
        with self._lock:
            self._check_open(flush=True)
            self._save(sequence)
            self._sequence = sequence

    def clear(self) -> None:
        """Delete every row; durably if the index is writable."""
        with self._lock:
            self._check_open()
            if self._folder is not None and self._writable:
                snapshot.wipe(self._folder)
            self._reset()
            self._sequence = 0

    @contextmanager
    def rebuilding(self) -> Iterator[Self]:
        self.clear()
        yield self

    def close(self) -> None:
        """Release files and memory; unflushed changes are lost."""
        with self._lock:
            self._closed = True
            self._reset()

    def _check_open(self, *, flush: bool = False) -> None:
        if self._closed:
            raise BadInput(f"the {self._spec.name} index is closed")
        if flush and not self._writable:
            raise BadInput(f"the {self._spec.name} index is read-only and cannot be flushed")

    @abstractmethod
    def count(self, tenant: int | None = None) -> int: ...

    @abstractmethod
    def _put(self, ids: Ids, features: Features, tenants: Ids) -> None:
        """Insert or replace rows, all or none."""

    @abstractmethod
    def _remove(self, ids: Ids) -> None:
        """Delete rows by their ids (sorted, unique); unknown ids are ignored."""

    @abstractmethod
    def _search(
        self, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        """The k nearest rows of each query, of a tenant and among `ids` where they are not None."""

    @abstractmethod
    def _save(self, sequence: int) -> None:
        """Save a snapshot in the folder, if there is one."""

    @abstractmethod
    def _reset(self) -> None:
        """Drop all rows from memory."""


def _allowed_ids(filter: ResolvedFilter | None) -> Ids | None:
    """The ids that pass a filter, None without one; raises UnsupportedQuery for an engine-specific filter."""
    if filter is None:
        return None
    if filter.engine_filter:
        engines = ", ".join(filter.engine_filter)
        raise UnsupportedQuery(f"this index is embedded and takes no engine_filter (given for {engines})")
    return filter.ids()
