"""The database of a catalog: transactions, retries after write conflicts, maintenance."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from sqlalchemy import Connection, Engine

from lookalike.catalog import postgresql, sqlite
from lookalike.catalog.db_errors import WriteConflict, translate_errors
from lookalike.errors import BadInput

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
