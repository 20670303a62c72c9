"""SQLite: the engine and its pragmas, inserting rows, image ids, the index of attributes, the file's integrity check.

A filter by `eq`, `in` or `exists` reads the images that the index of attributes names, and not every image's JSON: the
index has a row for each value of each image, kept by triggers. PostgreSQL indexes JSON itself.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Column, Connection, Engine, Integer, MetaData, Table, Text, create_engine, event, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.types import NullType

from lookalike.catalog.schema import encode_json, state
from lookalike.errors import BadSetting, NotFound

WRITING = "lookalike_writing"
"""The execution option of a transaction that will write."""
AUTOCOMMIT = "lookalike_bare"
"""The execution option of a statement that must run outside any transaction."""

_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -32768",  # KiB a connection; mapping the file instead measured no faster
    "PRAGMA temp_store = MEMORY",
)
_WRITER_PRAGMAS = (
    "PRAGMA synchronous = FULL",  # a commit that returned is on the disk
    "PRAGMA wal_autocheckpoint = 8192",  # pages; digests land all over their index: writes a fifth less than 1000 does
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten; Debian's builds do so by default, others do not
)

MAX_INDEXED_LENGTH = 100
"""Characters of a text that are indexed; of longer ones the rest is compared with the image's."""

# Not created with the other tables: WITHOUT ROWID and a column of any type are SQLite's own.
attribute_values = Table(
    "attribute_values",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", NullType, primary_key=True),
    Column("image_id", Integer, primary_key=True),
)

_ROWS = """
SELECT j.key,
       CASE WHEN j.type IN ('integer', 'real') THEN 'number' ELSE j.type END,
       CASE WHEN j.type IN ('integer', 'real') THEN j.atom WHEN j.type = 'text' THEN substr(j.atom, 1, {longest})
            ELSE '' END,
       {row}.id
"""
_ATTRIBUTE_INDEX = (
    """
    CREATE TABLE attribute_values (
        name TEXT NOT NULL,
        kind TEXT NOT NULL,  -- text, number, true, false, null, array, object
        value NOT NULL,      -- of a text or number; else empty
        image_id INTEGER NOT NULL,
        PRIMARY KEY (name, kind, value, image_id)
    ) WITHOUT ROWID
    """,
    "CREATE TRIGGER attributes_put AFTER INSERT ON images WHEN NEW.attributes <> '{{}}' BEGIN"
    " INSERT INTO attribute_values {new} FROM json_each(NEW.attributes) AS j; END",
    "CREATE TRIGGER attributes_changed AFTER UPDATE OF attributes ON images WHEN OLD.attributes <> NEW.attributes BEGIN"
    " DELETE FROM attribute_values WHERE (name, kind, value, image_id) IN ({old} FROM json_each(OLD.attributes) AS j);"
    " INSERT INTO attribute_values {new} FROM json_each(NEW.attributes) AS j; END",
    "CREATE TRIGGER attributes_gone AFTER DELETE ON images WHEN OLD.attributes <> '{{}}' BEGIN"
    " DELETE FROM attribute_values WHERE (name, kind, value, image_id) IN ({old} FROM json_each(OLD.attributes) AS j);"
    " END",
)


def create_sqlite_engine(url: URL, *, create: bool, read_only: bool, busy_seconds: float) -> Engine:
    """An engine for a file; raises NotFound where there is none and `create` is false."""
    if not url.database or url.database == ":memory:":
        raise BadSetting("the catalog needs a file; name one")
    path = Path(url.database).absolute()
    if not create and not path.is_file():
        raise NotFound(f"there is no catalog at {path}; create one first (`lookalike init`)")
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    uri = f"{path.as_uri()}?mode={'ro' if read_only else 'rwc' if create else 'rw'}"

    def open_file() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)

    engine = create_engine(
        "sqlite+pysqlite://",
        creator=open_file,
        json_serializer=encode_json,
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=-1,  # a thread never waits for a connection
    )

    @event.listens_for(engine, "connect")
    def set_up(dbapi: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = dbapi.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        if not read_only:
            cursor.execute("PRAGMA journal_mode")
            if cursor.fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode = WAL")
            for pragma in _WRITER_PRAGMAS:
                cursor.execute(pragma)
        cursor.close()
        dbapi.create_function("casefold", 1, str.casefold, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        options = conn.get_execution_options()
        if options.get(AUTOCOMMIT):
            return
        # A writer takes its lock at once: an upgrade from a read lock could fail without any waiting.
        conn.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITING) else "BEGIN")

    return engine


def insert_rows(conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows without SQLAlchemy's compiler, which costs as much as the database (2/5 of a batch's CPU time)."""
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"
    conn.exec_driver_sql(statement, [tuple(row) for row in rows])


def allocate_ids(conn: Connection, number: int) -> Sequence[int]:
    """Ids for new images, never allocated before."""
    query = update(state).values(last_id=state.c.last_id + number).returning(state.c.last_id)
    end = int(conn.execute(query).scalar_one())
    return range(end - number + 1, end + 1)


def create_attribute_index(conn: Connection) -> None:
    """Make the table of attribute values and its triggers, before there are images."""
    rows = {word: _ROWS.format(longest=MAX_INDEXED_LENGTH, row=row) for word, row in (("new", "NEW"), ("old", "OLD"))}
    for statement in _ATTRIBUTE_INDEX:
        conn.exec_driver_sql(statement.format(**rows))


def attribute_index_differences(conn: Connection) -> int:
    """How many values differ between the images and the index of attributes."""
    expected = _ROWS.format(longest=MAX_INDEXED_LENGTH, row="images") + " FROM images, json_each(images.attributes) j"
    indexed = "SELECT name, kind, value, image_id FROM attribute_values"
    found = conn.exec_driver_sql(
        f"SELECT (SELECT count(*) FROM ({expected} EXCEPT {indexed}))"
        f" + (SELECT count(*) FROM ({indexed} EXCEPT {expected}))"
    )
    return int(found.scalar_one())


def file_problems(conn: Connection) -> list[str]:
    """What SQLite finds wrong with its file."""
    problems = [str(row[0]) for row in conn.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
    strays = conn.exec_driver_sql("PRAGMA foreign_key_check")
    return problems + [f"{row[0]} row {row[1]} lost its {row[2]}" for row in strays]
