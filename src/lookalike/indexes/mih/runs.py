"""The two containers of a multi-index hashing index: large sorted runs, and a small write buffer of the newest rows."""

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
"""Nanoseconds to scan one row of a list of row numbers (see `bucket_tables.SCAN_COST`)."""
ID_LOOKUP_COST = 150.0
"""Nanoseconds to find the row of one id."""
_ROW_BLOCK = 1 << 15  # rows scanned at a time: 256 KB, which stay in the cache for all queries
_QUERY_BLOCK = 8  # queries compared at a time: few long numpy calls hold up other threads less than many short ones

RowList = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Tenants:
    """Index of rows by tenant. `names` are the tenants, ascending; the other arrays are empty if there is only one.

    `index_of_row` (n,) is each row's position in `names`; `rows` (n,) lists the rows tenant by tenant, and `starts`
    where each tenant begins. Takes 8 bytes per code with several tenants, none with one.
    """

    names: Ids
    index_of_row: RowNumbers
    rows: RowNumbers
    starts: Ids

    @classmethod
    def build(cls, tenants: Ids) -> "Tenants":
        empty = np.empty(0, np.uint32)
        if len(tenants) and (tenants == tenants[0]).all():
            return cls(tenants[:1].copy(), empty, empty, np.array([0, len(tenants)]))
        names, of, counts = np.unique(tenants, return_inverse=True, return_counts=True)
        rows = np.argsort(of, kind="stable").astype(np.uint32)
        return cls(names, of.astype(np.uint32), rows, np.concatenate([[0], np.cumsum(counts)]))

    def position(self, tenant: int) -> int | None:
        """The position of a tenant in `names`; None for one without rows."""
        position = int(np.searchsorted(self.names, tenant))
        return position if position < len(self.names) and self.names[position] == tenant else None

    def owned(self, rows: RowList, tenant: int) -> NDArray[np.bool_]:
        position = self.position(tenant)
        if position is None or not len(self.index_of_row):
            return np.full(len(rows), position is not None)
        mask: NDArray[np.bool_] = self.index_of_row[rows] == position
        return mask

    def count(self, tenant: int) -> int:
        position = self.position(tenant)
        return 0 if position is None else int(self.starts[position + 1] - self.starts[position])

    def per_row(self, count: int) -> Ids:
        return self.names[self.index_of_row] if len(self.index_of_row) else np.repeat(self.names[:1], count)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Immutable rows ordered by id, with their bucket tables. `deleted` lists the deleted rows, ascending.

    Takes 64 bytes per code (8 id, 8 code, 48 tables), 72 with several tenants, and 2 MB.
    """

    number: int
    ids: Ids
    codes: Codes
    tables: BucketTables
    tenants: Tenants
    deleted: RowList

    @classmethod
    def build(cls, number: int, ids: Ids, codes: Codes, tenants: Ids) -> "Run":
        """Build from rows in any order with unique ids; arrays already ordered by id are kept, not copied."""
        if (ids[1:] < ids[:-1]).any():
            order = np.argsort(ids)
            ids, codes, tenants = ids[order], codes[order], tenants[order]
        return cls(number, ids, codes, BucketTables.build(codes), Tenants.build(tenants), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    def alive(self) -> tuple[Ids, Codes, Ids]:
        arrays = self.ids, self.codes, self.tenants.per_row(len(self))
        if not len(self.deleted):
            return arrays
        keep = np.ones(len(self), np.bool_)
        keep[self.deleted] = False
        return arrays[0][keep], arrays[1][keep], arrays[2][keep]

    def count(self, tenant: int | None) -> int:
        if tenant is None:
            return len(self) - len(self.deleted)
        return self.tenants.count(tenant) - int(self.tenants.owned(self.deleted, tenant).sum())

    def without_ids(self, ids: Ids) -> "Run":
        """The run with these ids (sorted) deleted; unknown ids are ignored."""
        rows = self._rows_of(ids)
        if len(self.deleted):
            rows = rows[~in_sorted(rows, self.deleted)]
        if not len(rows):
            return self
        return replace(self, deleted=np.insert(self.deleted, np.searchsorted(self.deleted, rows), rows))

    def scan_cost(self, scope: SearchScope) -> float:
        return min(self._scan_options(scope))[0]

    def probe(self, plan: ProbePlan, code: np.uint64, nearest: TopK, radius: int, scope: SearchScope) -> None:
        """Add the rows that the plan finds within `radius` to `nearest`."""
        rows, distances = self.tables.within(plan, code, radius, scope.equal_bytes)
        if len(rows):
            keep = self._filter_mask(rows, scope)
            if keep is not None:
                rows, distances = rows[keep], distances[keep]
            nearest.add(distances, self.ids[rows])

    def scan(self, codes: Sequence[np.uint64], nearest: Sequence[TopK], scope: SearchScope) -> None:
        """Compare every row in scope with every query, block by block."""
        selected = self._rows_to_scan(scope)
        count = len(self) if selected is None else len(selected)
        for start in range(0, count, _ROW_BLOCK):
            rows = None if selected is None else selected[start : start + _ROW_BLOCK]
            block = self.codes[start : start + _ROW_BLOCK] if rows is None else self.codes[rows]
            for best, near, distances in compare(block, codes, nearest, scope.equal_bytes):
                hits = near + start if rows is None else rows[near]
                keep = self._filter_mask(hits, scope)
                if keep is not None:
                    hits, distances = hits[keep], distances[keep]
                best.add(distances, self.ids[hits])

    def _scan_options(self, scope: SearchScope) -> list[tuple[float, str]]:
        options = [(SCAN_COST * len(self), "all")]
        if scope.tenant is not None and len(self.tenants.index_of_row):
            options.append((LISTED_ROW_COST * self.tenants.count(scope.tenant), "tenant"))
        if scope.tenant is not None and self.tenants.position(scope.tenant) is None:
            options.append((0.0, "none"))
        if scope.allowed is not None:
            options.append(((ID_LOOKUP_COST + LISTED_ROW_COST) * len(scope.allowed), "allowed"))
        return options

    def _rows_to_scan(self, scope: SearchScope) -> RowList | None:
        """The rows of the cheapest scan; None for all."""
        option = min(self._scan_options(scope))[1]
        if option == "all":
            return None
        if option == "allowed" and scope.allowed is not None:
            return self._rows_of(scope.allowed)
        position = None if scope.tenant is None else self.tenants.position(scope.tenant)
        if position is None:
            return np.empty(0, np.int64)
        return self.tenants.rows[self.tenants.starts[position] : self.tenants.starts[position + 1]]

    def _rows_of(self, ids: Ids) -> RowList:
        if not len(self) or not len(ids) or ids[0] > self.ids[-1] or ids[-1] < self.ids[0]:
            return np.empty(0, np.int64)
        rows = np.searchsorted(self.ids, ids)
        rows[rows == len(self)] = 0
        found: RowList = rows[self.ids[rows] == ids]
        return found

    def _filter_mask(self, rows: RowList, scope: SearchScope) -> NDArray[np.bool_] | None:
        """Which of these rows are not deleted and in scope; None for all."""
        keep = ~in_sorted(rows, self.deleted) if len(self.deleted) else None
        if scope.tenant is not None and (len(self.tenants.names) != 1 or self.tenants.names[0] != scope.tenant):
            own = self.tenants.owned(rows, scope.tenant)
            keep = own if keep is None else keep & own
        if scope.allowed is not None:
            allowed = in_sorted(self.ids[rows], scope.allowed)
            keep = allowed if keep is None else keep & allowed
        return keep


@dataclass(frozen=True, slots=True, eq=False)
class WriteBuffer:
    """The newest rows, as inserted; the writer appends after `count`, beyond what readers of an older state access."""

    ids: Ids
    codes: Codes
    tenants: Ids
    alive: NDArray[np.bool_]
    count: int

    @classmethod
    def empty(cls, capacity: int) -> "WriteBuffer":
        """An empty buffer of 25 bytes per row."""
        ids, codes, tenants = np.empty(capacity, np.int64), np.empty(capacity, np.uint64), np.empty(capacity, np.int64)
        return cls(ids, codes, tenants, np.ones(capacity, bool), 0)

    def with_rows(self, ids: Ids, codes: Codes, tenants: Ids) -> "WriteBuffer":
        """The buffer with these rows appended; they must fit its capacity."""
        end = self.count + len(ids)
        piece = slice(self.count, end)
        self.ids[piece], self.codes[piece], self.tenants[piece] = ids, codes, tenants
        return replace(self, count=end)

    def without_rows(self, rows: Sequence[int] | RowList) -> "WriteBuffer":
        """The buffer with these rows deleted; readers of an older state keep theirs."""
        alive = self.alive.copy()
        alive[rows] = False
        return replace(self, alive=alive)

    def rows(self) -> tuple[Ids, Codes, Ids]:
        keep = np.flatnonzero(self.alive[: self.count])
        return self.ids[keep], self.codes[keep], self.tenants[keep]

    def count_alive(self, tenant: int | None) -> int:
        alive = self.alive[: self.count]
        return int(alive.sum() if tenant is None else (alive & (self.tenants[: self.count] == tenant)).sum())

    def scan(self, codes: Sequence[np.uint64], nearest: Sequence[TopK], scope: SearchScope) -> None:
        for best, near, distances in compare(self.codes[: self.count], codes, nearest, scope.equal_bytes):
            keep, ids = self.alive[near], self.ids[near]
            if scope.tenant is not None:
                keep &= self.tenants[near] == scope.tenant
            if scope.allowed is not None:
                keep &= in_sorted(ids, scope.allowed)
            best.add(distances[keep], ids[keep])


def compare(
    rows: Codes, codes: Sequence[np.uint64], nearest: Sequence[TopK], equal_bytes: int
) -> Iterator[tuple[TopK, RowList, Bits]]:
    """Yield, for each query with any, the rows within its radius (and with `equal_bytes`), and their distances."""
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
        for query, (begin, end) in enumerate(pairwise(ends.tolist())):
            if begin < end:
                found = near[begin:end] - query * len(rows)
                yield bests[query], found, bits[query, found]
