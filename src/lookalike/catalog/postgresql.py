"""PostgreSQL by psycopg: a pool whose every wait is bounded.

A statement is ended by the server after `statement_seconds`; a server that does not even do that (frozen, or beyond a
dead network) is given up by the client some seconds later. A writer that dies or hangs with locks in its hands loses
them: its connection is found dead by TCP keepalives, its open transaction is ended after `IDLE_SECONDS`.
"""

import time
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from lookalike.catalog.dialect import DAY_SECONDS, dumps
from lookalike.errors import BadSetting

POOL = 8
"""Connections kept open by a catalog."""
OVERFLOW = 8
"""Connections beyond those while they are needed; a thread waits for one no longer than `CONNECT_SECONDS`."""
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
IDLE_SECONDS = 30
"""How long a transaction may be open without saying anything."""
GRACE_SECONDS = 5.0
"""How much longer than the server's own limit the client waits for it."""

_TCP = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # ms
}


class Bounded(psycopg.Connection[Any]):
    """A connection that gives up, and is closed, when an answer takes longer than `patience` seconds."""

    patience = STATEMENT_SECONDS + GRACE_SECONDS

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer, as psycopg does, within the patience."""
        return super().wait(self._bounded(gen, self.patience if timeout is None else timeout), interval)

    def _bounded(self, gen: PQGen[Any], limit: float) -> PQGen[Any]:
        """The steps of an exchange with the server; psycopg comes back each interval, also when nothing was heard."""
        end = time.monotonic() + limit
        try:
            wanted = next(gen)
            while True:
                heard = yield wanted
                if not heard and time.monotonic() >= end:
                    self.pgconn.finish()  # an answer that comes later would be taken for that of another question
                    raise psycopg.OperationalError(f"no answer within {limit:.0f} seconds")
                wanted = gen.send(heard)
        except StopIteration as done:
            return done.value


def engine(url: URL, *, read_only: bool, busy_seconds: float) -> Engine:
    """An engine for a server; nothing is connected yet. Raises BadSetting for options nobody knows."""
    options = {name: value for name, value in url.query.items() if isinstance(value, str)}
    statement_seconds = _seconds(options.pop("statement_seconds", str(STATEMENT_SECONDS)))
    words = {**_TCP, "connect_timeout": str(CONNECT_SECONDS), "application_name": "lookalike", **options}
    port = None if url.port is None else str(url.port)
    parts = {"host": url.host, "port": port, "user": url.username, "password": url.password, "dbname": url.database}
    try:
        conninfo = make_conninfo(**words, **{name: value for name, value in parts.items() if value is not None})
    except psycopg.ProgrammingError as error:
        raise BadSetting(f"the catalog's URL cannot be used: {error}") from None

    def connect() -> Bounded:
        connection = Bounded.connect(conninfo)
        connection.patience = statement_seconds + GRACE_SECONDS
        return connection

    made = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        json_serializer=dumps,
        poolclass=QueuePool,
        pool_size=POOL,
        max_overflow=OVERFLOW,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=True,
        pool_use_lifo=True,
    )
    settings = _settings(read_only, busy_seconds, statement_seconds)

    @event.listens_for(made, "connect")
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

    return made


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
