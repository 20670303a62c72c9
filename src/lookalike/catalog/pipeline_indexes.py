"""The indexes of pipelines that were moved: their generations, and the second index that one has meanwhile."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from lookalike.catalog.schema import meta
from lookalike.results import OtherIndexState

INDEXES_KEY = "indexes"
"""Row of `meta` that holds `PipelineIndexes` by pipeline."""


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """An index of a pipeline, without a password; None: the address in the gallery's settings, or the default one.

    Each index that a pipeline is moved to has a `generation` of its own, which is part of its name on a server or in
    the gallery's folder, so that two of them never meet. The one that the pipeline began with has 0.
    """

    address: str | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class OtherIndex:
    """The index of a pipeline that does not answer searches; `sequence` is the last change before it was kept."""

    state: OtherIndexState
    index: StoredIndex
    sequence: int


@dataclass(frozen=True, slots=True)
class PipelineIndexes:
    """Generation of the index that answers, the last one that was given out, and the other index."""

    generation: int = 0
    last: int = 0
    other: OtherIndex | None = None

    def with_other(self, other: OtherIndex | None, *, last: int | None = None) -> "PipelineIndexes":
        """These, with another second index."""
        return replace(self, other=other, last=self.last if last is None else last)


def read_indexes(conn: Connection) -> dict[str, PipelineIndexes]:
    """What is stored, by pipeline; nothing of one whose index was never moved."""
    stored = conn.execute(select(meta.c.value).where(meta.c.key == INDEXES_KEY)).scalar_one_or_none()
    return {name: _of_json(own) for name, own in (stored or {}).items()}


def write_indexes(conn: Connection, indexes: Mapping[str, PipelineIndexes]) -> None:
    """Replace what is stored; the caller holds the lock of `state`."""
    conn.execute(delete(meta).where(meta.c.key == INDEXES_KEY))
    if indexes:
        conn.execute(insert(meta).values(key=INDEXES_KEY, value={name: asdict(own) for name, own in indexes.items()}))


def _of_json(stored: Mapping[str, Any]) -> PipelineIndexes:
    other = stored["other"]
    if other is not None:
        other = OtherIndex(other["state"], StoredIndex(**other["index"]), other["sequence"])
    return PipelineIndexes(stored["generation"], stored["last"], other)
