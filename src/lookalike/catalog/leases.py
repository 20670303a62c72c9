"""Leases on indexes of servers: which process applies changes to an index, and how far it has come."""

import hashlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Executable, insert, select, text, update

from lookalike.catalog.database import Database, Repository
from lookalike.catalog.db_errors import translate_errors
from lookalike.catalog.schema import claims, followers
from lookalike.errors import Unavailable
from lookalike.text import check_text

LEASE_TIMEOUT = 900
"""Seconds after which the server takes a lease from a holder that sends nothing; it can record no progress any more."""
LEASE_RENEWAL = 600.0
"""Seconds after which the transaction that holds a lease is replaced by a new one: an old one blocks vacuuming."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The last change applied to an index: its sequence number, the process (host:process id:lease), the time."""

    applied: int
    worker: str | None
    at: float | None


class IndexLease:
    """The right to apply changes to one index, held by one process at a time."""

    def __init__(self, database: Database, name: str, held: Connection | None) -> None:
        self._database = database
        self._name = name
        self._held = held
        self._began = time.monotonic()
        self._worker = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._lock = threading.Lock()
        self.applied = self._take_over()  # the sequence number recorded last, by this or an earlier holder

    def record(self, applied: int) -> None:
        """Record how far the index has come, for others to see; raises Unavailable where the lease was lost."""
        with self._lock:
            self._check_held()
            own = (followers.c.name == self._name) & (followers.c.worker == self._worker)
            with self._database.write() as conn:
                updated = conn.execute(update(followers).where(own).values(applied=applied, at=time.time())).rowcount
            if updated != 1:
                raise self._lost("another process has it")
            self.applied = applied

    def _take_over(self) -> int:
        """Enter this worker in the row of the index, so that an earlier holder can record nothing any more."""
        with self._database.write() as conn:
            row = conn.execute(select(followers.c.applied).where(followers.c.name == self._name)).one_or_none()
            values = {"worker": self._worker, "at": time.time()}
            change: Executable = update(followers).where(followers.c.name == self._name).values(values)
            if row is None:
                change = insert(followers).values(name=self._name, applied=0, **values)
            conn.execute(change)
        return 0 if row is None else int(row.applied)

    def _check_held(self) -> None:
        if self._held is None:
            return
        try:
            with translate_errors(self._database.location):
                self._held.execute(text("SELECT 1"))
                if time.monotonic() - self._began > LEASE_RENEWAL:
                    self._held.rollback()
                    if not _lock_row(self._held, self._name):
                        raise self._lost("another process has it")
                    self._began = time.monotonic()
        except Unavailable as error:
            raise self._lost(str(error)) from error

    def _lost(self, why: str) -> Unavailable:
        return Unavailable(f"the lease on the index {self._name} was lost ({why}); its recorded progress is kept")


class LeaseRepository(Repository):
    """Leases on indexes, and the progress that their holders record."""

    @contextmanager
    def try_acquire(self, name: str) -> Iterator[IndexLease | None]:
        """Hold the lease on an index for the block; None where another process or thread holds it.

        In PostgreSQL it is a locked row, held by a connection of its own: the server frees it when the process dies.
        With SQLite it is a lock on a file beside the catalog's. Raises BadInput for a name that cannot be stored.
        """
        check_text("index", name)
        acquire = self._acquire_row if self._database.is_postgresql else self._acquire_file
        with acquire(name) as lease:
            yield lease

    @contextmanager
    def _acquire_row(self, name: str) -> Iterator[IndexLease | None]:
        location = self._database.location
        with translate_errors(location):
            with self._database.read() as conn:
                known = conn.execute(select(claims.c.name).where(claims.c.name == name)).one_or_none()
            if known is None:
                from sqlalchemy.dialects.postgresql import insert as insert_or_ignore  # noqa: PLC0415 - 0.05 s

                with self._database.write() as conn:
                    conn.execute(insert_or_ignore(claims).values(name=name).on_conflict_do_nothing())
            held = self._database.connect_writer()
        try:
            with translate_errors(location):
                acquired = _lock_row(held, name)
            yield IndexLease(self._database, name, held) if acquired else None
        finally:
            with translate_errors(location):
                held.close()

    @contextmanager
    def _acquire_file(self, name: str) -> Iterator[IndexLease | None]:
        self._database.check_open()
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]  # the name may hold what no file name may
        lock = FileLock(f"{self._database.location}.{digest}.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield None
            return
        try:
            yield IndexLease(self._database, name, None)
        finally:
            lock.release()

    def progress(self) -> dict[str, Progress]:
        """The progress of all indexes on servers, by name."""
        with self._database.read() as conn:
            rows = conn.execute(select(followers)).all()
        return {row.name: Progress(int(row.applied), row.worker, row.at) for row in rows}


def _lock_row(held: Connection, name: str) -> bool:
    """Begin a transaction that locks the row of a lease; False where another one has it locked."""
    held.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{LEASE_TIMEOUT}s'"))
    row = select(claims.c.name).where(claims.c.name == name).with_for_update(skip_locked=True)
    return held.execute(row).one_or_none() is not None
