"""The parts that a multi-index hashing index is made of: large sorted runs, and a small buffer of the newest rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.mih.bucket_tables import SCAN_COST, BucketTables, Codes, ProbePlan, RowNumbers, count_equal_bytes
from lookalike.indexes.mih.top_k import Bits, SearchScope, TopK, in_sorted
from lookalike.types import Ids

LISTED_ROW_COST = 5.0
"""Scanning one row of a list of row numbers, in nanoseconds (see `mih_tables.SCAN`)."""
ID_LOOKUP_COST = 150.0
"""Finding the row of one id, in nanoseconds."""
_ROW_BLOCK = 1 << 15  # rows scanned at a time: 256 KB, they stay in the cache while all queries pass over them
_QUERY_BLOCK = 8  # queries compared at a time: few long calls of numpy hinder other threads less than many short ones

RowList = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Tenants:
    """Which row belongs to whom. `names` are the tenants, ascending; the rest is empty where there is but one.

    `of` (n,) is each row's place in `names`; `rows` (n,) lists the rows tenant by tenant, `starts` where each begins:
    8 bytes a code where there are several tenants, none where there is one.
    """

    names: Ids
    index_of_row: RowNumbers
    rows: RowNumbers
    starts: Ids

    @classmethod
    def build(cls, tenants: Ids) -> "Tenants":
        """From the tenant of each row, (n,)."""
        nothing = np.empty(0, np.uint32)
        if len(tenants) and (tenants == tenants[0]).all():
            return cls(tenants[:1].copy(), nothing, nothing, np.array([0, len(tenants)]))
        names, of, counts = np.unique(tenants, return_inverse=True, return_counts=True)
        rows = np.argsort(of, kind="stable").astype(np.uint32)
        return cls(names, of.astype(np.uint32), rows, np.concatenate([[0], np.cumsum(counts)]))

    def position(self, tenant: int) -> int | None:
        """The place of a tenant in `names`; None for one without rows."""
        place = int(np.searchsorted(self.names, tenant))
        return place if place < len(self.names) and self.names[place] == tenant else None

    def owned(self, rows: RowList, tenant: int) -> NDArray[np.bool_]:
        """Which of these rows are the tenant's."""
        place = self.position(tenant)
        if place is None or not len(self.index_of_row):
            return np.full(len(rows), place is not None)
        same: NDArray[np.bool_] = self.index_of_row[rows] == place
        return same

    def owns_all(self, tenant: int) -> bool:
        """Whether every row is the tenant's."""
        return len(self.names) == 1 and bool(self.names[0] == tenant)

    def count(self, tenant: int) -> int:
        """How many rows the tenant has."""
        place = self.position(tenant)
        return 0 if place is None else int(self.starts[place + 1] - self.starts[place])

    def per_row(self, count: int) -> Ids:
        """The tenant of every row, (n,)."""
        return self.names[self.index_of_row] if len(self.index_of_row) else np.repeat(self.names[:1], count)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Rows that no longer change, ordered by id, with their tables. `dead` lists the deleted rows, ascending.

    64 bytes a code (8 id, 8 code, 48 tables), 72 where there are several tenants, and 2 MB.
    """

    number: int
    ids: Ids
    codes: Codes
    tables: BucketTables
    tenants: Tenants
    deleted: RowList

    @classmethod
    def build(cls, number: int, ids: Ids, codes: Codes, tenants: Ids) -> "Run":
        """Of rows in any order, ids unique; arrays that are in order already are kept, not copied."""
        if (ids[1:] < ids[:-1]).any():
            order = np.argsort(ids)
            ids, codes, tenants = ids[order], codes[order], tenants[order]
        return cls(number, ids, codes, BucketTables.build(codes), Tenants.build(tenants), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def alive(self) -> tuple[Ids, Codes, Ids]:
        """Ids, codes and tenants of the rows that were not deleted."""
        arrays = self.ids, self.codes, self.tenants.per_row(len(self))
        if not len(self.deleted):
            return arrays
        keep = np.ones(len(self), np.bool_)
        keep[self.deleted] = False
        return arrays[0][keep], arrays[1][keep], arrays[2][keep]

    def count(self, tenant: int | None) -> int:
        """How many rows are alive."""
        if tenant is None:
            return len(self) - len(self.deleted)
        return self.tenants.count(tenant) - int(self.tenants.owned(self.deleted, tenant).sum())

    def without_ids(self, ids: Ids) -> "Run":
        """The same run with these ids deleted (sorted; those it does not hold are passed over)."""
        rows = self._rows_of(ids)
        if len(self.deleted):
            rows = rows[~in_sorted(rows, self.deleted)]
        if not len(rows):
            return self
        return replace(self, deleted=np.insert(self.deleted, np.searchsorted(self.deleted, rows), rows))

    def scan_cost(self, scope: SearchScope) -> float:
        """What scanning costs, in nanoseconds, in the cheapest way (see `_pick`)."""
        return min(cost for cost, _ in self._scan_options(scope))

    def probe(self, plan: ProbePlan, code: np.uint64, nearest: TopK, radius: int, scope: SearchScope) -> None:
        """Add what the plan finds within `radius`."""
        rows, distances = self.tables.within(plan, code, radius, scope.equal_bytes)
        if len(rows):
            keep = self._filter_mask(rows, scope)
            if keep is not None:
                rows, distances = rows[keep], distances[keep]
            nearest.add(distances, self.ids[rows])

    def scan(self, codes: Sequence[np.uint64], nearest: Sequence[TopK], scope: SearchScope) -> None:
        """Compare every row that can count with every query, a block at a time."""
        picked = self._rows_to_scan(scope)
        count = len(self) if picked is None else len(picked)
        for start in range(0, count, _ROW_BLOCK):
            rows = None if picked is None else picked[start : start + _ROW_BLOCK]
            block = self.codes[start : start + _ROW_BLOCK] if rows is None else self.codes[rows]
            for best, near, distances in compare(block, codes, nearest, scope.equal_bytes):
                hits = near + start if rows is None else rows[near]
                keep = self._filter_mask(hits, scope)
                if keep is not None:
                    hits, distances = hits[keep], distances[keep]
                best.add(distances, self.ids[hits])

    def _scan_options(self, scope: SearchScope) -> list[tuple[float, str]]:
        ways = [(SCAN_COST * len(self), "all")]
        if scope.tenant is not None and len(self.tenants.index_of_row):
            ways.append((LISTED_ROW_COST * self.tenants.count(scope.tenant), "tenant"))
        if scope.tenant is not None and self.tenants.position(scope.tenant) is None:
            ways.append((0.0, "none"))
        if scope.allowed is not None:
            ways.append(((ID_LOOKUP_COST + LISTED_ROW_COST) * len(scope.allowed), "allowed"))
        return ways

    def _rows_to_scan(self, scope: SearchScope) -> RowList | None:
        """The rows to scan, in the cheapest way: None for all of them."""
        way = min(self._scan_options(scope))[1]
        if way == "all":
            return None
        if way == "none":
            return np.empty(0, np.int64)
        if way == "allowed":
            assert scope.allowed is not None
            return self._rows_of(scope.allowed)
        assert scope.tenant is not None
        place = self.tenants.position(scope.tenant)
        assert place is not None
        return self.tenants.rows[self.tenants.starts[place] : self.tenants.starts[place + 1]]

    def _rows_of(self, ids: Ids) -> RowList:
        if not len(self) or not len(ids) or ids[0] > self.ids[-1] or ids[-1] < self.ids[0]:
            return np.empty(0, np.int64)
        rows = np.searchsorted(self.ids, ids)
        rows[rows == len(self)] = 0
        found: RowList = rows[self.ids[rows] == ids]
        return found

    def _filter_mask(self, rows: RowList, scope: SearchScope) -> NDArray[np.bool_] | None:
        """Which of these rows count; None for all."""
        keep = None
        if len(self.deleted):
            keep = ~in_sorted(rows, self.deleted)
        if scope.tenant is not None and not self.tenants.owns_all(scope.tenant):
            own = self.tenants.owned(rows, scope.tenant)
            keep = own if keep is None else keep & own
        if scope.allowed is not None:
            allowed = scope.admits(self.ids[rows])
            keep = allowed if keep is None else keep & allowed
        return keep


@dataclass(frozen=True, slots=True, eq=False)
class WriteBuffer:
    """The newest rows, in the order they came, always scanned.

    The writer appends behind `count`, where the readers of an older state never look.
    """

    ids: Ids
    codes: Codes
    tenants: Ids
    alive: NDArray[np.bool_]
    count: int

    @classmethod
    def empty(cls, capacity: int) -> "WriteBuffer":
        """With room for so many rows: 25 bytes each."""
        return cls(
            np.empty(capacity, np.int64),
            np.empty(capacity, np.uint64),
            np.empty(capacity, np.int64),
            np.ones(capacity, bool),
            0,
        )

    def with_rows(self, ids: Ids, codes: Codes, tenants: Ids) -> "WriteBuffer":
        """With these rows appended; there must be room."""
        end = self.count + len(ids)
        piece = slice(self.count, end)
        self.ids[piece], self.codes[piece], self.tenants[piece] = ids, codes, tenants
        return replace(self, count=end)

    def without_rows(self, rows: Sequence[int] | RowList) -> "WriteBuffer":
        """With these rows deleted; the readers of an older state keep what they had."""
        alive = self.alive.copy()
        alive[rows] = False
        return replace(self, alive=alive)

    def rows(self) -> tuple[Ids, Codes, Ids]:
        """Ids, codes and tenants of the rows that were not deleted."""
        keep = np.flatnonzero(self.alive[: self.count])
        return self.ids[keep], self.codes[keep], self.tenants[keep]

    def count_alive(self, tenant: int | None) -> int:
        """How many rows are alive."""
        alive = self.alive[: self.count]
        return int(alive.sum() if tenant is None else (alive & (self.tenants[: self.count] == tenant)).sum())

    def scan(self, codes: Sequence[np.uint64], nearest: Sequence[TopK], scope: SearchScope) -> None:
        """Compare every row with every query."""
        for best, near, distances in compare(self.codes[: self.count], codes, nearest, scope.equal_bytes):
            keep = self.alive[near]
            if scope.tenant is not None:
                keep &= self.tenants[near] == scope.tenant
            ids = self.ids[near]
            if scope.allowed is not None:
                keep &= scope.admits(ids)
            best.add(distances[keep], ids[keep])


def compare(
    rows: Codes, codes: Sequence[np.uint64], nearest: Sequence[TopK], equal_bytes: int
) -> Iterator[tuple[TopK, RowList, Bits]]:
    """For each query: which rows lie within its radius (and have so many equal bytes), if any, and their distances."""
    for first in range(0, len(codes), _QUERY_BLOCK):
        bests = nearest[first : first + _QUERY_BLOCK]
        differing = rows ^ np.array(codes[first : first + _QUERY_BLOCK], np.uint64)[:, None]
        bits = np.bitwise_count(differing)
        near = np.flatnonzero(bits <= np.array([[best.radius] for best in bests], np.uint8))
        if equal_bytes and len(near):
            near = near[count_equal_bytes(differing.reshape(-1)[near]) >= equal_bytes]
        if not len(near):
            continue
        ends = np.searchsorted(near, len(rows) * np.arange(len(bests) + 1))
        for place, (begin, end) in enumerate(pairwise(ends.tolist())):
            if begin < end:
                found = near[begin:end] - place * len(rows)
                yield bests[place], found, bits[place, found]
