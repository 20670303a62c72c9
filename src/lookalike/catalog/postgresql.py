"""PostgreSQL: a pooled engine with a limit on every wait, COPY, image ids, the schema lock.

The server ends a statement after `statement_seconds`; where the server does not even do that (frozen, or behind a dead
network) the client closes the connection some seconds later. A writer that dies or hangs while it holds locks loses
them: TCP keepalives find its connection dead, and the server ends its open transaction after `IDLE_SECONDS`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from lookalike.catalog.schema import IMAGE_IDS, encode_json
from lookalike.errors import BadSetting
from lookalike.optional import require

MIN_VERSION = 14
"""The oldest PostgreSQL that its developers still maintained when the catalog was written."""
POOL_SIZE = 8
"""Connections kept open by a catalog."""
MAX_OVERFLOW = 8
"""Connections beyond those while they are needed; a thread waits for one no longer than `CONNECT_SECONDS`."""
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
IDLE_SECONDS = 30
"""How long a transaction may be open between two statements."""
GRACE_SECONDS = 5.0
"""How much longer than the server's own limit the client waits for it."""
DAY_SECONDS = 86400

_SCHEMA_LOCK = 7029384
"""The number of the advisory lock under which tables are created and migrated."""
_TCP = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # ms
}
_BINARY = {"BIGINT": "int8", "BYTEA": "bytea", "DOUBLE PRECISION": "float8"}
"""Column types that COPY takes in binary; features then need half as many bytes as in hexadecimal digits."""


def create_postgresql_engine(url: URL, *, read_only: bool, busy_seconds: float) -> Engine:
    """An engine for a server; nothing is connected yet. Raises BadSetting for unknown options or a missing driver."""
    require("psycopg", purpose="a catalog in PostgreSQL")
    from lookalike.catalog import psycopg_connection as driver  # noqa: PLC0415 - psycopg is an optional extra

    parameters = {name: value for name, value in url.query.items() if isinstance(value, str)}
    statement_seconds = _seconds(parameters.pop("statement_seconds", str(STATEMENT_SECONDS)))
    parts = url.translate_connect_args(username="user", database="dbname")
    given = {name: str(value) for name, value in parts.items()}
    defaults = {**_TCP, "connect_timeout": str(CONNECT_SECONDS), "application_name": "lookalike"}
    conninfo = driver.connection_string({**defaults, **parameters, **given})

    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: driver.connect(conninfo, statement_seconds + GRACE_SECONDS),
        json_serializer=encode_json,
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=True,
        pool_use_lifo=True,
    )
    settings = _settings(read_only, busy_seconds, statement_seconds)

    @event.listens_for(engine, "connect")
    def set_up(dbapi: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = dbapi.cursor()
        cursor.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))
        # What is acknowledged is durable, whatever the server's default; stricter settings stay.
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            " AND current_setting('fsync') = 'on'"
        )
        cursor.close()
        dbapi.commit()

    return engine


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= DAY_SECONDS:
        raise BadSetting(f"statement_seconds of the catalog's URL is a number from 1 to {DAY_SECONDS}, not {text!r}")
    return int(text)


def _settings(read_only: bool, busy_seconds: float, statement_seconds: int) -> Mapping[str, object]:
    return {
        "statement_timeout": statement_seconds * 1000,
        "lock_timeout": max(int(busy_seconds * 1000), 1),
        "idle_in_transaction_session_timeout": int(IDLE_SECONDS * 1000),
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "default_transaction_read_only": "on" if read_only else "off",
        "plan_cache_mode": "force_custom_plan",  # a plan for any number of changes would read all of them
        "random_page_cost": 1.1,  # look-ups go by indexes, on disks without heads to move
        "jit": "off",  # the catalog's statements are short; compiling them would take longer than running them
    }


def lock_schema(conn: Connection) -> None:
    """Let one process at a time make or migrate tables; raises BadSetting for a server that cannot hold a catalog."""
    conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
    encoding, version = conn.exec_driver_sql(
        "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int"
    ).one()
    if encoding != "UTF8":
        raise BadSetting(f"the catalog's database has the encoding {encoding}; create it with ENCODING 'UTF8'")
    if version < MIN_VERSION * 10_000:
        raise BadSetting(f"a catalog needs PostgreSQL {MIN_VERSION} or newer, this is {version // 10_000}")


@contextmanager
def without_statement_timeout(conn: Connection) -> Iterator[None]:
    """Let each statement of this connection take a day, for those that read or rewrite everything."""
    if conn.dialect.name != "postgresql":
        yield
        return
    with _patient_driver(conn):
        conn.exec_driver_sql(f"SET statement_timeout = {DAY_SECONDS * 1000}")
        try:
            yield
        finally:
            conn.invalidate()  # a new connection has the usual limits


@contextmanager
def without_timeouts(conn: Connection) -> Iterator[None]:
    """Let this transaction, and each of its statements, take a day; the connection has its usual limits afterwards."""
    if conn.dialect.name != "postgresql":
        yield
        return
    with _patient_driver(conn):
        conn.exec_driver_sql(f"SET LOCAL statement_timeout = {DAY_SECONDS * 1000}")
        conn.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {DAY_SECONDS * 1000}")
        yield


@contextmanager
def _patient_driver(conn: Connection) -> Iterator[None]:
    """Let the driver wait for an answer for longer than any statement takes."""
    driver: Any = conn.connection.driver_connection
    usual = driver.answer_timeout
    driver.answer_timeout = 2.0 * DAY_SECONDS
    try:
        yield
    finally:
        driver.answer_timeout = usual


def insert_rows(conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows of values by COPY."""
    statement = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN"
    types = [_BINARY.get(table.c[name].type.compile(conn.dialect)) for name in columns]
    binary = all(types)
    cursor: Any = conn.connection.cursor()  # the driver's own
    try:
        with cursor, cursor.copy(f"{statement} (FORMAT BINARY)" if binary else statement) as copy:
            if binary:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    except conn.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


def allocate_ids(conn: Connection, number: int) -> Sequence[int]:
    """Ids for new images, never allocated before; concurrent writers do not wait for one another."""
    found = conn.exec_driver_sql(f"SELECT nextval('{IMAGE_IDS}') FROM generate_series(1, {number})")
    return [int(id_) for id_ in found.scalars()]
