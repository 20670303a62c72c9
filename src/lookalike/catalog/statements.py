"""Statements that several repositories share, in the form of each database, and the locks that writers take.

On PostgreSQL writers run concurrently. So that none waits for another in a cycle, each write transaction

1. locks the rows of the stored images that it concerns, in the order of their ids (`lock_images`);
2. writes everything large: features and thumbnails;
3. locks the row of sequence numbers (`next_sequence_numbers`), writes the images' rows, and commits. Held until the
   commit, this lock makes sequence numbers visible in their order; taken last, it is held as briefly as can be.

Rare transactions that must see one another's result (a new tenant, a new spec, a job queue with a limit) lock that row
from their beginning (`lock_state`), and lock no image afterwards. On SQLite a write transaction holds the one lock of
the file from its beginning, and all of this costs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Column, Connection, Select, Table, bindparam, select, update

from lookalike.catalog import postgresql, sqlite
from lookalike.catalog.schema import IMAGE_IDS, JsonDocument, encode_json, fingerprints, images, state, tenants
from lookalike.errors import Unavailable
from lookalike.types import Border, FeatureSpec, Ids, Record

T = TypeVar("T")
BATCH = 512
"""Values a statement: SQLite takes 32,766 parameters, and longer lists bring no more speed."""

_FURTHER = [column for column in images.c if column.name not in ("id", "tenant_id", "mtime_ns", "etag")]
RECORD = select(images.c.id, tenants.c.name, *_FURTHER).join(tenants, tenants.c.id == images.c.tenant_id)
"""The columns that `to_record` takes, in the order of `Record`."""


_IDS_BY_KEY = select(images.c.key, images.c.id).where(
    images.c.tenant_id == bindparam("tenant"), images.c.key.in_(bindparam("keys", expanding=True))
)


def to_record(row: Any) -> Record:
    """A row of `RECORD` as the record of an image."""
    id_, tenant, key, path, sha256, pixels, nbytes, width, height, format_, border, attributes, *rest = row
    cut = Border(*border) if border else Border()
    created, updated, sequence, frames, truncated, exif, offset = rest
    return Record(
        id=id_,
        tenant=tenant,
        key=key,
        path=path,
        sha256=sha256,
        pixels=pixels,
        nbytes=nbytes,
        width=width,
        height=height,
        format=format_,
        border=cut,
        attributes=attributes,
        created=created,
        updated=updated,
        sequence=sequence,
        frames=frames or 1,
        truncated=bool(truncated),
        exif=exif or {},
        offset=offset,
    )


def in_tenant(query: Select[Any], tenant_id: int | None) -> Select[Any]:
    """The query over the images of a tenant, or of all tenants."""
    return query if tenant_id is None else query.where(images.c.tenant_id == tenant_id)


def batches(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists that fit a statement."""
    everything = list(values)
    for start in range(0, len(everything), BATCH):
        yield everything[start : start + BATCH]


def rows_in(conn: Connection, query: Select[Any], column: Column[Any], values: Iterable[Any]) -> Iterator[Any]:
    """The rows of a query where the column has one of these values, any number of them."""
    for batch in batches(values):
        yield from conn.execute(query.where(column.in_(batch)))


def ids_by_key(conn: Connection, tenant_id: int, keys: Iterable[str]) -> dict[str, int]:
    """The ids of a tenant's images by key; unknown keys are left out."""
    found: dict[str, int] = {}
    for batch in batches(keys):
        found.update((key, id_) for key, id_ in conn.execute(_IDS_BY_KEY, {"tenant": tenant_id, "keys": batch}))
    return found


def id_array(ids: Iterable[int]) -> Ids:
    """Ids as an array of int64."""
    return np.fromiter(ids, dtype=np.int64)


def spec_ids(conn: Connection) -> dict[FeatureSpec, int]:
    """The specs that features were ever stored for, with their ids, oldest first."""
    f = fingerprints.c
    found = conn.execute(select(f.name, f.metric, f.width, f.fingerprint, f.id).order_by(f.id))
    return {FeatureSpec(name, metric, width, fingerprint): id_ for name, metric, width, fingerprint, id_ in found}


def insert_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns in the same order, in the database's fastest way."""
    if not rows:
        return
    insert_values(conn, table, list(rows[0]), [list(row.values()) for row in rows])


def insert_values(conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[list[Any]]) -> None:
    """Insert rows of the values of these columns, in which JSON is then replaced by its text."""
    if not rows:
        return
    for position, name in enumerate(columns):
        if isinstance(table.c[name].type, JsonDocument):
            for row in rows:
                row[position] = None if row[position] is None else encode_json(row[position])
    insert = sqlite.insert_rows if conn.dialect.name == "sqlite" else postgresql.insert_rows
    insert(conn, table, columns, rows)


def allocate_ids(conn: Connection, number: int) -> Sequence[int]:
    """Ids for new images, never allocated before."""
    if not number:
        return ()
    allocate = sqlite.allocate_ids if conn.dialect.name == "sqlite" else postgresql.allocate_ids
    return allocate(conn, number)


def last_id(conn: Connection) -> int:
    """The id allocated last."""
    if conn.dialect.name == "sqlite":
        return int(conn.execute(select(state.c.last_id)).scalar_one())
    return int(conn.exec_driver_sql(f"SELECT last_value FROM {IMAGE_IDS}").scalar_one())


def update_images(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Update images by rows that all name the same columns, and the image by `the_id`."""
    if rows:
        columns: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "the_id"}
        conn.execute(update(images).where(images.c.id == bindparam("the_id")).values(columns), rows)


@dataclass(frozen=True, slots=True)
class LockedImage:
    """A stored image whose row this transaction has locked."""

    id: int
    tenant_id: int
    key: str
    sha256: bytes
    sequence: int


def lock_images(conn: Connection, ids: Iterable[int], *, deleting: bool = False) -> dict[int, LockedImage]:
    """Lock stored images in the order of their ids; by id, without those that are gone."""
    i = images.c
    query = select(i.id, i.tenant_id, i.key, i.sha256, i.seq).order_by(i.id).with_for_update(key_share=not deleting)
    return {row.id: LockedImage(*row) for row in rows_in(conn, query, i.id, sorted(set(ids)))}


class PipelinesChanged(Unavailable):
    """The gallery's pipelines were changed, and an image does not have the features of those of now."""


def next_sequence_numbers(conn: Connection, number: int, *, pipelines: int | None = None) -> Iterator[int]:
    """The next sequence numbers; no other writer gets any until this transaction ends.

    `pipelines` is the version of the set of pipelines that the writer knows, None where it does not matter: raises
    PipelinesChanged if it is an old one. As the row is locked from here on, it stays the present one until the commit.
    """
    query = update(state).values(sequence=state.c.sequence + number).returning(state.c.sequence, state.c.pipelines)
    row = conn.execute(query).one()
    if pipelines is not None and row.pipelines != pipelines:
        raise PipelinesChanged("the gallery's pipelines were changed meanwhile; nothing was written, try again")
    last = int(row.sequence)
    return iter(range(last - number + 1, last + 1))


def lock_state(conn: Connection) -> None:
    """Lock the row of sequence numbers, and with it out all other writers of images."""
    conn.execute(select(state.c.one).with_for_update()).one()
