"""Statements that several repositories share, in the form that SQLite or PostgreSQL takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import JSON, Connection, Select, Table, bindparam, select, update

from lookalike.catalog import postgresql, sqlite
from lookalike.catalog.schema import IMAGE_IDS, encode_json, fingerprints, images, state, tenants
from lookalike.types import Border, FeatureSpec, Ids, Record

T = TypeVar("T")
BATCH = 512
"""Values a statement: SQLite takes 32,766 parameters, and longer lists bring no more speed."""

RECORD = select(
    images.c.id,
    tenants.c.name,
    images.c.key,
    images.c.path,
    images.c.sha256,
    images.c.pixels,
    images.c.nbytes,
    images.c.width,
    images.c.height,
    images.c.format,
    images.c.border,
    images.c.attributes,
    images.c.created,
    images.c.updated,
    images.c.seq,
).join(tenants, tenants.c.id == images.c.tenant_id)
"""The columns that `to_record` takes."""


def to_record(row: Any) -> Record:
    """A row of `RECORD` as the record of an image."""
    id_, tenant, key, path, sha256, pixels, nbytes, width, height, format_, border, attributes, *rest = row
    cut = Border(*border) if border else Border()
    return Record(id_, tenant, key, path, sha256, pixels, nbytes, width, height, format_, cut, attributes, *rest)


def in_tenant(query: Select[Any], tenant_id: int | None) -> Select[Any]:
    """The query over the images of a tenant, or of all tenants."""
    return query if tenant_id is None else query.where(images.c.tenant_id == tenant_id)


def batches(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists that fit a statement."""
    everything = list(values)
    for start in range(0, len(everything), BATCH):
        yield everything[start : start + BATCH]


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
    columns = list(rows[0])
    values = [list(row.values()) for row in rows]
    for position, name in enumerate(columns):
        if isinstance(table.c[name].type, JSON):
            for row in values:
                row[position] = None if row[position] is None else encode_json(row[position])
    insert = sqlite.insert_rows if conn.dialect.name == "sqlite" else postgresql.insert_rows
    insert(conn, table, columns, values)


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
