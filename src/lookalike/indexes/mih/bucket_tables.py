"""Four bucket-sorted tables over 64-bit codes: finds every code within a radius by probing few buckets.

A code is cut into four segments of 16 bits. Probe table t within the radius a_t (-1: not at all). A code found in no
table differs by at least a_t + 1 bits in every segment, hence by at least the sum of all a_t + 1 in total. So if that
sum is r + 1, every code within r bits is found, however the radius is split: evenly (M. Norouzi, A. Punjani, D. Fleet,
"Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014), or, where real codes crowd into few buckets of one
table, mostly to the other tables (J. Qin et al., "GPH: Similarity Search in Hamming Space", 2018).

Codes and row numbers are stored bucket by bucket, table by table, so a bucket is one contiguous slice: a search joins
the slices it needs, and XORs and counts bits once over all of them.
"""

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.mih.top_k import Bits

TABLES = 4
SEGMENT_BITS = 16
BUCKETS = 1 << SEGMENT_BITS
NEIGHBOURHOOD_SIZES = (1, 17, 137, 697, 2517)
"""Number of 16-bit values within 0, 1, 2, 3, 4 bits of a given one."""
MAX_RADIUS = TABLES * len(NEIGHBOURHOOD_SIZES) - 1
"""19: beyond it there are so many buckets to probe that scanning is cheaper at any size that fits one process."""

Numbers = NDArray[np.int64]
Codes = NDArray[np.uint64]
RowNumbers = NDArray[np.uint32]

# Cost model of a search, in nanoseconds, measured by `python -m benchmarks.mih --costs`; only the ratios matter.
SCAN_COST = 1.0
"""Scanning one row."""
CANDIDATE_COST = 2.0
"""Comparing one row of a probed bucket."""
PROBE_COST = 450.0
"""Probing one bucket, including its cache misses."""
_CHEAP_PLAN_COST = 60_000.0  # below this, optimising the plan costs as much as it saves

_LAST_FLIP = np.array(NEIGHBOURHOOD_SIZES) - 1
FLIP_MASKS: Numbers = np.argsort(np.bitwise_count(np.arange(BUCKETS)), kind="stable")[: NEIGHBOURHOOD_SIZES[-1]]
"""All 16-bit masks of at most four bits, those with fewer bits first."""
_JOIN_SIZE = 1 << 20  # candidates joined at a time: 8 MB


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes for one split of a radius: the table of each, and the bits to flip in that table's segment."""

    table: Numbers
    flips: Numbers

    def buckets(self, own: Numbers) -> Numbers:
        """The numbers of the buckets to probe, given the four buckets of the code itself (see `own_buckets`)."""
        return own[self.table] ^ self.flips


def own_buckets(code: int) -> Numbers:
    """The bucket of a code in each table (4,), numbered across all tables."""
    return np.array([(t << SEGMENT_BITS) | ((code >> (SEGMENT_BITS * t)) & (BUCKETS - 1)) for t in range(TABLES)])


@cache
def probes(shares: tuple[int, ...]) -> Probes:
    """The probes that cover table t within `shares[t] - 1` bits of the code's segment; 0: not at all."""
    counts = [NEIGHBOURHOOD_SIZES[share - 1] if share else 0 for share in shares]
    flips = np.concatenate([FLIP_MASKS[:count] for count in counts])
    return Probes(np.repeat(np.arange(TABLES), counts), flips)


@cache
def even_probes(radius: int) -> Probes:
    share, remainder = divmod(radius + 1, TABLES)
    return probes(tuple(share + (t < remainder) for t in range(TABLES)))


@cache
def radius_splits(radius: int) -> Numbers:
    """Every split of a radius over the four tables: shares (m, 4) whose rows sum to `radius + 1`."""
    shares = range(len(NEIGHBOURHOOD_SIZES) + 1)
    return np.array([split for split in itertools.product(shares, repeat=TABLES) if sum(split) == radius + 1])


@dataclass(frozen=True, slots=True, eq=False)
class ProbePlan:
    """The slices `first[i]:last[i]` of the tables that contain every code within the radius; `cost` in nanoseconds."""

    first: Numbers
    last: Numbers
    cost: float


@dataclass(frozen=True, slots=True, eq=False)
class BucketTables:
    """`codes` and `rows` (4 n,), ordered by bucket; bucket b of all 4 x 65,536 is the slice `starts[b]:starts[b + 1]`.

    Takes 12 bytes per code and table, so 48 bytes per code, and 2 MB for `starts`.
    """

    starts: Numbers
    codes: Codes
    rows: RowNumbers

    @classmethod
    def build(cls, codes: Codes) -> "BucketTables":
        """Sort codes into the tables: one radix sort and gather per table, about 4 million codes per second."""
        count = len(codes)
        starts = np.zeros(TABLES * BUCKETS + 1, np.int64)
        sorted_codes = np.empty(TABLES * count, np.uint64)
        rows = np.empty(TABLES * count, np.uint32)
        for table in range(TABLES):
            segment = (codes >> np.uint64(SEGMENT_BITS * table)).astype(np.uint16)
            order = np.argsort(segment, kind="stable")
            piece = slice(table * count, (table + 1) * count)
            rows[piece] = order
            np.take(codes, order, out=sorted_codes[piece])
            sizes = np.bincount(segment, minlength=BUCKETS)
            starts[table * BUCKETS + 1 : (table + 1) * BUCKETS + 1] = table * count + np.cumsum(sizes)
        return cls(starts, sorted_codes, rows)

    def plan(self, code: int, radius: int, budget: float) -> ProbePlan | None:
        """The cheapest plan found that covers `radius` bits; None if scanning, at a cost of `budget`, is cheaper."""
        if radius > MAX_RADIUS:
            return None
        even = even_probes(radius)
        if len(even.flips) * PROBE_COST > budget:
            return None
        own = own_buckets(code)
        plan = self._plan_of(even, own)
        if plan.cost > _CHEAP_PLAN_COST:
            plan = min(plan, self._plan_of(self._best_probes(own, radius), own), key=lambda each: each.cost)
        return plan if plan.cost <= budget else None

    def plan_equal(self, code: int) -> ProbePlan:
        """The plan that covers every code with at least one equal segment."""
        return self._plan_of(even_probes(TABLES - 1), own_buckets(code))

    def within(self, plan: ProbePlan, code: np.uint64, radius: int, equal_bytes: int = 0) -> tuple[RowNumbers, Bits]:
        """Rows within `radius` bits, with as many equal bytes, that the plan covers, ascending; and their distances."""
        sizes = plan.last - plan.first
        ends = np.cumsum(sizes)
        rows: list[NDArray[Any]] = []
        distances: list[NDArray[Any]] = []
        for begin, end in _piece_groups(ends):
            offset = ends[begin - 1] if begin else 0
            pieces = zip(plan.first[begin:end].tolist(), plan.last[begin:end].tolist(), strict=True)
            differing = np.concatenate([self.codes[first:last] for first, last in pieces])
            np.bitwise_xor(differing, code, out=differing)
            bits = np.bitwise_count(differing)
            near = (bits <= radius).nonzero()[0]
            if equal_bytes and len(near):
                near = near[count_equal_bytes(differing[near]) >= equal_bytes]
            if len(near):
                at = near + offset
                piece = np.searchsorted(ends, at, side="right")
                rows.append(self.rows[plan.last[piece] - (ends[piece] - at)])
                distances.append(bits[near])
        return _join_distinct(rows, distances)

    def _plan_of(self, chosen: Probes, own: Numbers) -> ProbePlan:
        buckets = chosen.buckets(own)
        first, last = self.starts[buckets], self.starts[buckets + 1]
        return ProbePlan(first, last, PROBE_COST * len(buckets) + CANDIDATE_COST * float((last - first).sum()))

    def _best_probes(self, own: Numbers, radius: int) -> Probes:
        """Split the radius so that large buckets are avoided: cost each table at each radius, try every split."""
        largest = min(radius // TABLES + 2, len(NEIGHBOURHOOD_SIZES))
        buckets = own[:, None] ^ FLIP_MASKS[None, : NEIGHBOURHOOD_SIZES[largest - 1]]
        sizes = self.starts[buckets + 1] - self.starts[buckets]
        candidates = np.cumsum(sizes, axis=1)[:, _LAST_FLIP[:largest]]
        cost = np.zeros((TABLES, largest + 1))
        cost[:, 1:] = CANDIDATE_COST * candidates + PROBE_COST * np.array(NEIGHBOURHOOD_SIZES[:largest])
        splits = radius_splits(radius)
        splits = splits[(splits <= largest).all(axis=1)]
        total = cost[np.arange(TABLES), splits].sum(axis=1)
        return probes(tuple(splits[total.argmin()].tolist()))


def count_equal_bytes(differing: Codes) -> NDArray[np.intp]:
    """Number of zero bytes, 0 to 8, in each of the XORed codes `(n,)`."""
    equal: NDArray[np.intp] = (differing.view(np.uint8).reshape(-1, 8) == 0).sum(axis=1)
    return equal


def _piece_groups(ends: Numbers) -> list[tuple[int, int]]:
    """Group the slices so that each group has at most `_JOIN_SIZE` codes, or one slice."""
    if not len(ends) or ends[-1] <= _JOIN_SIZE:
        return [(0, len(ends))] if len(ends) and ends[-1] else []
    groups = []
    begin = 0
    while begin < len(ends):
        offset = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, offset + _JOIN_SIZE, side="right")))
        groups.append((begin, end))
        begin = end
    return groups


def _join_distinct(rows: list[NDArray[Any]], distances: list[NDArray[Any]]) -> tuple[RowNumbers, Bits]:
    """Concatenate, order by row, and drop duplicates found in several tables."""
    if not rows:
        return np.empty(0, np.uint32), np.empty(0, np.uint8)
    found = rows[0] if len(rows) == 1 else np.concatenate(rows)
    bits = distances[0] if len(distances) == 1 else np.concatenate(distances)
    if len(found) > 1:
        order = found.argsort(kind="stable")
        found, bits = found[order], bits[order]
        first = np.concatenate([[True], found[1:] != found[:-1]])
        found, bits = found[first], bits[first]
    return found, bits
