"""Immutable state of a multi-index hashing index, which the writer replaces atomically.

Rows are in a few sorted runs and a small buffer of the newest, as in a log-structured merge tree (P. O'Neil et al.,
1996). A run is at least `MERGE_RATIO` times as large as the next one, so that each row is merged a bounded number of
times per level.
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
"""Capacity of the buffer in rows: scanning it takes about as long as the fixed overhead of a search."""
MERGE_RATIO = 8
"""Minimum size of a run relative to the next; smaller runs are merged."""
COMPACTION_DIVISOR = 8
"""A run is rebuilt once more than one row in this many is deleted."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """`runs`, largest first, and `buffer`; `buffer_positions` is the last buffer row of each id, for the writer."""

    runs: tuple[Run, ...]
    buffer: WriteBuffer
    buffer_positions: dict[int, int]
    next_run: int

    @classmethod
    def empty(cls, next_run: int = 0) -> "State":
        """A state without rows. Runs are numbered from `next_run`: a number is never reused in a folder."""
        return cls((), WriteBuffer.empty(BUFFER_ROWS), {}, next_run)

    @classmethod
    def restored(cls, runs: tuple[Run, ...], buffer_rows: tuple[Ids, Codes, Ids], next_run: int) -> "State":
        return cls(runs, WriteBuffer.empty(BUFFER_ROWS), {}, next_run).with_rows(*buffer_rows)

    def count(self, tenant: int | None) -> int:
        return sum(run.count(tenant) for run in self.runs) + self.buffer.count_alive(tenant)

    def without_ids(self, ids: Ids) -> "State":
        """The state with these ids (sorted) deleted; unknown ids are ignored."""
        runs = tuple(run.without_ids(ids) for run in self.runs)
        deleted = self._buffered(ids)
        buffer = self.buffer.without_rows(deleted) if len(deleted) else self.buffer
        next_run = self.next_run
        if any(len(run.deleted) * COMPACTION_DIVISOR > len(run) for run in runs):
            runs = tuple(_compacted(runs, next_run))
            next_run += len(self.runs)
        return State(runs, buffer, self.buffer_positions, next_run)

    def with_rows(self, ids: Ids, codes: Codes, tenants: Ids) -> "State":
        """The state with these rows added, whose ids must be new. The arrays may be kept."""
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
        """Rows of the buffer that have these ids (sorted) and are not deleted."""
        buffer = self.buffer
        if len(ids) > buffer.count:
            return np.flatnonzero(in_sorted(buffer.ids[: buffer.count], ids) & buffer.alive[: buffer.count])
        known = [self.buffer_positions[id_] for id_ in ids.tolist() if id_ in self.buffer_positions]
        return [row for row in known if buffer.alive[row]]


def _compacted(runs: tuple[Run, ...], number: int) -> Iterator[Run]:
    """The runs, those with many deleted rows rebuilt and empty ones left out."""
    for run in runs:
        if len(run.deleted) * COMPACTION_DIVISOR <= len(run):
            yield run
        elif len(run.deleted) < len(run):
            yield Run.build(number, *run.alive())
            number += 1
