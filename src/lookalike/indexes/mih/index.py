"""Exact index of 64-bit hashes by multi-index hashing: segment matching with a guarantee.

A search probes the buckets that contain every code within its radius (`bucket_tables`), or scans where that is cheaper,
run by run (`runs`). Without a maximum distance the radius grows step by step until it contains the k nearest rows.
"""

import math
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.cpu import usable_cores
from lookalike.errors import BadSetting
from lookalike.indexes.base import EmbeddedIndex
from lookalike.indexes.mih import storage
from lookalike.indexes.mih.bucket_tables import TABLES, Codes, ProbePlan
from lookalike.indexes.mih.runs import Run
from lookalike.indexes.mih.state import State
from lookalike.indexes.mih.top_k import SearchScope, TopK
from lookalike.types import FULLY_EXACT, Features, FeatureSpec, Ids, Matches

BITS = 64
BYTES = 8
RADIUS_STEPS = (7, 11, 15, 19)
"""Successive radii of a search: all tables within 1, 2, 3, 4 bits. Each step costs about 8 times the one before."""
_CROWDED_RADIUS_STEPS = (0, 3, *RADIUS_STEPS)
_CROWDED_COST = 200_000.0
"""Nanoseconds of the first step above which so many rows are near that the k nearest may be nearer still."""
_SEARCH_SLOTS = threading.BoundedSemaphore(usable_cores())
"""Concurrent searches in all indexes of this process: numpy releases the GIL at each of its many calls, so that 16
threads on 2 cores switch so often that their throughput is half that of 2 threads."""
_ALWAYS_SCAN_COST = 60_000.0  # nanoseconds: a run that is scanned in less is never probed


class MihIndex(EmbeddedIndex):
    """A `VectorIndex` of 64-bit codes under Hamming distance that is exact at any distance.

    With `equal_bytes` (address option `m`) it applies the published rule instead (there 5): a row matches if at least
    that many of the 8 bytes of its code equal the query's. That finds every row within `8 - equal_bytes` bits, which
    the matches state as `exact_within`, and further ones. 5 and more probe four buckets; fewer have to scan.

    Opening a folder memory-maps its last snapshot. `verify` compares checksums, reading every byte once: about half a
    second for 10 million codes in the page cache. A code takes 64 bytes, 72 with several tenants, and as much again
    while runs are merged. Only one object in one process may write to a folder at a time; its readers see each write
    atomically. Raises BadSetting for another metric or width; otherwise as FlatIndex.
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
            what = f"{spec.name} ({spec.metric}, {spec.width}); choose the flat index for it"
            raise BadSetting(f"the mih index holds 64-bit hashes (hamming, {BYTES} bytes), not {what}")
        if not 0 <= equal_bytes <= BYTES:
            raise BadSetting(f"m (equal bytes) must be from 0 (any row) to {BYTES} (equal hashes), not {equal_bytes}")
        super().__init__(spec, folder, writable=writable)
        self._equal_bytes = equal_bytes
        self._state = State.empty()
        self._saved_runs: frozenset[int] = frozenset()
        loaded = storage.load(folder, spec, verify=verify) if folder else None
        if loaded:
            self._sequence, self._state = loaded
            self._saved_runs = frozenset(run.number for run in self._state.runs)

    def count(self, tenant: int | None = None) -> int:
        self._check_open()
        return self._state.count(tenant)

    def _put(self, ids: Ids, features: Features, tenants: Ids) -> None:
        self._state = self._state.without_ids(np.sort(ids)).with_rows(ids, _codes(features), tenants)

    def _remove(self, ids: Ids) -> None:
        self._state = self._state.without_ids(ids)

    def _search(
        self, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        codes = _codes(queries)
        scope = SearchScope(tenant, ids, self._equal_bytes)
        radius = BITS if max_distance is None else math.floor(min(max_distance, BITS))
        exact_within = FULLY_EXACT
        if scope.equal_bytes:
            radius = min(radius, BITS - BYTES * scope.equal_bytes)
            exact_within = float(BYTES - scope.equal_bytes)
        matches = Matches(np.full((len(codes), k), -1), np.full((len(codes), k), np.inf, np.float32), exact_within)
        if radius >= 0:
            with _SEARCH_SLOTS:
                results = _search(self._state, list(codes), k, radius, scope)
            for row, nearest in enumerate(results):
                bits, found = nearest.ranked()
                matches.ids[row, : len(found)], matches.distances[row, : len(found)] = found, bits
        return matches

    def _save(self, sequence: int) -> None:
        """Save a snapshot; runs that are in the last one are linked, not written."""
        if self._folder is not None:
            self._state = storage.save(self._folder, self._spec, sequence, self._state, self._saved_runs)
            self._saved_runs = frozenset(run.number for run in self._state.runs)

    def _reset(self) -> None:
        self._state = State.empty(self._state.next_run)
        self._saved_runs = frozenset()


def _codes(features: Features) -> Codes:
    """Packed bits `(n, 8)`, contiguous, as one little-endian integer each, the same on every machine."""
    return features.view("<u8").reshape(-1).astype(np.uint64, copy=False)


def _search(state: State, codes: Sequence[np.uint64], k: int, radius: int, scope: SearchScope) -> list[TopK]:
    """Scan the buffer and small runs, probe the large runs query by query, and scan them for the remaining queries."""
    budgets = {run.number: run.scan_cost(scope) for run in state.runs}
    large = [run for run in state.runs if budgets[run.number] > _ALWAYS_SCAN_COST]
    results = [TopK(k, radius) for _ in codes]
    if state.buffer.count:
        state.buffer.scan(codes, results, scope)
    for run in state.runs:
        if run not in large:
            run.scan(codes, results, scope)
    if not large:
        return results
    remaining: list[int] = []
    for query, code in enumerate(codes):
        found = _probe(large, budgets, code, results[query], scope)
        if found is None:
            remaining.append(query)
        else:
            results[query] = found
    if remaining:
        for run in large:
            run.scan([codes[query] for query in remaining], [results[query] for query in remaining], scope)
    return results


def _probe(
    runs: Sequence[Run], budgets: dict[int, float], code: np.uint64, nearest: TopK, scope: SearchScope
) -> TopK | None:
    """Increase the radius until it contains k rows or reaches its maximum; None once scanning is cheaper."""
    number = int(code)
    radius = min(RADIUS_STEPS[0], nearest.radius)
    plans = _plan_runs(runs, budgets, number, radius, scope)
    if scope.equal_bytes:
        return _apply_plans(nearest, runs, plans, code, nearest.radius, scope) if plans else None
    crowded = plans is None or sum(plan.cost for plan in plans) > _CROWDED_COST
    for step in _CROWDED_RADIUS_STEPS if crowded else RADIUS_STEPS:
        if step != radius or plans is None:
            radius = min(step, nearest.radius)
            plans = _plan_runs(runs, budgets, number, radius, scope)
        if plans is None:
            return None
        trial = _apply_plans(nearest, runs, plans, code, radius, scope)
        if trial.radius <= radius:
            return trial
    return None


def _apply_plans(
    nearest: TopK, runs: Sequence[Run], plans: Sequence[ProbePlan], code: np.uint64, radius: int, scope: SearchScope
) -> TopK:
    trial = nearest.copy()
    for run, plan in zip(runs, plans, strict=True):
        run.probe(plan, code, trial, radius, scope)
    trial.prune()
    return trial


def _plan_runs(
    runs: Sequence[Run], budgets: dict[int, float], code: int, radius: int, scope: SearchScope
) -> list[ProbePlan] | None:
    """A plan for each run; None if scanning one of them is cheaper."""
    plans = []
    for run in runs:
        plan = _plan_run(run, code, radius, budgets[run.number], scope)
        if plan is None:
            return None
        plans.append(plan)
    return plans


def _plan_run(run: Run, code: int, radius: int, budget: float, scope: SearchScope) -> ProbePlan | None:
    if not scope.equal_bytes:
        return run.tables.plan(code, radius, budget)
    if scope.equal_bytes <= BYTES - TABLES:  # 4 unequal bytes can touch all four segments
        return None
    plan = run.tables.plan_equal(code)
    return plan if plan.cost <= budget else None
