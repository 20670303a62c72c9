"""An exact index of 64-bit hashes: multi-index hashing, the article's segments with a guarantee.

A search looks into the buckets that hold everything within its radius (`mih_probes`), or scans where that is cheaper,
run by run (`mih_runs`); without a radius it widens step by step until it has k rows that nothing unseen can displace.
"""

import math
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.cpu import usable_cores
from lookalike.errors import BadSetting
from lookalike.indexes import snapshot
from lookalike.indexes.base import EmbeddedIndex, ids_of
from lookalike.indexes.mih import storage
from lookalike.indexes.mih.bucket_tables import Codes, ProbePlan
from lookalike.indexes.mih.probing import TABLES
from lookalike.indexes.mih.runs import Run
from lookalike.indexes.mih.state import State
from lookalike.indexes.mih.top_k import SearchScope, TopK
from lookalike.indexes.row_table import check_query, check_rows
from lookalike.types import FULLY_EXACT, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows

BITS = 64
BYTES = 8
RADII = (7, 11, 15, 19)
"""The steps of a search: all tables within 1, 2, 3, 4 bits. Each costs about 8 times the one before."""
_CROWDED_RADII = (0, 3, *RADII)
_CROWDED = 200_000.0  # where the first step costs so many nanoseconds, many rows are near: the k may be nearer still
_TURNS = threading.BoundedSemaphore(usable_cores())
"""Searches at once, of all indexes here: numpy lets others in at each of its many calls, and 16 take turns so often
that they get half as much done as 2, on 2 cores."""
_SCANNED = 60_000.0  # a run that scans in so many nanoseconds is not worth probing


class MihIndex(EmbeddedIndex):
    """An `VectorIndex` of 64-bit codes under Hamming distance that misses nothing at any distance.

    With `equal_bytes` it follows the article's rule instead: a row is found if at least so many of the 8 bytes of its
    code equal the query's, nearest first; the article asks for 5. That finds every row within `8 - equal_bytes` bits,
    which the matches state as `exact_within`, and those further rows whose differences lie in few bytes. 5 and more
    look into four buckets; fewer have to scan.

    Opening a folder maps its last snapshot (`folder` None: memory only). `verify` compares checksums, reading every
    byte once: about half a second for 10 million codes in the file cache. A code takes 64 bytes, 72 where there are
    several tenants, and as much again while runs are merged. One object, of one process, may write to a folder at a
    time; its readers see each write wholly or not at all.

    Raises BadSetting for another metric or width, FeatureMismatch for a snapshot of other features, Damaged for one
    that fails its checks.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        folder: Path | None,
        *,
        writable: bool = True,
        equal_bytes: int = 0,
        verify: bool = True,
    ) -> None:
        if spec.metric != "hamming" or spec.width != BYTES:
            raise BadSetting(
                f"the mih index holds 64-bit hashes (hamming, {BYTES} bytes), not {spec.name} "
                f"({spec.metric}, {spec.width}); choose the flat index for it"
            )
        if not 0 <= equal_bytes <= BYTES:
            raise BadSetting(f"equal_bytes is 0 (any row) to {BYTES} (the same hash), not {equal_bytes}")
        super().__init__(spec, folder, writable=writable)
        self._equal_bytes = equal_bytes
        self._state = State.empty()
        self._stored: frozenset[int] = frozenset()
        loaded = storage.load(folder, spec, verify=verify) if folder else None
        if loaded:
            self._sequence, self._state = loaded
            self._stored = frozenset(run.number for run in self._state.runs)

    def upsert(self, rows: Rows) -> None:
        """Insert or replace rows: all of them or none; see `check_rows` for the errors."""
        ids, features, tenants = check_rows(self._spec, rows)
        with self._lock:
            self._check_open()
            self._state = self._state.without(np.sort(ids)).with_rows(ids, _codes(features), tenants)

    def delete(self, ids: Ids) -> None:
        """Forget these ids; unknown ones are passed over."""
        with self._lock:
            self._check_open()
            self._state = self._state.without(np.unique(np.asarray(ids, np.int64)))

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
        """The k nearest rows of each query; see `check_query` for the errors."""
        codes = _codes(check_query(self._spec, queries, k, max_distance))
        self._check_open()
        scope = SearchScope(tenant, ids_of(filter), self._equal_bytes)
        radius = BITS if max_distance is None else math.floor(min(max_distance, BITS))
        promised = FULLY_EXACT
        if scope.equal_bytes:
            radius = min(radius, BITS - BYTES * scope.equal_bytes)
            promised = float(BYTES - scope.equal_bytes)
        ids = np.full((len(codes), k), -1, np.int64)
        distances = np.full((len(codes), k), np.inf, np.float32)
        if radius >= 0:
            with _TURNS:
                found_by_row = _search(self._state, list(codes), k, radius, scope)
            for row, nearest in enumerate(found_by_row):
                bits, found = nearest.ranked()
                ids[row, : len(found)] = found
                distances[row, : len(found)] = bits
        return Matches(ids, distances, promised)

    def count(self, tenant: int | None = None) -> int:
        """How many rows there are."""
        self._check_open()
        return self._state.count(tenant)

    def flush(self, sequence: int) -> None:
        """Write a snapshot; runs that are in the last one are not written again."""
        with self._lock:
            self._check_open(flush=True)
            if self._folder:
                self._state = storage.save(self._folder, self._spec, sequence, self._state, self._stored)
                self._stored = frozenset(run.number for run in self._state.runs)
            self._sequence = sequence

    def clear(self) -> None:
        """Forget every row; durably, if the index is writable."""
        with self._lock:
            self._check_open()
            if self._folder and self._writable:
                snapshot.wipe(self._folder)
            self._state = State.empty(self._state.next_run)
            self._stored = frozenset()
            self._sequence = 0

    def close(self) -> None:
        """Release files and memory; what was not flushed is forgotten."""
        with self._lock:
            self._closed = True
            self._state = State.empty()


def _codes(features: Features) -> Codes:
    """Packed bits `(n, 8)`, contiguous, as one number each; which number is the same on every machine."""
    return features.view("<u8").reshape(-1).astype(np.uint64, copy=False)


def _search(state: State, codes: Sequence[np.uint64], k: int, radius: int, scope: SearchScope) -> list[TopK]:
    """Probe query by query, then scan what is left for all queries that need it, block by block."""
    budgets = {run.number: run.scan_cost(scope) for run in state.runs}
    small = [run for run in state.runs if budgets[run.number] <= _SCANNED]
    large = [run for run in state.runs if budgets[run.number] > _SCANNED]
    results = [TopK(k, radius) for _ in codes]
    if state.fresh.count:
        state.fresh.scan(codes, results, scope)
    for run in small:
        run.scan(codes, results, scope)
    if not large:
        return results
    left: list[int] = []
    for place, code in enumerate(codes):
        found = _probe(large, budgets, code, results[place], scope)
        if found is None:
            left.append(place)
        else:
            results[place] = found
    if left:
        for run in large:
            run.scan([codes[place] for place in left], [results[place] for place in left], scope)
    return results


def _probe(
    runs: Sequence[Run], budgets: dict[int, float], code: np.uint64, nearest: TopK, scope: SearchScope
) -> TopK | None:
    """Widen the radius until k rows are found within it, or all; None once scanning is cheaper."""
    number = int(code)
    radius = min(RADII[0], nearest.radius)
    plans = _plans(runs, budgets, number, radius, scope)
    if scope.equal_bytes:
        return _continued(nearest, runs, plans, code, nearest.radius, scope) if plans else None
    crowded = plans is None or sum(plan.cost for plan in plans) > _CROWDED
    for step in _CROWDED_RADII if crowded else RADII:
        if step != radius or plans is None:
            radius = min(step, nearest.radius)
            plans = _plans(runs, budgets, number, radius, scope)
        if plans is None:
            return None
        trial = _continued(nearest, runs, plans, code, radius, scope)
        if trial.radius <= radius:
            return trial
    return None


def _continued(
    nearest: TopK, runs: Sequence[Run], plans: Sequence[ProbePlan], code: np.uint64, radius: int, scope: SearchScope
) -> TopK:
    """What is nearest, with what the plans find."""
    trial = nearest.copy()
    for run, plan in zip(runs, plans, strict=True):
        run.probe(plan, code, trial, radius, scope)
    trial.settle()
    return trial


def _plans(
    runs: Sequence[Run], budgets: dict[int, float], code: int, radius: int, scope: SearchScope
) -> list[ProbePlan] | None:
    """A plan for each run; None if one of them had better be scanned."""
    plans = []
    for run in runs:
        plan = _plan(run, code, radius, budgets[run.number], scope)
        if plan is None:
            return None
        plans.append(plan)
    return plans


def _plan(run: Run, code: int, radius: int, budget: float, scope: SearchScope) -> ProbePlan | None:
    if not scope.equal_bytes:
        return run.tables.plan(code, radius, budget)
    if scope.equal_bytes <= BYTES - TABLES:  # 4 unequal bytes can spoil all four tables
        return None
    plan = run.tables.plan_equal(code)
    return plan if plan.cost <= budget else None
