"""The connection to a catalog's database: opened, migrated, pooled, its errors translated; every room builds on it."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine

from lookalike.catalog import dialect, migrations, options
from lookalike.catalog.db_errors import WriteConflict, translate_errors
from lookalike.catalog.options import Options
from lookalike.catalog.schema import VERSION
from lookalike.errors import BadInput
from lookalike.types import FeatureSpec

T = TypeVar("T")
MAX_ATTEMPTS = 10
"""How often a change is tried where other writers get in its way; each time one of them has got on."""


class Database:
    """A database that holds a catalog. The rooms of `Catalog` are subclasses that add methods by subject.

    A method opens exactly one transaction, `with self._read() as conn` or `with self._write() as conn`, and calls
    functions that take the connection.
    """

    def __init__(self, engine: Engine, where: str, *, read_only: bool) -> None:
        self._engine = engine
        self._reads = dialect.reading(engine)
        self._writes = dialect.writing(engine)
        self._where = where
        self._read_only = read_only
        self._closed = False
        self._one_writer = threading.Lock()
        self._registered: frozenset[FeatureSpec] = frozenset()

    @classmethod
    def open(
        cls, target: str | Path, *, create: bool = False, read_only: bool = False, busy_seconds: float = 10.0
    ) -> Self:
        """Open a file or URL; `create` makes the catalog where there is none, an older schema is migrated.

        A URL may say how a catalog is to be made, or was: `?partitions=16`, `?features=engine` (see `options`).

        Raises NotFound where there is none, BadInput for another database or a newer schema, BadSetting for a URL
        that makes no sense, Damaged for a broken file.
        """
        if create and read_only:
            raise BadInput("a catalog is created or opened read-only, not both")
        engine = dialect.connect(target, create=create, read_only=read_only, busy_seconds=busy_seconds)
        where = dialect.redacted_url(target)
        catalog = cls(engine, where, read_only=read_only)
        try:
            catalog._set_up(dialect.options_of(target), create=create)
        except BaseException:
            engine.dispose()
            raise
        return catalog

    def _set_up(self, asked: Options, *, create: bool) -> None:
        with self._read() as conn:
            found = migrations.version_of(conn)
            if found == VERSION:
                options.check(conn, asked)
                return
        if self._read_only or (not create and found is None):
            migrations.check_version(found)
            return
        with self._write() as conn:
            dialect.lock_schema(conn)
            found = migrations.version_of(conn)  # another process may have been faster
            if found is None:
                migrations.create(conn, asked)
            else:
                migrations.migrate(conn, found)
            options.check(conn, asked)

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        self._closed = True
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({self._where!r})"

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        self._check_open()
        with translate_errors(self._where), self._reads.connect() as conn:
            yield conn

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._check_open()
        if self._read_only:
            raise BadInput(f"the catalog {self._where} was opened read-only")
        # Threads queue for the file, more fairly than the database's busy waiting; a server orders writers itself.
        queue = self._one_writer if self._engine.dialect.name == "sqlite" else nullcontext()
        with queue, translate_errors(self._where), self._writes.connect() as conn, conn.begin() as transaction:
            yield conn
            with translate_errors(self._where, committing=True):
                transaction.commit()

    def _change(self, work: Callable[[Connection], T]) -> T:
        """Do this in a transaction that writes; again where another writer got in its way."""
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                with self._write() as conn:
                    return work(conn)
            except WriteConflict:
                time.sleep(random.uniform(0, 0.01 * attempt))
        with self._write() as conn:
            return work(conn)

    def _check_open(self) -> None:
        if self._closed:
            raise BadInput(f"the catalog {self._where} is closed")


def check_limit(limit: int) -> None:
    """Raise BadInput for a page without room."""
    if limit < 1:
        raise BadInput(f"a limit of {limit} makes no sense; 1 is the least")
