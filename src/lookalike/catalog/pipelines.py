"""The pipelines of a gallery and their indexes: which ones answer, and which are built, moved or dropped."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import backfill_failures, backfill_ranges, backfills, meta, pipelines, state
from lookalike.catalog.statements import lock_state
from lookalike.errors import BadInput, Conflict, NotFound
from lookalike.results import OtherIndexState, PipelineState
from lookalike.text import check_text

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


@dataclass(frozen=True, slots=True)
class StoredPipeline:
    """A row of `schema.pipelines`, and its `other` index while that is moved; times are seconds since 1970, UTC."""

    name: str
    state: PipelineState
    index_address: str | None = None
    created: float | None = None
    promoted: float | None = None
    generation: int = 0
    other: OtherIndex | None = None

    @property
    def index(self) -> StoredIndex:
        """The index that answers searches."""
        return StoredIndex(self.index_address, self.generation)


@dataclass(frozen=True, slots=True)
class PipelineSet:
    """The pipelines in order of precedence, and the version of this set; if empty, those of the settings apply."""

    version: int
    pipelines: tuple[StoredPipeline, ...]


def ranking_name(stored: Sequence[StoredPipeline]) -> str:
    """The name of the pipeline that ranks answers: the last active one, which there always is."""
    return [pipeline.name for pipeline in stored if pipeline.state == "active"][-1]


class PipelineRepository(Repository):
    """Changes of the set of pipelines: each is one transaction, ordered with those that write images.

    `initial` are the names in the gallery's settings, which its first change stores.
    """

    def version(self) -> int:
        """The number of changes so far."""
        with self._database.read() as conn:
            return int(conn.execute(select(state.c.pipelines)).scalar_one())

    def current(self) -> PipelineSet:
        """The set of now."""
        with self._database.read() as conn:
            version = int(conn.execute(select(state.c.pipelines)).scalar_one())
            return PipelineSet(version, tuple(_read(conn)))

    def add(self, name: str, initial: Sequence[str], *, index_address: str | None = None) -> bool:
        """Add a shadow pipeline, the last in order; False where it is there already, with the same address.

        Raises BadInput where it is there with another address, or is being dropped.
        """
        check_text("pipeline", name)

        def change(conn: Connection, stored: Sequence[StoredPipeline]) -> bool:
            known = {pipeline.name: pipeline for pipeline in stored}.get(name)
            if known is not None:
                _check_not_dropping(known)
                if index_address is not None and known.index_address != index_address:
                    raise BadInput(f"the pipeline {name} is there already, with another index")
                return False
            row = {"name": name, "state": "shadow", "index_address": index_address, "created": time.time()}
            position = conn.execute(select(pipelines.c.position).order_by(pipelines.c.position.desc()).limit(1))
            conn.execute(insert(pipelines).values(position=position.scalar_one() + 1, **row))
            return True

        return self._change(initial, change)

    def promote(self, name: str, initial: Sequence[str], *, replace: bool = False) -> bool:
        """Make a pipeline active and the last active one, which ranks; False where it is so already.

        Those after it in order become shadow. With `replace` so does the one that ranked before it. Raises NotFound for
        an unknown one, BadInput for one that is being dropped.
        """

        def change(conn: Connection, stored: Sequence[StoredPipeline]) -> bool:
            own = find(stored, name)
            _check_not_dropping(own)
            at = stored.index(own)
            retired = [p.name for p in stored[at + 1 :] if p.state == "active"]
            before = [p.name for p in stored[:at] if p.state == "active"]
            retired += before[-1:] if replace else []
            if own.state == "active" and not retired:
                return False
            conn.execute(update(pipelines).where(pipelines.c.name.in_(retired)).values(state="shadow"))
            values = {"state": "active", "promoted": time.time()}
            conn.execute(update(pipelines).where(pipelines.c.name == name).values(**values))
            return True

        return self._change(initial, change)

    def start_drop(self, name: str, initial: Sequence[str]) -> bool:
        """Take a pipeline from searches and writers for good; False where that is done already.

        Raises NotFound for an unknown one, BadInput for the one that ranks.
        """

        def change(conn: Connection, stored: Sequence[StoredPipeline]) -> bool:
            own = find(stored, name)
            if own.state == "dropping":
                return False
            if ranking_name(stored) == name:
                raise BadInput(f"the pipeline {name} ranks the answers; promote another one first")
            conn.execute(update(pipelines).where(pipelines.c.name == name).values(state="dropping"))
            return True

        return self._change(initial, change)

    def start_index_move(self, name: str, to: StoredIndex, initial: Sequence[str]) -> bool:
        """Begin to build an index beside the one that answers; False where that was begun already.

        Args:
            name: Name of the pipeline.
            to: The index: the other one that there is, or one of the `next_generation`.
            initial: See the class.

        Raises:
            NotFound: There is no such pipeline.
            BadInput: It is being dropped, or has another index beside the one that answers.
            Conflict: Another move has begun meanwhile.
        """

        def change(conn: Connection, stored: Sequence[StoredPipeline]) -> bool:
            own = find(stored, name)
            _check_not_dropping(own)
            if own.other is not None and (own.other.index != to or own.other.state == "dropping"):
                raise BadInput(
                    f"the pipeline {name} has another index that is {own.other.state}; drop that first (lookalike "
                    f"index drop {name})"
                )
            if own.other is not None and own.other.state == "building":
                return False
            found = read_indexes(conn)
            kept = found.get(name, PipelineIndexes())
            if own.other is None and to.generation != kept.last + 1:
                raise Conflict(f"another move of the index of {name} has begun meanwhile; run it again")
            other = OtherIndex("building", to, 0)
            write_indexes(conn, {**found, name: kept.with_other(other, last=max(kept.last, to.generation))})
            return True

        return self._change(initial, change)

    def switch_index(self, name: str, initial: Sequence[str]) -> bool:
        """Let the index that was built answer, and keep the one that did; False where none is being built."""

        def change(conn: Connection, stored: Sequence[StoredPipeline]) -> bool:
            own = find(stored, name)
            if own.other is None or own.other.state != "building":
                return False
            found = read_indexes(conn)
            sequence = int(conn.execute(select(state.c.sequence)).scalar_one())
            to = own.other.index
            kept = PipelineIndexes(to.generation, found[name].last, OtherIndex("kept", own.index, sequence))
            conn.execute(update(pipelines).where(pipelines.c.name == name).values(index_address=to.address))
            write_indexes(conn, {**found, name: kept})
            return True

        return self._change(initial, change)

    def start_index_drop(self, name: str, initial: Sequence[str]) -> OtherIndex | None:
        """Take the index that does not answer from all processes; None where there is only one."""

        def change(conn: Connection, stored: Sequence[StoredPipeline]) -> bool:
            own = find(stored, name)
            if own.other is None or own.other.state == "dropping":
                return False
            found = read_indexes(conn)
            other = OtherIndex("dropping", own.other.index, own.other.sequence)
            write_indexes(conn, {**found, name: found[name].with_other(other)})
            return True

        self._change(initial, change)
        return {pipeline.name: pipeline for pipeline in self.current().pipelines}[name].other

    def finish_index_drop(self, name: str) -> None:
        """Forget the index that `start_index_drop` took away."""
        with self._database.write() as conn:
            lock_state(conn)
            found = read_indexes(conn)
            own = found.get(name)
            if own is not None and own.other is not None and own.other.state == "dropping":
                write_indexes(conn, {**found, name: own.with_other(None)})
                conn.execute(update(state).values(pipelines=state.c.pipelines + 1))

    def next_generation(self, name: str) -> int:
        """The generation of the next index of a pipeline, which none of its indexes had yet."""
        with self._database.read() as conn:
            return read_indexes(conn).get(name, PipelineIndexes()).last + 1

    def set_addresses(self, addresses: Mapping[str, str]) -> None:
        """Replace the addresses of the indexes of stored pipelines, as in a gallery that was restored elsewhere."""
        with self._database.write() as conn:
            lock_state(conn)
            for name, address in addresses.items():
                conn.execute(update(pipelines).where(pipelines.c.name == name).values(index_address=address))
            conn.execute(update(state).values(pipelines=state.c.pipelines + 1))

    def finish_drop(self, name: str) -> None:
        """Forget a pipeline that `start_drop` took away, and its backfill."""
        with self._database.write() as conn:
            lock_state(conn)
            dropped = conn.execute(
                delete(pipelines).where(pipelines.c.name == name, pipelines.c.state == "dropping")
            ).rowcount
            if dropped:
                for table in (backfills, backfill_ranges, backfill_failures):
                    conn.execute(delete(table).where(table.c.pipeline == name))
                write_indexes(conn, {other: own for other, own in read_indexes(conn).items() if other != name})

    def _change(self, initial: Sequence[str], change: Callable[[Connection, Sequence[StoredPipeline]], bool]) -> bool:
        """Make a change, and count it where it changed something, while no image is written."""

        def work(conn: Connection) -> bool:
            lock_state(conn)
            stored = _read(conn) or _store_initial(conn, initial)
            changed = change(conn, stored)
            if changed:
                conn.execute(update(state).values(pipelines=state.c.pipelines + 1))
            return changed

        return self._database.write_with_retry(work)


def indexes_of(pipeline: StoredPipeline) -> list[StoredIndex]:
    """The index that answers, and the other one."""
    return [pipeline.index] if pipeline.other is None else [pipeline.index, pipeline.other.index]


def _read(conn: Connection) -> list[StoredPipeline]:
    p = pipelines.c
    query = select(p.name, p.state, p.index_address, p.created, p.promoted).order_by(p.position)
    rows = conn.execute(query).all()
    found = read_indexes(conn) if rows else {}
    indexes = [found.get(row.name, PipelineIndexes()) for row in rows]
    return [StoredPipeline(*row, own.generation, own.other) for row, own in zip(rows, indexes, strict=True)]


def _store_initial(conn: Connection, names: Sequence[str]) -> list[StoredPipeline]:
    now = time.time()
    for position, name in enumerate(names):
        conn.execute(insert(pipelines).values(name=name, position=position, state="active", created=now))
    return _read(conn)


def find(stored: Sequence[StoredPipeline], name: str) -> StoredPipeline:
    """The pipeline of a name; raises NotFound."""
    for pipeline in stored:
        if pipeline.name == name:
            return pipeline
    raise NotFound(f"the gallery has no pipeline {name!r}; its pipelines are {', '.join(p.name for p in stored)}")


def _check_not_dropping(pipeline: StoredPipeline) -> None:
    if pipeline.state == "dropping":
        raise BadInput(f"the pipeline {pipeline.name} is being dropped; finish that first (pipelines drop)")
