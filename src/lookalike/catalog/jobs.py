"""Jobs: long-running work that is queued, run by one server process, watched and cancelled."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from lookalike.catalog.database import Repository
from lookalike.catalog.records import check_limit
from lookalike.catalog.schema import jobs
from lookalike.catalog.statements import lock_state
from lookalike.errors import NotFound, Unavailable
from lookalike.text import check_text, storable

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
STALE_SECONDS = 60.0
"""A running job that was not updated for so long has lost its process (servers' clocks must agree that well)."""
MAX_ATTEMPTS = 3
"""Times a job is started: one that takes its process down each time is not retried for ever."""
MAX_QUEUED = 100
"""Unfinished jobs of one tenant."""
RETENTION_SECONDS = 30 * 86400.0
"""How long a finished job is kept."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job, as a row of `schema.jobs`; `progress` is written by its runner, times are seconds since 1970, UTC."""

    id: str
    tenant: str
    kind: str
    state: JobState
    request: Mapping[str, Any]
    progress: Mapping[str, Any]
    worker: str | None
    created: float
    updated: float

    @property
    def attempts(self) -> int:
        """How often a process has started it."""
        return int(self.progress.get("attempts", 0))


class JobRepository(Repository):
    """Jobs of all tenants; each method is one transaction."""

    def add(self, tenant: str, kind: str, request: Mapping[str, Any]) -> Job:
        """Queue a job, and delete old ones; raises Unavailable where the tenant has `MAX_QUEUED` unfinished jobs."""
        check_text("tenant", tenant)
        now = time.time()
        job = Job(uuid.uuid4().hex, tenant, kind, "queued", dict(request), {}, None, now, now)
        with self._database.write() as conn:
            finished = jobs.c.state.not_in(("queued", "running"))
            conn.execute(delete(jobs).where(finished, jobs.c.updated < now - RETENTION_SECONDS))
            lock_state(conn)  # of two writers that add the last one at once, one must wait to see the other's
            unfinished = select(func.count()).select_from(jobs).where(jobs.c.tenant == tenant, ~finished)
            if conn.execute(unfinished).scalar_one() >= MAX_QUEUED:
                raise Unavailable(
                    f"{MAX_QUEUED} jobs are unfinished, which is the limit of a tenant; wait, or cancel some",
                    retry_after=30.0,
                )
            conn.execute(insert(jobs).values(asdict(job)))
        return job

    def get(self, tenant: str, id_: str) -> Job:
        """A job of a tenant; raises NotFound where it has no such job."""
        with self._database.read() as conn:
            return _find(conn, tenant, id_)

    def list_page(self, tenant: str, *, limit: int = 100, before: tuple[float, str] | None = None) -> list[Job]:
        """A page of a tenant's jobs, the newest first; `before` is creation time and id of the last one seen."""
        check_limit(limit)
        if not storable(tenant):
            return []
        query = select(jobs).where(jobs.c.tenant == tenant)
        if before is not None:
            created, id_ = before
            query = query.where((jobs.c.created < created) | ((jobs.c.created == created) & (jobs.c.id < id_)))
        with self._database.read() as conn:
            query = query.order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)
            return [Job(*row) for row in conn.execute(query)]

    def start_next(self, worker: str) -> Job | None:
        """Start the oldest job that is queued, or that has lost its process; None where there is none.

        A job that was started `MAX_ATTEMPTS` times fails here instead of being started again.
        """
        now = time.time()
        lost = (jobs.c.state == "running") & (jobs.c.updated < now - STALE_SECONDS)
        query = select(jobs).where((jobs.c.state == "queued") | lost).order_by(jobs.c.created, jobs.c.id).limit(1)
        with self._database.read() as conn:
            if conn.execute(query).one_or_none() is None:
                return None  # a read blocks no writer
        with self._database.write() as conn:
            while (row := conn.execute(query.with_for_update(skip_locked=True)).one_or_none()) is not None:
                job = Job(*row)
                failed = job.attempts >= MAX_ATTEMPTS
                change: dict[str, Any] = {"attempts": job.attempts + 1}
                if failed:
                    change = {"error": f"its server process ended {MAX_ATTEMPTS} times while running it"}
                values = {"state": "failed" if failed else "running", "progress": {**job.progress, **change}}
                changed = update(jobs).where(jobs.c.id == job.id).values(**values, worker=worker, updated=now)
                started = conn.execute(changed.returning(jobs)).one()
                if not failed:
                    return Job(*started)
        return None

    def update(self, id_: str, worker: str, progress: Mapping[str, Any], *, state: JobState = "running") -> bool:
        """Store the progress of a running job, or its end; False where it was cancelled, or another worker has it."""
        with self._database.write() as conn:
            values = {"progress": dict(progress), "state": state, "updated": time.time()}
            return conn.execute(update(jobs).where(*_running(id_, worker)).values(**values)).rowcount == 1

    def requeue(self, id_: str, worker: str) -> None:
        """Put a running job back into the queue, as a process does that is stopping; not counted as an attempt."""
        with self._database.write() as conn:
            own = _running(id_, worker)
            row = conn.execute(select(jobs).where(*own)).one_or_none()
            if row is not None:
                progress = {**row.progress, "attempts": max(Job(*row).attempts - 1, 0)}
                values = {"state": "queued", "worker": None, "progress": progress, "updated": time.time()}
                conn.execute(update(jobs).where(*own).values(**values))

    def cancel(self, tenant: str, id_: str) -> Job:
        """Cancel a job; its runner stops at its next step, a finished one stays. Raises NotFound for an unknown id."""
        with self._database.write() as conn:
            unfinished = (jobs.c.id == id_) & (jobs.c.tenant == tenant) & jobs.c.state.in_(("queued", "running"))
            if storable(tenant) and storable(id_):
                conn.execute(update(jobs).where(unfinished).values(state="cancelled", updated=time.time()))
            return _find(conn, tenant, id_)

    def count_by_state(self) -> dict[str, int]:
        """The number of jobs of all tenants, by state."""
        with self._database.read() as conn:
            query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
            return {str(state): int(n) for state, n in conn.execute(query)}


def _find(conn: Connection, tenant: str, id_: str) -> Job:
    query = select(jobs).where(jobs.c.id == id_, jobs.c.tenant == tenant)
    row = conn.execute(query).one_or_none() if storable(tenant) and storable(id_) else None
    if row is None:
        raise NotFound(f"there is no job {id_!r}")
    return Job(*row)


def _running(id_: str, worker: str) -> tuple[ColumnElement[bool], ...]:
    return jobs.c.id == id_, jobs.c.worker == worker, jobs.c.state == "running"
