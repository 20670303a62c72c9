"""Everything that differs between SQLite and PostgreSQL, except how filters read JSON."""

import importlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, URL, Connection, Engine, Table, create_engine, event, make_url, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from lookalike.catalog.layout import IDS
from lookalike.catalog.options import Options, taken_from
from lookalike.catalog.schema import state
from lookalike.errors import BadSetting, NotFound
from lookalike.optional import require

WRITING = "lookalike_writing"
"""The execution option of a transaction that will write."""
AUTOCOMMIT = "lookalike_bare"
"""The execution option of a statement that must run outside any transaction."""

DAY_SECONDS = 86400
MIN_POSTGRESQL = 14
"""The oldest PostgreSQL that its makers still care for."""

_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -32768",  # KiB a connection; mapping the file instead measured no faster
    "PRAGMA temp_store = MEMORY",
)
_WRITER_PRAGMAS = (
    "PRAGMA synchronous = FULL",  # a commit that returned is on the disk
    "PRAGMA wal_autocheckpoint = 8192",  # pages; digests land all over their index: writes a fifth less than 1000 does
    "PRAGMA journal_size_limit = 67108864",
)


def connect(target: str | Path, *, create: bool, read_only: bool, busy_seconds: float) -> Engine:
    """An engine for a path or URL; nothing is opened yet, except that a missing SQLite file raises NotFound."""
    url, _ = taken_from(_url(target))
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, create=create, read_only=read_only, busy_seconds=busy_seconds)
    if url.get_backend_name() == "postgresql":
        return _postgresql(url, read_only=read_only, busy_seconds=busy_seconds)
    raise BadSetting(f"a catalog is a file, sqlite:///... or postgresql://..., not {url.get_backend_name()!r}")


def options_of(target: str | Path) -> Options:
    """What the URL says about how the catalog is to be made, or was."""
    return taken_from(_url(target))[1]


def redacted_url(target: str | Path) -> str:
    """The target as messages may show it: without a password."""
    url = _url(target)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)  # options may hold secrets too


def _url(target: str | Path) -> URL:
    if isinstance(target, Path) or "://" not in target:
        return URL.create("sqlite", database=str(target))
    try:
        return make_url(target)
    except (ArgumentError, ValueError):  # the second for a port that is no number
        raise BadSetting("the URL of the catalog cannot be read; write postgresql://user@host/name") from None


dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def insert_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns in the same order.

    Past the compiler, whose work for each row would cost as much as the database's own (measured on SQLite: two fifths
    of the processor time of a batch); on PostgreSQL by COPY.
    """
    if not rows:
        return
    names = list(rows[0])
    values = [list(row.values()) for row in rows]
    for place, name in enumerate(names):
        if isinstance(table.c[name].type, JSON):
            for row in values:
                row[place] = None if row[place] is None else dumps(row[place])
    columns = ", ".join(names)
    if conn.dialect.name == "sqlite":
        places = ", ".join("?" * len(names))
        conn.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({places})", [tuple(v) for v in values])
    else:
        types = [_BINARY.get(table.c[name].type.compile(conn.dialect)) for name in names]
        _copy(conn, f"COPY {table.name} ({columns}) FROM STDIN", types, values)


_BINARY = {"BIGINT": "int8", "BYTEA": "bytea", "DOUBLE PRECISION": "float8"}
"""Column types that travel as they are; features then need half as many bytes as in hexadecimal digits."""


def _copy(conn: Connection, statement: str, types: Sequence[str | None], rows: Sequence[Sequence[Any]]) -> None:
    cursor: Any = conn.connection.cursor()  # the driver's own
    binary = all(types)
    try:
        with cursor, cursor.copy(f"{statement} (FORMAT BINARY)" if binary else statement) as copy:
            if binary:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    except conn.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


def allocate_ids(conn: Connection, number: int) -> Sequence[int]:
    """Ids for new images, never given before; on PostgreSQL nobody waits for anybody."""
    if not number:
        return ()
    if conn.dialect.name == "sqlite":
        last = conn.execute(update(state).values(last_id=state.c.last_id + number).returning(state.c.last_id))
        end = int(last.scalar_one())
        return range(end - number + 1, end + 1)
    found = conn.exec_driver_sql(f"SELECT nextval('{IDS}') FROM generate_series(1, {number})")
    return [int(id_) for id_ in found.scalars()]


def last_id(conn: Connection) -> int:
    """The id given out last."""
    if conn.dialect.name == "sqlite":
        return int(conn.execute(select(state.c.last_id)).scalar_one())
    return int(conn.exec_driver_sql(f"SELECT last_value FROM {IDS}").scalar_one())


def _sqlite(url: URL, *, create: bool, read_only: bool, busy_seconds: float) -> Engine:
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
        json_serializer=dumps,
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

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        options = conn.get_execution_options()
        if options.get(AUTOCOMMIT):
            return
        # A writer takes its lock at once: to ask for it after reading could fail without any waiting.
        conn.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITING) else "BEGIN")

    return engine


def _postgresql(url: URL, *, read_only: bool, busy_seconds: float) -> Engine:
    require("psycopg", purpose="a catalog in PostgreSQL")
    driver = importlib.import_module("lookalike.catalog.postgresql")
    made: Engine = driver.engine(url, read_only=read_only, busy_seconds=busy_seconds)
    return made


def reading(engine: Engine) -> Engine:
    """The engine for transactions that read: all their statements see the same moment."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ")
    return engine  # a SQLite transaction always does


def writing(engine: Engine) -> Engine:
    """The engine for transactions that write."""
    return engine.execution_options(**{WRITING: True})


def lock_schema(conn: Connection) -> None:
    """Let one process at a time make or migrate tables; raises BadSetting for a server that cannot hold a catalog.

    SQLite has taken its lock when the transaction began.
    """
    if conn.dialect.name == "sqlite":
        return
    conn.exec_driver_sql("SELECT pg_advisory_xact_lock(7029384)")
    encoding, version = conn.exec_driver_sql(
        "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int"
    ).one()
    if encoding != "UTF8":
        raise BadSetting(f"the catalog's database has the encoding {encoding}; make it with ENCODING 'UTF8'")
    if version < MIN_POSTGRESQL * 10_000:
        raise BadSetting(f"a catalog needs PostgreSQL {MIN_POSTGRESQL} or newer, this is {version // 10_000}")


def integrity_problems(conn: Connection) -> list[str]:
    """What the database itself finds wrong with its files; PostgreSQL checks its pages as it reads them."""
    if conn.dialect.name != "sqlite":
        return []
    found = [str(row[0]) for row in conn.exec_driver_sql("PRAGMA integrity_check")]
    problems = [] if found == ["ok"] else found
    return problems + [
        f"{row[0]} row {row[1]} lost its {row[2]}" for row in conn.exec_driver_sql("PRAGMA foreign_key_check")
    ]


def checkpoint(engine: Engine) -> None:
    """Move the write-ahead log into the file and empty it; PostgreSQL does so by itself."""
    if engine.dialect.name == "sqlite":
        _outside_transaction(engine, "PRAGMA wal_checkpoint(TRUNCATE)")


def vacuum(engine: Engine) -> None:
    """Give the room of deleted rows back to the disk."""
    _outside_transaction(engine, "VACUUM")


def _outside_transaction(engine: Engine, statement: str) -> None:
    level = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**{AUTOCOMMIT: True}, **level) as conn, without_statement_timeout(conn):
        conn.exec_driver_sql(statement)


@contextmanager
def without_statement_timeout(conn: Connection) -> Iterator[None]:
    """For what reads or rewrites everything: a server's statements may take a day each."""
    if conn.dialect.name == "sqlite":
        yield
        return
    driver: Any = conn.connection.driver_connection
    usual = driver.patience
    driver.patience = 2.0 * DAY_SECONDS
    conn.exec_driver_sql(f"SET statement_timeout = {DAY_SECONDS * 1000}")
    try:
        yield
    finally:
        driver.patience = usual
        conn.invalidate()  # a fresh connection has the usual limits
