"""The database of a catalog: opening and migrating it, transactions, retries after write conflicts, maintenance."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from lookalike.catalog import migrations, postgresql, sqlite
from lookalike.catalog.db_errors import WriteConflict, translate_errors
from lookalike.catalog.schema import MAX_PARTITIONS, FeatureKeeper, Options
from lookalike.errors import BadInput, BadSetting

T = TypeVar("T")
MAX_ATTEMPTS = 10
"""Attempts at a transaction that conflicts with other writers; at each conflict one of those writers has committed."""
MAX_BACKOFF_SECONDS = 0.01
"""The longest pause after the first conflict; it grows with each attempt."""


class Database:
    """A SQLite file or PostgreSQL database that holds a catalog. Messages show its `location`, without a password."""

    def __init__(self, engine: Engine, location: str, *, read_only: bool) -> None:
        self.engine = engine
        self.location = location
        self.read_only = read_only
        self._closed = False
        self._writer = threading.Lock()
        # All statements of a reading transaction see the same snapshot; SQLite's always do.
        level = {"isolation_level": "REPEATABLE READ"} if self.is_postgresql else {}
        self._readers = engine.execution_options(**level)
        self._writers = engine.execution_options(**{sqlite.WRITING: True})

    @classmethod
    def open(cls, target: str | Path, *, create: bool, read_only: bool, busy_seconds: float) -> Self:
        """Open a file or URL as `Catalog.open` says."""
        if create and read_only:
            raise BadInput("a catalog is created or opened read-only, not both")
        url, requested = _take_options(_parse_url(target))
        engine = _create_engine(url, create=create, read_only=read_only, busy_seconds=busy_seconds)
        database = cls(engine, redacted_url(target), read_only=read_only)
        try:
            migrations.set_up(database, requested, create=create)
        except BaseException:
            engine.dispose()
            raise
        return database

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is a PostgreSQL server, otherwise a SQLite file."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads; it sees one snapshot and waits for no writer."""
        self.check_open()
        with translate_errors(self.location), self._readers.connect() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, durable when the block ends; raises BadInput where opened read-only."""
        self.check_open()
        if self.read_only:
            raise BadInput(f"the catalog {self.location} was opened read-only")
        # Threads queue for the file, more fairly than the database's busy waiting; a server orders writers itself.
        queue = nullcontext() if self.is_postgresql else self._writer
        with queue, translate_errors(self.location), self.connect_writer() as conn, conn.begin() as transaction:
            yield conn
            with translate_errors(self.location, committing=True):
                transaction.commit()

    def write_with_retry(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that writes, and retry it with backoff after a WriteConflict."""
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                with self.write() as conn:
                    return work(conn)
            except WriteConflict:
                time.sleep(random.uniform(0, MAX_BACKOFF_SECONDS * attempt))
        with self.write() as conn:
            return work(conn)

    def connect_writer(self) -> Connection:
        """A connection for writing of which the caller controls transactions and error translation."""
        return self._writers.connect()

    def check_open(self) -> None:
        """Raise BadInput after `close`."""
        if self._closed:
            raise BadInput(f"the catalog {self.location} is closed")

    def checkpoint(self) -> None:
        """Move SQLite's write-ahead log into the file and empty it; PostgreSQL does so by itself."""
        self.check_open()
        if not self.is_postgresql:
            self._run_outside_transaction("PRAGMA wal_checkpoint(TRUNCATE)")

    def vacuum(self) -> None:
        """Return the space of deleted rows to the file system."""
        self.check_open()
        self._run_outside_transaction("VACUUM")

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self._closed = True
        self.engine.dispose()

    def _run_outside_transaction(self, statement: str) -> None:
        level = {"isolation_level": "AUTOCOMMIT"} if self.is_postgresql else {}
        with (
            self._writer,
            translate_errors(self.location),
            self.engine.connect().execution_options(**{sqlite.AUTOCOMMIT: True}, **level) as conn,
            postgresql.without_statement_timeout(conn),
        ):
            conn.exec_driver_sql(statement)


class Repository:
    """Base of what reads and writes one kind of rows."""

    def __init__(self, database: Database) -> None:
        self._database = database


def redacted_url(target: str | Path) -> str:
    """The target as messages may show it: without a password."""
    url = _parse_url(target)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)  # options may hold secrets too


def _parse_url(target: str | Path) -> URL:
    if isinstance(target, Path) or "://" not in target:
        return URL.create("sqlite", database=str(target))
    try:
        return make_url(target)
    except (ArgumentError, ValueError):  # the second for a port that is no number
        raise BadSetting("the catalog's URL is invalid; write postgresql://user@host/name") from None


def _create_engine(url: URL, *, create: bool, read_only: bool, busy_seconds: float) -> Engine:
    """An engine that has connected to nothing yet; raises NotFound for a missing file, BadSetting for another kind."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return sqlite.create_sqlite_engine(url, create=create, read_only=read_only, busy_seconds=busy_seconds)
    if backend == "postgresql":
        return postgresql.create_postgresql_engine(url, read_only=read_only, busy_seconds=busy_seconds)
    raise BadSetting(f"a catalog is a file, sqlite:///... or postgresql://..., not {backend!r}")


def _take_options(url: URL) -> tuple[URL, Options]:
    """The URL without the catalog's own options, and these; raises BadSetting."""
    for name in ("partitions", "features"):
        if isinstance(url.query.get(name), tuple):
            raise BadSetting(f"{name} is given twice in the catalog's URL")
    query: Mapping[str, Any] = url.query
    partitions, features = query.get("partitions"), query.get("features")
    if partitions is not None and not (partitions.isascii() and partitions.isdigit() and len(partitions) < 5):
        raise BadSetting(f"partitions in the catalog's URL is a number, not {partitions!r}")
    if features is not None and features not in get_args(FeatureKeeper):
        raise BadSetting(f"features in the catalog's URL is catalog or engine, not {features!r}")
    options = Options(None if partitions is None else int(partitions), features)
    number = options.partitions or 0
    if number > MAX_PARTITIONS or number == 1:
        raise BadSetting(f"partitions is a number from 2 to {MAX_PARTITIONS}, or 0 for none, not {number}")
    if number and url.get_backend_name() != "postgresql":
        raise BadSetting("only a catalog in PostgreSQL can be partitioned; leave partitions out")
    return url.difference_update_query(["partitions", "features"]), options
