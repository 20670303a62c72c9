"""Persistence of a multi-index hashing index: each run is written once, deletions and the buffer at each flush."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Damaged
from lookalike.indexes import snapshot
from lookalike.indexes.mih.bucket_tables import BucketTables
from lookalike.indexes.mih.runs import Run, Tenants
from lookalike.indexes.mih.state import State
from lookalike.types import FeatureSpec

Arrays = Mapping[str, NDArray[Any]]


def save(folder: Path, spec: FeatureSpec, sequence: int, state: State, saved_runs: frozenset[int]) -> State:
    """Save a snapshot, linking `saved_runs` from the last; returns the state with new runs memory-mapped from it."""
    arrays: dict[str, NDArray[Any]] = {}
    keep: list[str] = []
    for run in state.runs:
        columns = _columns(run)
        if run.number in saved_runs:
            keep.extend(columns)
        else:
            arrays.update(columns)
        arrays[f"run{run.number}-dead"] = run.deleted
    arrays.update(zip(("fresh-ids", "fresh-codes", "fresh-tenants"), state.buffer.rows(), strict=True))
    extra = {"runs": [run.number for run in state.runs], "next_run": state.next_run}
    snapshot.save(folder, spec, sequence, arrays, keep=keep, extra=extra)
    if all(run.number in saved_runs for run in state.runs):
        return state
    loaded = snapshot.load(folder, spec, verify=False)
    if loaded is None:  # removed by another process
        return state
    runs = (
        run if run.number in saved_runs else _restore_run(run.number, loaded.arrays, run.deleted) for run in state.runs
    )
    return replace(state, runs=tuple(runs))


def load(folder: Path, spec: FeatureSpec, *, verify: bool) -> tuple[int, State] | None:
    """The sequence number and state of the current snapshot, its runs memory-mapped; None if there is none."""
    loaded = snapshot.load(folder, spec, verify=verify)
    if loaded is None:
        return None
    arrays = loaded.arrays
    try:
        runs = tuple(_restore_run(n, arrays, np.asarray(arrays[f"run{n}-dead"])) for n in loaded.extra["runs"])
        fresh = arrays["fresh-ids"], arrays["fresh-codes"], arrays["fresh-tenants"]
        return loaded.sequence, State.restored(runs, fresh, loaded.extra["next_run"])
    except KeyError as error:
        raise Damaged(f"the snapshot in {folder} lacks {error}; {snapshot.REMEDY}") from error


def _columns(run: Run) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {
        "ids": run.ids,
        "codes": run.codes,
        "starts": run.tables.starts,
        "table-codes": run.tables.codes,
        "table-rows": run.tables.rows,
        "tenant-names": run.tenants.names,
        "tenant-of": run.tenants.index_of_row,
        "tenant-rows": run.tenants.rows,
        "tenant-starts": run.tenants.starts,
    }
    return {f"run{run.number}-{name}": array for name, array in columns.items()}


def _restore_run(number: int, arrays: Arrays, dead: NDArray[Any]) -> Run:
    def column(name: str) -> NDArray[Any]:
        return np.asarray(arrays[f"run{number}-{name}"])  # a plain view: slicing a memmap is slow

    tables = BucketTables(column("starts"), column("table-codes"), column("table-rows"))
    tenants = Tenants(column("tenant-names"), column("tenant-of"), column("tenant-rows"), column("tenant-starts"))
    return Run(number, column("ids"), column("codes"), tables, tenants, dead)
