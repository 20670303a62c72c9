"""The rows of an index in memory: one writer appends, any number of readers look at a view that never changes.

A replaced or deleted row is only marked as gone, so that a reader's row numbers stay true. Features are kept in two
parts, because the first may be a file mapped into memory that must not be copied to append one row.
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
"""Rows that are searched without an ordered table; beyond it (or a sixteenth of all) they are sorted in."""


class RowLookup:
    """Where ids and tenants are among the first `size` rows, leaving out those that were gone when it was made."""

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
        """Row numbers in one table by id, where few ids below the highest are missing."""
        if self.ids[-1] > 4 * len(self.ids) + MAX_UNINDEXED_ROWS or self.size > np.iinfo(np.int32).max:
            return None
        table = np.full(self.ids[-1] + 1, -1, np.int32)
        table[self.ids] = self.rows
        return table

    def find(self, ids: Ids) -> RowNumbers:
        """The row of each id, -1 where there is none."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        table = self._by_id
        if table is not None:
            if len(ids) and (ids.min() < 0 or ids.max() >= len(table)):
                inside = (ids >= 0) & (ids < len(table))
                return np.where(inside, table[np.where(inside, ids, 0)], -1).astype(np.intp)
            return table[ids].astype(np.intp)
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[place] == ids, self.rows[place], -1)


@dataclass(frozen=True, slots=True)
class View:
    """What a reader sees: rows `0 .. len(ids)`, of which `alive` ones count; `base` and `tail` hold their features."""

    ids: Ids
    tenants: Ids
    alive: NDArray[np.bool_]
    base: Features
    tail: Features
    lookup: RowLookup
    count: int
    numbering: object
    """Changes when rows get other numbers."""

    @property
    def size(self) -> int:
        """All rows, those that are gone too."""
        return len(self.ids)

    def find(self, ids: Ids) -> RowNumbers:
        """The living row of each id, -1 where there is none."""
        rows = self.lookup.find(ids)
        if self.count < self.size:
            known = np.flatnonzero(rows >= 0)
            rows[known[~self.alive[rows[known]]]] = -1
        lost = np.flatnonzero(rows < 0)
        loose = self.lookup.size + np.flatnonzero(self.alive[self.lookup.size :])
        if len(lost) and len(loose):
            loose_ids = self.ids[loose]
            if ids[lost].min() <= loose_ids.max():  # new ids mostly are above all others
                order = np.argsort(loose_ids)
                place = np.minimum(np.searchsorted(loose_ids, ids[lost], sorter=order), len(order) - 1)
                at = order[place]
                rows[lost] = np.where(loose_ids[at] == ids[lost], loose[at], -1)
        return rows

    def of_tenant(self, tenant: int) -> RowNumbers:
        """The living rows of a tenant, ascending."""
        rows = self.lookup.of_tenant(tenant)
        loose = slice(self.lookup.size, None)
        more = self.lookup.size + np.flatnonzero((self.tenants[loose] == tenant) & self.alive[loose])
        return np.concatenate([rows[self.alive[rows]], more])

    def allowed(self, tenant: int | None, ids: Ids | None) -> RowNumbers | None:
        """The living rows of a tenant, or with these ids, or both, ascending; None where every row counts."""
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
        """The features of these rows, copied."""
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
        """`distance.nearest` over both parts; `keep` is ascending, None for all rows."""
        split = len(self.base)
        parts = [(self.base, self.ids[:split], 0, split), (self.tail, self.ids[split:], split, self.size)]
        found: Matches | None = None
        for features, ids, start, stop in parts:
            some = None
            if keep is not None:
                some = keep[np.searchsorted(keep, start) : np.searchsorted(keep, stop)] - start
            if len(features) or found is None:
                more = distances.nearest(metric, queries, features, ids, k, keep=some, max_distance=max_distance)
                found = more if found is None else distances.merge(found, more, k)
        assert found is not None
        return found


class RowTable:
    """The writer's side; `view` is what readers take, once for each search."""

    def __init__(self, spec: FeatureSpec, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        stored = arrays or {}
        nothing = np.zeros((0, spec.width), spec.dtype)
        ids, tenants = (np.array(stored.get(name, ()), np.int64) for name in ("ids", "tenants"))
        alive = np.array(stored.get("alive", ()), np.bool_)
        base, tail = stored.get("base", nothing), np.array(stored.get("tail", nothing))
        self._ids, self._tenants, self._alive, self._tail = ids, tenants, alive, tail
        count = int(np.count_nonzero(alive))
        loose = View(ids, tenants, alive, base, tail, RowLookup(ids[:0], ids[:0], tenants, 0), count, object())
        self.view = replace(loose, lookup=_build_lookup(loose))

    def put(self, ids: Ids, features: Features, tenants: Ids) -> None:
        """Append checked rows; rows with the same ids are gone."""
        view = self.view
        size = view.size + len(ids)
        gone = view.find(ids)
        gone = gone[gone >= 0]
        self._ids = _append(self._ids, view.size, ids)
        self._tenants = _append(self._tenants, view.size, tenants)
        self._alive = _append(self._alive, view.size, np.ones(len(ids), np.bool_))
        self._tail = _append(self._tail, len(view.tail), features)
        self._mark_deleted(gone)
        new = View(
            self._ids[:size],
            self._tenants[:size],
            self._alive[:size],
            view.base,
            self._tail[: size - len(view.base)],
            view.lookup,
            view.count + len(ids) - len(gone),
            view.numbering,
        )
        if size - new.lookup.size > max(MAX_UNINDEXED_ROWS, size // 16):
            new = replace(new, lookup=_build_lookup(new))
        self.view = new

    def remove(self, ids: Ids) -> int:
        """Mark rows as gone; says how many there were."""
        view = self.view
        rows = view.find(np.unique(np.asarray(ids, np.int64)))
        rows = rows[rows >= 0]
        if len(rows):
            self._mark_deleted(rows)
            self.view = replace(view, alive=self._alive[: view.size], count=view.count - len(rows))
        return len(rows)

    def compact(self, *, drop_deleted: bool) -> None:
        """Make one part of all features, copied in memory; with `drop`, without the rows that are gone."""
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
        """What to store, for the constructor."""
        view = self.view
        names = ("ids", "tenants", "alive", "base", "tail")
        return {name: getattr(view, name) for name in names}

    def _mark_deleted(self, rows: RowNumbers) -> None:
        if len(rows):
            self._alive = self._alive.copy()  # readers go on with the old one
            self._alive[rows] = False


def _append(buffer: NDArray[Any], used: int, more: NDArray[Any]) -> NDArray[Any]:
    """`more` written behind the first `used` rows: in place where nobody looks, else in a copy twice as large."""
    size = used + len(more)
    if size > len(buffer):
        grown = np.empty((max(size, 2 * used, 64), *buffer.shape[1:]), buffer.dtype)
        grown[:used] = buffer[:used]
        buffer = grown
    buffer[used:size] = more
    return buffer


def _build_lookup(view: View) -> RowLookup:
    """A table of all living rows, from the one there is and the loose rows."""
    old = view.lookup
    living = view.alive[old.rows]
    loose = old.size + np.flatnonzero(view.alive[old.size :])
    loose = loose[np.argsort(view.ids[loose], kind="stable")]
    ids, rows = np.concatenate([old.ids[living], view.ids[loose]]), np.concatenate([old.rows[living], loose])
    if len(loose) and len(ids) > len(loose) and ids[-len(loose) - 1] > ids[-len(loose)]:
        order = np.argsort(ids, kind="stable")  # two sorted runs: merged in one pass
        ids, rows = ids[order], rows[order]
    return RowLookup(ids, rows, view.tenants, view.size)
