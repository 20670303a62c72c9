"""The room of the catalog for jobs: long work that is queued, claimed by one server process, watched and cancelled."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lookalike.catalog.database import Database, check_limit
from lookalike.catalog.schema import jobs
from lookalike.catalog.writing import lock
from lookalike.errors import NotFound, Unavailable
from lookalike.text import check_text, storable

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
STALE_SECONDS = 60.0
"""A running job that was not heard of for so long lost its process (clocks of servers must agree that well)."""
MAX_ATTEMPTS = 3
"""Times a job is begun: one that takes its process down each time is not tried for ever."""
MAX_QUEUED = 100
"""Jobs of one tenant that may wait or run at the same time."""
KEPT_SECONDS = 30 * 86400.0
"""How long a job is kept after its end."""


@dataclass(frozen=True, slots=True)
class Job:
    """Long work and how it stands.

    `request` is what was asked; `progress` a JSON object that its runner writes; `attempts` how often it was begun.
    Times are seconds since 1970, UTC.
    """

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
        """How often a process has begun it."""
        return int(self.progress.get("attempts", 0))


class Jobs(Database):
    """Jobs of all tenants; every method is one transaction."""

    def add_job(self, tenant: str, kind: str, request: Mapping[str, Any]) -> Job:
        """Queue a job; raises Unavailable where the tenant has `MAX_QUEUED` unfinished ones.

        Jobs that ended `KEPT_SECONDS` ago are forgotten on this occasion.
        """
        check_text("tenant", tenant)
        now = time.time()
        job = Job(uuid.uuid4().hex, tenant, kind, "queued", request, {}, None, now, now)
        with self._write() as conn:
            ended = jobs.c.state.not_in(("queued", "running"))
            conn.execute(delete(jobs).where(ended, jobs.c.updated < now - KEPT_SECONDS))
            lock(conn)  # of two that queue the last one at once, one must wait to see it
            unfinished = select(func.count()).select_from(jobs).where(jobs.c.tenant == tenant, ~ended)
            if conn.execute(unfinished).scalar_one() >= MAX_QUEUED:
                raise Unavailable(
                    f"{MAX_QUEUED} jobs are waiting already, the most there may be; wait, or cancel some",
                    retry_after=30.0,
                )
            conn.execute(
                insert(jobs).values(
                    id=job.id,
                    tenant=tenant,
                    kind=kind,
                    state=job.state,
                    request=dict(request),
                    progress={},
                    worker=None,
                    created=now,
                    updated=now,
                )
            )
        return job

    def job(self, tenant: str, id_: str) -> Job:
        """A job of this tenant; raises NotFound."""
        with self._read() as conn:
            return _found(conn, tenant, id_)

    def list_jobs(self, tenant: str, *, limit: int = 100, before: tuple[float, str] | None = None) -> list[Job]:
        """Jobs of a tenant, the newest first; `before` is the creation time and id of the last one seen."""
        check_limit(limit)
        if not storable(tenant):
            return []
        query = select(jobs).where(jobs.c.tenant == tenant)
        if before is not None:
            at, id_ = before
            query = query.where((jobs.c.created < at) | ((jobs.c.created == at) & (jobs.c.id < id_)))
        with self._read() as conn:
            rows = conn.execute(query.order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)).all()
        return [_job(row) for row in rows]

    def claim_job(self, worker: str) -> Job | None:
        """The oldest job that waits, or whose process is gone, now running for `worker`; None where there is none.

        A job that was begun `MAX_ATTEMPTS` times fails here instead of being begun again.
        """
        now = time.time()
        lost = (jobs.c.state == "running") & (jobs.c.updated < now - STALE_SECONDS)
        query = select(jobs).where((jobs.c.state == "queued") | lost).order_by(jobs.c.created, jobs.c.id).limit(1)
        with self._read() as conn:
            if conn.execute(query).one_or_none() is None:
                return None  # looking costs no other writer anything
        with self._write() as conn:
            while (row := conn.execute(query.with_for_update(skip_locked=True)).one_or_none()) is not None:
                job = _job(row)
                progress = {**job.progress, "attempts": job.attempts + 1}
                state: JobState = "running"
                if job.attempts >= MAX_ATTEMPTS:
                    state = "failed"
                    progress = {**job.progress, "error": f"its server process ended {MAX_ATTEMPTS} times while at it"}
                changed = {"state": state, "progress": progress, "worker": worker, "updated": now}
                conn.execute(update(jobs).where(jobs.c.id == job.id).values(**changed))
                if state == "running":
                    return _job(conn.execute(select(jobs).where(jobs.c.id == job.id)).one())
        return None

    def update_job(self, id_: str, worker: str, progress: Mapping[str, Any], *, state: JobState = "running") -> bool:
        """Write how a job stands, or that it ended; False where it is no longer this worker's (cancelled, taken up)."""
        with self._write() as conn:
            mine = (jobs.c.id == id_) & (jobs.c.worker == worker) & (jobs.c.state == "running")
            values = {"progress": dict(progress), "state": state, "updated": time.time()}
            return conn.execute(update(jobs).where(mine).values(**values)).rowcount == 1

    def release_job(self, id_: str, worker: str) -> None:
        """Put a job back into the queue, as a process that is stopping does; this was no attempt."""
        with self._write() as conn:
            mine = (jobs.c.id == id_) & (jobs.c.worker == worker) & (jobs.c.state == "running")
            row = conn.execute(select(jobs).where(mine)).one_or_none()
            if row is not None:
                progress = {**row.progress, "attempts": max(_job(row).attempts - 1, 0)}
                values = {"state": "queued", "worker": None, "progress": progress, "updated": time.time()}
                conn.execute(update(jobs).where(mine).values(**values))

    def cancel_job(self, tenant: str, id_: str) -> Job:
        """Cancel a job; one that has ended stays as it is. Its runner stops at its next step. Raises NotFound."""
        with self._write() as conn:
            unfinished = (jobs.c.id == id_) & (jobs.c.tenant == tenant) & jobs.c.state.in_(("queued", "running"))
            if storable(tenant) and storable(id_):
                conn.execute(update(jobs).where(unfinished).values(state="cancelled", updated=time.time()))
            return _found(conn, tenant, id_)

    def count_jobs(self) -> dict[str, int]:
        """How many jobs there are by state, of all tenants."""
        with self._read() as conn:
            rows = conn.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
        return {str(state): int(n) for state, n in rows}


def _found(conn: Connection, tenant: str, id_: str) -> Job:
    row = None
    if storable(tenant) and storable(id_):
        row = conn.execute(select(jobs).where(jobs.c.id == id_, jobs.c.tenant == tenant)).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {id_!r}")
    return _job(row)


def _job(row: Row[Any]) -> Job:
    return Job(row.id, row.tenant, row.kind, row.state, row.request, row.progress, row.worker, row.created, row.updated)
