"""The room of the catalog for claims: which process brings an index on a server up to date, and how far it came."""

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
from sqlalchemy.dialects.postgresql import insert as insert_or

from lookalike.catalog.database import Database
from lookalike.catalog.db_errors import translate_errors
from lookalike.catalog.schema import claims, followers
from lookalike.errors import Unavailable
from lookalike.text import check_text

LEASE_TIMEOUT = 900
"""A holder that says nothing for so long is taken for frozen: the server frees its claim, and it notes nothing more."""
LEASE_RENEWAL = 600.0
"""A transaction that is open for so long is ended and begun anew: an old one keeps the server from clearing up."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an index was brought, by which process (host, process id, claim), and when it last said so."""

    applied: int
    worker: str | None
    at: float | None


class IndexLease:
    """The right to apply changes to one index, held by one process at a time."""

    def __init__(self, catalog: Database, name: str, held: Connection | None) -> None:
        self._catalog = catalog
        self._name = name
        self._held = held
        self._began = time.monotonic()
        self._worker = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._applied = 0
        self._one = threading.Lock()

    @property
    def applied(self) -> int:
        """The sequence number noted last, by whoever had the claim."""
        return self._applied

    def note(self, applied: int) -> None:
        """Say how far the index was brought, for others to see; raises Unavailable if the claim was lost meanwhile."""
        with self._one:
            self._check_held()
            mine = (followers.c.name == self._name) & (followers.c.worker == self._worker)
            with self._catalog._write() as conn:
                done = conn.execute(update(followers).where(mine).values(applied=applied, at=time.time())).rowcount
            if done != 1:
                raise self._lost("another process has it")
            self._applied = applied

    def _sign(self) -> None:
        """Take over the row of the index; who had the claim before can note nothing more."""
        with self._catalog._write() as conn:
            row = conn.execute(select(followers.c.applied).where(followers.c.name == self._name)).one_or_none()
            values = {"worker": self._worker, "at": time.time()}
            change: Executable = update(followers).where(followers.c.name == self._name).values(values)
            if row is None:
                change = insert(followers).values(name=self._name, applied=0, **values)
            conn.execute(change)
        self._applied = 0 if row is None else int(row.applied)

    def _check_held(self) -> None:
        if self._held is None:
            return
        try:
            with translate_errors(self._catalog._where):
                self._held.execute(text("SELECT 1"))
                if time.monotonic() - self._began > LEASE_RENEWAL:
                    self._held.rollback()
                    if not _lock(self._held, self._name):
                        raise self._lost("another process has it")
                    self._began = time.monotonic()
        except Unavailable as error:
            raise self._lost(str(error)) from error

    def _lost(self, why: str) -> Unavailable:
        return Unavailable(f"the claim on the index {self._name} was lost ({why}); what it noted last is kept")


def _lock(held: Connection, name: str) -> bool:
    """Begin a transaction that holds the row of a claim; False where another one does."""
    held.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{LEASE_TIMEOUT}s'"))
    row = select(claims.c.name).where(claims.c.name == name).with_for_update(skip_locked=True)
    return held.execute(row).one_or_none() is not None


class Leases(Database):
    """Claims on indexes, and the progress that their holders note."""

    @contextmanager
    def lease(self, name: str) -> Iterator[IndexLease | None]:
        """The right to bring an index up to date, for the block; None where another process, or thread, has it.

        On a server it is a locked row, held by a connection of its own: the server frees it when the process dies. On
        a file it is a lock on a file beside it.
        """
        check_text("index", name)
        holder = self._lease_row(name) if self._engine.dialect.name == "postgresql" else self._lease_file(name)
        with holder as claim:
            if claim is not None:
                claim._sign()
            yield claim

    @contextmanager
    def _lease_row(self, name: str) -> Iterator[IndexLease | None]:
        with translate_errors(self._where):
            held = self._lease_connection(name)
        try:
            with translate_errors(self._where):
                got = _lock(held, name)
            yield IndexLease(self, name, held) if got else None
        finally:
            with translate_errors(self._where):
                held.close()

    def _lease_connection(self, name: str) -> Connection:
        with self._read() as conn:
            known = conn.execute(select(claims.c.name).where(claims.c.name == name)).one_or_none()
        if known is None:
            with self._write() as conn:
                conn.execute(insert_or(claims).values(name=name).on_conflict_do_nothing())
        return self._writes.connect()

    @contextmanager
    def _lease_file(self, name: str) -> Iterator[IndexLease | None]:
        self._check_open()
        short = hashlib.sha256(name.encode()).hexdigest()[:16]  # the name may hold what no file name may
        lock = FileLock(f"{self._where}.{short}.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield None
            return
        try:
            yield IndexLease(self, name, None)
        finally:
            lock.release()

    def index_progress(self) -> dict[str, Progress]:
        """How far the indexes on servers were brought, by name."""
        with self._read() as conn:
            rows = conn.execute(select(followers)).all()
        return {row.name: Progress(int(row.applied), row.worker, row.at) for row in rows}
