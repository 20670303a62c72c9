"""What a multi-index hashing index holds at one moment: never changed, replaced by the writer in one step.

Rows live in a few runs and a small buffer of the newest, as in a log-structured merge tree (P. O'Neil et al., 1996).
A run is at least `RATIO` times as large as the next one, so adding a row costs its share of being sorted again a
constant number of times for each of the few sizes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.mih.bucket_tables import Codes
from lookalike.indexes.mih.runs import Run, WriteBuffer
from lookalike.indexes.mih.top_k import in_sorted
from lookalike.types import Ids

BUFFER_ROWS = 1 << 15
"""Rows of the buffer: scanning it takes about as long as the bare overhead of a search."""
MERGE_RATIO = 8
"""How much larger than the next a run is at least; smaller ones are merged."""
COMPACTION_DIVISOR = 8
"""A run of which one row in so many was deleted is written anew."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The rows: `runs`, largest first; `fresh`; `places`, where each id of `fresh` came last, for the writer."""

    runs: tuple[Run, ...]
    buffer: WriteBuffer
    buffer_positions: dict[int, int]
    next_run: int

    @classmethod
    def empty(cls, next_run: int = 0) -> "State":
        """No rows. Runs are numbered from `next_run` on: a number is never used twice in a folder."""
        return cls((), WriteBuffer.empty(BUFFER_ROWS), {}, next_run)

    @classmethod
    def restored(cls, runs: tuple[Run, ...], buffer_rows: tuple[Ids, Codes, Ids], next_run: int) -> "State":
        """What was saved."""
        state = cls(runs, WriteBuffer.empty(BUFFER_ROWS), {}, next_run)
        return state.with_rows(*buffer_rows)

    def count(self, tenant: int | None) -> int:
        """How many rows are alive."""
        return sum(run.count(tenant) for run in self.runs) + self.buffer.count_alive(tenant)

    def without_ids(self, ids: Ids) -> "State":
        """With these ids deleted (sorted; those that are not there are passed over)."""
        runs = tuple(run.without_ids(ids) for run in self.runs)
        gone = self._buffered(ids)
        fresh = self.buffer.without_rows(gone) if len(gone) else self.buffer
        next_run = self.next_run
        if any(len(run.deleted) * COMPACTION_DIVISOR > len(run) for run in runs):
            runs = tuple(_compacted(runs, next_run))
            next_run += len(self.runs)
        return State(runs, fresh, self.buffer_positions, next_run)

    def with_rows(self, ids: Ids, codes: Codes, tenants: Ids) -> "State":
        """With these rows added; none of their ids is there. The arrays may be kept."""
        start = self.buffer.count
        if start + len(ids) <= BUFFER_ROWS:
            state = State(self.runs, self.buffer.with_rows(ids, codes, tenants), self.buffer_positions, self.next_run)
            self.buffer_positions.update(zip(ids.tolist(), range(start, start + len(ids)), strict=True))
            return state
        runs = list(self.runs)
        parts = [(ids, codes, tenants), self.buffer.rows()]
        total = len(ids) + len(parts[1][0])
        while runs and len(runs[-1]) < MERGE_RATIO * total:
            parts.append(runs.pop().alive())
            total += len(parts[-1][0])
        parts = [part for part in parts if len(part[0])]
        joined = parts[0] if len(parts) == 1 else tuple(np.concatenate(column) for column in zip(*parts, strict=True))
        del parts
        run = Run.build(self.next_run, *joined)
        return State((*runs, run), WriteBuffer.empty(BUFFER_ROWS), {}, self.next_run + 1)

    def _buffered(self, ids: Ids) -> list[int] | NDArray[np.intp]:
        """The living rows of `fresh` that have these ids (sorted)."""
        fresh = self.buffer
        if len(ids) > fresh.count:
            return np.flatnonzero(in_sorted(fresh.ids[: fresh.count], ids) & fresh.alive[: fresh.count])
        known = [self.buffer_positions[id_] for id_ in ids.tolist() if id_ in self.buffer_positions]
        return [place for place in known if fresh.alive[place]]


def _compacted(runs: tuple[Run, ...], number: int) -> Iterator[Run]:
    """The runs, those with many deleted rows built anew, those without rows left out."""
    for run in runs:
        if len(run.deleted) * COMPACTION_DIVISOR <= len(run):
            yield run
        elif len(run.deleted) < len(run):
            yield Run.build(number, *run.alive())
            number += 1
