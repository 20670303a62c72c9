"""Copy-on-write table of rows in memory: one writer appends, any number of readers use an immutable view.

A replaced or deleted row is only marked as deleted, so that row numbers in a reader's view stay valid. Features are
kept in two parts, `base` and `tail`, because the base may be a memory-mapped file that must not be copied to append.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike import distances
from lookalike.distances import RowNumbers
from lookalike.types import Features, FeatureSpec, Ids, Matches, Metric

MAX_UNINDEXED_ROWS = 16_384
"""Newest rows that are looked up linearly; beyond it (or a sixteenth of all rows) they are sorted into the lookup."""


class RowLookup:
    """Row numbers by id and by tenant of the first `size` rows, except those deleted before it was built."""

    def __init__(self, ids: Ids, rows: RowNumbers, tenants: Ids, size: int) -> None:
        self.ids = ids  # sorted
        self.rows = rows  # in the order of `ids`
        self.size = size
        self._tenants = tenants

    @cached_property
    def _by_tenant(self) -> tuple[Ids, RowNumbers]:
        rows = np.sort(self.rows)
        order = np.argsort(self._tenants[rows], kind="stable")
        return self._tenants[rows[order]], rows[order]

    def of_tenant(self, tenant: int) -> RowNumbers:
        """Row numbers of a tenant, ascending."""
        tenants, rows = self._by_tenant
        first, last = np.searchsorted(tenants, tenant, "left"), np.searchsorted(tenants, tenant, "right")
        return rows[first:last]

    @cached_property
    def _by_id(self) -> NDArray[np.int32] | None:
        """Row numbers in a dense table indexed by id; None where the ids are too sparse for one."""
        if self.ids[-1] > 4 * len(self.ids) + MAX_UNINDEXED_ROWS or self.size > np.iinfo(np.int32).max:
            return None
        table = np.full(self.ids[-1] + 1, -1, np.int32)
        table[self.ids] = self.rows
        return table

    def find(self, ids: Ids) -> RowNumbers:
        if not len(self.ids):
            return np.full(len(ids), -1)
        if (table := self._by_id) is not None:
            if len(ids) and (ids.min() < 0 or ids.max() >= len(table)):
                inside = (ids >= 0) & (ids < len(table))
                return np.where(inside, table[np.where(inside, ids, 0)], -1).astype(np.intp)
            return table[ids].astype(np.intp)
        position = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[position] == ids, self.rows[position], -1)


@dataclass(frozen=True, slots=True)
class View:
    """Immutable view of the table: rows `0 .. len(ids)`, valid where `alive`; features in `base`, then `tail`."""

    ids: Ids
    tenants: Ids
    alive: NDArray[np.bool_]
    base: Features
    tail: Features
    lookup: RowLookup
    count: int
    numbering: object
    """Identity of the row numbering: a new object whenever rows are renumbered."""

    @property
    def size(self) -> int:
        """Deleted rows included."""
        return len(self.ids)

    def find(self, ids: Ids) -> RowNumbers:
        """The row number of each id, -1 for unknown or deleted ids."""
        rows = self.lookup.find(ids)
        if self.count < self.size:
            known = np.flatnonzero(rows >= 0)
            rows[known[~self.alive[rows[known]]]] = -1
        missing = np.flatnonzero(rows < 0)
        unindexed = self.lookup.size + np.flatnonzero(self.alive[self.lookup.size :])
        if len(missing) and len(unindexed):
            unindexed_ids = self.ids[unindexed]
            if ids[missing].min() <= unindexed_ids.max():  # new ids are usually larger than all others
                order = np.argsort(unindexed_ids)
                position = np.minimum(np.searchsorted(unindexed_ids, ids[missing], sorter=order), len(order) - 1)
                nearest = order[position]
                rows[missing] = np.where(unindexed_ids[nearest] == ids[missing], unindexed[nearest], -1)
        return rows

    def of_tenant(self, tenant: int) -> RowNumbers:
        """Row numbers of a tenant, ascending, without deleted rows."""
        rows = self.lookup.of_tenant(tenant)
        rest = slice(self.lookup.size, None)
        unindexed = self.lookup.size + np.flatnonzero((self.tenants[rest] == tenant) & self.alive[rest])
        return np.concatenate([rows[self.alive[rows]], unindexed])

    def allowed(self, tenant: int | None, ids: Ids | None) -> RowNumbers | None:
        """Row numbers of a tenant, or with these ids, or both, ascending; None if every row is allowed."""
        if ids is not None:
            rows = self.find(np.asarray(ids, np.int64))
            rows = rows[rows >= 0]
            if (rows[1:] <= rows[:-1]).any():
                rows = np.unique(rows)
            return rows if tenant is None else rows[self.tenants[rows] == tenant]
        if tenant is not None:
            return self.of_tenant(tenant)
        return None if self.count == self.size else np.flatnonzero(self.alive)

    def features(self, rows: RowNumbers) -> Features:
        if not len(self.tail):
            return np.asarray(self.base[rows])
        if not len(self.base):
            return np.asarray(self.tail[rows])
        out = np.empty((len(rows), self.base.shape[1]), self.base.dtype)
        first = rows < len(self.base)
        out[first] = self.base[rows[first]]
        out[~first] = self.tail[rows[~first] - len(self.base)]
        return out

    def nearest(
        self, metric: Metric, queries: Features, k: int, keep: RowNumbers | None, max_distance: float | None
    ) -> Matches:
        """`distances.nearest` over base and tail; `keep` (ascending row numbers) restricts it, None for all rows."""
        split = len(self.base)
        parts = [(self.base, self.ids[:split], 0, split), (self.tail, self.ids[split:], split, self.size)]
        matches: Matches | None = None
        for features, ids, start, stop in parts:
            subset = None
            if keep is not None:
                subset = keep[np.searchsorted(keep, start) : np.searchsorted(keep, stop)] - start
            if len(features) or matches is None:
                of_part = distances.nearest(metric, queries, features, ids, k, keep=subset, max_distance=max_distance)
                matches = of_part if matches is None else distances.merge(matches, of_part, k)
        assert matches is not None
        return matches


class RowTable:
    """The writable table; readers take its `view` once per search."""

    def __init__(self, spec: FeatureSpec, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        stored = arrays or {}
        empty = np.zeros((0, spec.width), spec.dtype)
        ids, tenants = (np.array(stored.get(name, ()), np.int64) for name in ("ids", "tenants"))
        alive, tail = np.array(stored.get("alive", ()), np.bool_), np.array(stored.get("tail", empty))
        self._ids, self._tenants, self._alive, self._tail = ids, tenants, alive, tail
        count, lookup = int(np.count_nonzero(alive)), RowLookup(ids[:0], ids[:0], tenants, 0)
        unindexed = View(ids, tenants, alive, stored.get("base", empty), tail, lookup, count, object())
        self.view = replace(unindexed, lookup=_build_lookup(unindexed))

    def put(self, ids: Ids, features: Features, tenants: Ids) -> None:
        """Append validated rows, and mark the rows that they replace as deleted."""
        view = self.view
        size = view.size + len(ids)
        replaced = view.find(ids)
        replaced = replaced[replaced >= 0]
        self._ids = _append(self._ids, view.size, ids)
        self._tenants = _append(self._tenants, view.size, tenants)
        self._alive = _append(self._alive, view.size, np.ones(len(ids), np.bool_))
        self._tail = _append(self._tail, len(view.tail), features)
        self._mark_deleted(replaced)
        new = replace(view, ids=self._ids[:size], tenants=self._tenants[:size], alive=self._alive[:size])
        count = view.count + len(ids) - len(replaced)
        new = replace(new, tail=self._tail[: size - len(view.base)], count=count)
        if size - new.lookup.size > max(MAX_UNINDEXED_ROWS, size // 16):
            new = replace(new, lookup=_build_lookup(new))
        self.view = new

    def remove(self, ids: Ids) -> int:
        """Mark the rows of unique ids as deleted; returns how many."""
        view = self.view
        rows = view.find(ids)
        rows = rows[rows >= 0]
        if len(rows):
            self._mark_deleted(rows)
            self.view = replace(view, alive=self._alive[: view.size], count=view.count - len(rows))
        return len(rows)

    def compact(self, *, drop_deleted: bool) -> None:
        """Merge base and tail into one base in memory; with `drop_deleted`, without the deleted rows."""
        view = self.view
        if drop_deleted and view.count < view.size:
            rows = np.flatnonzero(view.alive)
            ids, tenants, base, numbering = view.ids[rows], view.tenants[rows], view.features(rows), object()
        else:
            ids, tenants, numbering = view.ids, view.tenants, view.numbering
            base = np.concatenate([view.base, view.tail]) if len(view.base) else view.tail.copy()
        self._ids, self._tenants, self._tail = ids.copy(), tenants.copy(), base[:0].copy()
        self._alive = np.ones(len(ids), np.bool_) if drop_deleted else view.alive.copy()
        new = replace(view, ids=self._ids, tenants=self._tenants, alive=self._alive, base=base, tail=self._tail)
        new = replace(new, lookup=RowLookup(ids[:0], ids[:0], self._tenants, 0), numbering=numbering)
        self.view = replace(new, lookup=_build_lookup(new))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self.view, name) for name in ("ids", "tenants", "alive", "base", "tail")}

    def _mark_deleted(self, rows: RowNumbers) -> None:
        if len(rows):
            self._alive = self._alive.copy()  # existing views keep the old mask
            self._alive[rows] = False


def _append(buffer: NDArray[Any], used: int, more: NDArray[Any]) -> NDArray[Any]:
    """Write `more` after the first `used` rows: in place, beyond every view's rows, or in a copy twice as large."""
    size = used + len(more)
    if size > len(buffer):
        grown = np.empty((max(size, 2 * used, 64), *buffer.shape[1:]), buffer.dtype)
        grown[:used] = buffer[:used]
        buffer = grown
    buffer[used:size] = more
    return buffer


def _build_lookup(view: View) -> RowLookup:
    """A lookup of all rows not deleted, merged from the existing lookup and the unindexed rows."""
    old = view.lookup
    alive = view.alive[old.rows]
    new = old.size + np.flatnonzero(view.alive[old.size :])
    new = new[np.argsort(view.ids[new], kind="stable")]
    ids, rows = np.concatenate([old.ids[alive], view.ids[new]]), np.concatenate([old.rows[alive], new])
    if len(new) and len(ids) > len(new) and ids[-len(new) - 1] > ids[-len(new)]:
        order = np.argsort(ids, kind="stable")  # two sorted runs: the stable sort merges them in one pass
        ids, rows = ids[order], rows[order]
    return RowLookup(ids, rows, view.tenants, view.size)
