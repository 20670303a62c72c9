"""Copies of whole catalogs: a snapshot as a SQLite file, such a file loaded into a catalog, and digests to compare.

A snapshot is a catalog of its own, whatever database it comes from: the tables are the same in both, so that one of
PostgreSQL can be loaded into SQLite and the other way round. Ids and sequence numbers stay.
"""

import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from lookalike.catalog.catalog import Catalog
from lookalike.catalog.database import Database
from lookalike.catalog.db_errors import translate_errors
from lookalike.catalog.pipelines import INDEXES_KEY
from lookalike.catalog.postgresql import without_timeouts
from lookalike.catalog.schema import (
    IMAGE_IDS,
    backfill_failures,
    backfill_ranges,
    backfills,
    claims,
    compared_pairs,
    create_features_table,
    features_table,
    fingerprints,
    followers,
    images,
    jobs,
    meta,
    metadata,
    state,
    tenants,
    thumbnails,
    verification_records,
)
from lookalike.catalog.statements import RECORD, in_tenant, insert_rows, last_id, rows_in, spec_ids, to_record
from lookalike.durability import sync_folder
from lookalike.errors import BadInput, Unavailable
from lookalike.types import FeatureSpec, Record

BATCH_ROWS = 4096
"""Rows read and written at once."""
_OF_PROCESSES = (followers, claims, backfills, backfill_ranges)
"""Tables of what processes of one gallery do for its indexes and features, which a copy does not have."""
_OWN_META = ("schema", "gallery", "features", INDEXES_KEY)
"""Values of `meta` that belong to a catalog, not to its images."""
_NOT_COMPARED = (*_OF_PROCESSES, meta, state, jobs, compared_pairs, backfill_failures)
"""Tables that differ between a catalog and its copy, or change while nobody changes an image."""
_COPY_TYPES = {
    "BIGINT": "int8",
    "INTEGER": "int4",
    "TEXT": "text",
    "BYTEA": "bytea",
    "DOUBLE PRECISION": "float8",
    "BOOLEAN": "bool",
    "JSONB": "jsonb",
}
BATCH_IMAGES = 2048
"""Images read at once: with vectors of two kilobytes each, 4 MB."""


@dataclass(frozen=True, slots=True)
class TableDigest:
    """The number of rows of a table, and a digest of their values, in any order, the same in every database."""

    rows: int
    digest: str


def write_snapshot(source: Database, path: Path) -> None:
    """Write a snapshot of a catalog to a new SQLite file, durably, while others go on writing.

    Everything that was committed before the call is in it. Raises Unavailable if the disk is full or the database does
    not answer.
    """
    if source.is_postgresql:
        _export_postgresql(source, path)
    else:
        _copy_sqlite(source, path)
    _make_standalone(path)


def load_snapshot(snapshot: Catalog, target: Catalog) -> None:
    """Load a snapshot into an empty catalog, in one transaction; raises BadInput if there is anything in it."""
    with snapshot.database.read() as source, target.database.write() as conn, without_timeouts(conn):
        _check_empty(conn)
        _load(source, conn)


def make_separate(catalog: Catalog) -> int:
    """Make a copy a catalog of its own, with a new id; returns the number of unfinished jobs that were dropped.

    Its indexes on servers get names of their own, so that they do not meet those of the original.
    """
    with catalog.database.write() as conn:
        for table in _OF_PROCESSES:
            conn.execute(delete(table))
        conn.execute(delete(meta).where(meta.c.key == INDEXES_KEY))  # the other indexes are those of the original
        dropped = conn.execute(delete(jobs).where(jobs.c.state.in_(("queued", "running")))).rowcount
        conn.execute(update(meta).where(meta.c.key == "gallery").values(value=uuid.uuid4().hex[:12]))
        return int(dropped)


def table_digests(catalog: Catalog) -> dict[str, TableDigest]:
    """The digests of all tables that a copy has in common with its original, in one snapshot."""
    with catalog.database.read() as conn, without_timeouts(conn):
        tables = [table for table in metadata.sorted_tables if table not in _NOT_COMPARED]
        tables += [features_table(spec_id) for spec_id in spec_ids(conn).values()]
        found = {table.name: _digest(conn, table) for table in tables}
        found["calibrations"] = _digest_rows(
            row for row in conn.execute(select(meta.c.key, meta.c.value)) if row[0] not in _OWN_META
        )
        return found


def _copy_sqlite(source: Database, path: Path) -> None:
    """Copy all pages in one step, which sees one state of the file; in WAL mode no writer waits for it."""
    try:
        with translate_errors(source.location), source.read() as conn:
            from_ = conn.connection.driver_connection
            assert isinstance(from_, sqlite3.Connection)
            to = sqlite3.connect(path, isolation_level=None)
            try:
                to.execute("PRAGMA synchronous = OFF")  # synced as a whole afterwards
                from_.backup(to)
            finally:
                to.close()
    except sqlite3.Error as error:
        raise Unavailable(f"cannot write {path}: {error}") from error


def _export_postgresql(source: Database, path: Path) -> None:
    """Copy every table, by COPY in one repeatable-read transaction, into a new catalog in a file."""
    with (
        Catalog.open(path, create=True) as target,
        source.read() as conn,
        without_timeouts(conn),
        target.database.write() as to,
    ):
        _load(conn, to)


def _load(source: Connection, to: Connection) -> None:
    """Copy all rows into the tables of a new catalog, in the order of their references."""
    for table in metadata.sorted_tables:
        if table is meta:
            rows = [row for row in source.execute(select(meta)).all() if row.key not in _OWN_META]
            insert_rows(to, meta, [row._asdict() for row in rows])
        elif table is state:
            found = source.execute(select(state.c.sequence, state.c.pruned)).one()
            to.execute(update(state).values(sequence=found.sequence, pruned=found.pruned))
        elif table not in _OF_PROCESSES:
            _copy_table(source, to, table)
    for spec_id in spec_ids(source).values():
        create_features_table(to, spec_id)
        _copy_table(source, to, features_table(spec_id))
    _continue_ids(to, last_id(source))


def _copy_table(source: Connection, to: Connection, table: Table) -> None:
    names = [column.name for column in table.columns]
    rows = _rows(source, table)
    while batch := list(islice(rows, BATCH_ROWS)):
        insert_rows(to, table, [dict(zip(names, row, strict=True)) for row in batch])


def _rows(conn: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """All rows of a table, with JSON as Python's values."""
    if conn.dialect.name != "postgresql":
        yield from conn.execute(select(table).execution_options(yield_per=BATCH_ROWS))
        return
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    statement = f"COPY (SELECT {columns} FROM {table.name}) TO STDOUT (FORMAT BINARY)"
    cursor: Any = conn.connection.cursor()  # the driver's own
    try:
        with cursor, cursor.copy(statement) as copy:
            copy.set_types([_copy_type(conn, column.type) for column in table.columns])
            yield from copy.rows()
    except conn.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


def _copy_type(conn: Connection, kind: Any) -> str:
    name = kind.compile(conn.dialect).partition(" COLLATE")[0]
    return _COPY_TYPES[name]


def _continue_ids(to: Connection, last: int) -> None:
    """Let new rows get ids that were never used."""
    if to.dialect.name == "sqlite":
        to.execute(update(state).values(last_id=last))
        return
    to.execute(text(f"SELECT setval('{IMAGE_IDS}', :last)"), {"last": max(last, 1)})
    for table in metadata.sorted_tables:
        column = table.c.get("id")
        if column is None or table is images or column.autoincrement is False:
            continue
        sequence = to.execute(select(func.pg_get_serial_sequence(table.name, "id"))).scalar_one()
        highest = to.execute(select(func.max(column))).scalar_one()
        if sequence is not None and isinstance(highest, int):
            to.execute(select(func.setval(sequence, highest)))


def _check_empty(conn: Connection) -> None:
    sequence = int(conn.execute(select(state.c.sequence)).scalar_one())
    if sequence or conn.execute(select(func.count()).select_from(tenants)).scalar_one():
        raise BadInput("there are images in this catalog already; restore into an empty database")
    if conn.execute(select(func.count()).select_from(fingerprints)).scalar_one():
        raise BadInput("there are features in this catalog already; restore into an empty database")


def _make_standalone(path: Path) -> None:
    """Make the file complete without a write-ahead log, readable where nothing can be written, and durable."""
    try:
        with sqlite3.connect(path, isolation_level=None) as conn:
            conn.execute("PRAGMA journal_mode = DELETE")
        conn.close()
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"cannot write {path}: {error}") from error


def _digest(conn: Connection, table: Table) -> TableDigest:
    return _digest_rows(iter(conn.execute(select(table).execution_options(yield_per=BATCH_ROWS))))


def _digest_rows(rows: Iterator[Any]) -> TableDigest:
    """The sum of the digests of the rows, so that their order does not matter."""
    count = total = 0
    for row in rows:
        data = repr(tuple(map(_plain, row))).encode("utf-8", "surrogatepass")
        total += int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "big")
        count += 1
    return TableDigest(count, f"{total % 2**128:032x}")


def _plain(value: Any) -> Any:
    """A value in one form: JSON's objects sorted, numbers without a fraction as integers, as PostgreSQL gives them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return json.dumps({key: _plain(value[key]) for key in sorted(value)}, sort_keys=True)
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value


@dataclass(frozen=True, slots=True)
class WholeImage:
    """An image with its features as they are stored, by spec, None where it has no usable one.

    `thumbnail` and `verification_record` are None where it has none.
    """

    record: Record
    mtime_ns: int | None
    etag: str | None
    features: Mapping[FeatureSpec, bytes | None]
    thumbnail: bytes | None
    verification_record: bytes | None


def read_whole_images(catalog: Catalog, tenant_id: int | None) -> Iterator[list[WholeImage]]:
    """Yield all images of a tenant, or of all tenants, in the order of their ids, in batches of one snapshot."""
    with catalog.database.read() as conn, without_timeouts(conn):
        specs = spec_ids(conn)
        query = in_tenant(RECORD.add_columns(images.c.mtime_ns, images.c.etag), tenant_id)
        query = query.order_by(images.c.id).limit(BATCH_IMAGES)
        last = 0
        while batch := _batch(conn, query.where(images.c.id > last), specs):
            yield batch
            last = batch[-1].record.id


def _batch(conn: Connection, query: Select[Any], specs: Mapping[FeatureSpec, int]) -> list[WholeImage]:
    rows = conn.execute(query).all()
    found = [(to_record(row[:-2]), row[-2], row[-1]) for row in rows]
    ids = [record.id for record, _, _ in found]
    features: dict[FeatureSpec, dict[int, bytes | None]] = {}
    for spec, spec_id in specs.items():
        table = features_table(spec_id)
        stored = rows_in(conn, select(table.c.image_id, table.c.vector), table.c.image_id, ids)
        features[spec] = {row.image_id: row.vector for row in stored}
    thumbnails_of, records_of = (
        {row.image_id: row.data for row in rows_in(conn, select(of.c.image_id, of.c.data), of.c.image_id, ids)}
        for of in (thumbnails, verification_records)
    )
    return [
        WholeImage(
            record,
            mtime_ns,
            etag,
            {spec: rows[record.id] for spec, rows in features.items() if record.id in rows},
            thumbnails_of.get(record.id),
            records_of.get(record.id),
        )
        for record, mtime_ns, etag in found
    ]
