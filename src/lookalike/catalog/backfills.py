"""Backfills: which images still lack the features of a pipeline, who encodes which of them, and which cannot be."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from lookalike.catalog.database import Repository
from lookalike.catalog.features import is_missing
from lookalike.catalog.postgresql import without_timeouts
from lookalike.catalog.schema import backfill_failures, backfill_ranges, backfills, images
from lookalike.catalog.statements import insert_rows, last_id, lock_images, lock_state, spec_ids
from lookalike.results import BackfillFailure
from lookalike.types import FeatureSpec

RANGE_IDS = 2048
"""Ids of a range that a worker takes at once."""
LEASE_SECONDS = 60.0
"""Seconds for which a worker that gives no sign keeps its range. Two that encode an image at once do no harm."""


class IdRange(NamedTuple):
    """Ids from the first to the last one."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MissingFeatures:
    """Images of all tenants that have no features of a spec, and, of those, the failed ones by kind and format."""

    images: int
    failed: Mapping[BackfillFailure, Mapping[str, int]]

    @property
    def failures(self) -> int:
        """The number of failed images."""
        return sum(number for by_format in self.failed.values() for number in by_format.values())

    @property
    def to_do(self) -> int:
        """The number of images that a backfill has not tried, or could not reach."""
        return max(self.images - self.failures, 0)


class BackfillRepository(Repository):
    """Passes over the ids of images, cut into ranges that workers claim; each method is one transaction."""

    def start(self, pipeline: str, *, retry: bool = False) -> None:
        """Begin a pass from the first id, unless one is unfinished; `retry` also the images that failed."""
        with self._database.write() as conn:
            next_id = _lock(conn, pipeline)
            if retry:
                conn.execute(delete(backfill_failures).where(backfill_failures.c.pipeline == pipeline))
            unfinished = select(func.count()).select_from(backfill_ranges).where(backfill_ranges.c.pipeline == pipeline)
            if retry or (next_id > last_id(conn) and not conn.execute(unfinished).scalar_one()):
                conn.execute(update(backfills).where(backfills.c.pipeline == pipeline).values(next_id=1))

    def claim(self, pipeline: str, worker: str) -> IdRange | None:
        """Claim the next range, first one that another worker has left; None where every id was claimed."""
        r, now = backfill_ranges.c, time.time()
        expires = now + LEASE_SECONDS
        with self._database.write() as conn:
            next_id = _lock(conn, pipeline)
            left = select(r.first_id, r.last_id).where(r.pipeline == pipeline, r.expires < now).order_by(r.first_id)
            row = conn.execute(left.limit(1)).one_or_none()
            if row is not None:
                own = (r.pipeline == pipeline, r.first_id == row.first_id)
                conn.execute(update(backfill_ranges).where(*own).values(worker=worker, expires=expires))
                return IdRange(row.first_id, row.last_id)
            last = last_id(conn)
            if next_id > last:
                return None
            found = IdRange(next_id, min(next_id + RANGE_IDS - 1, last))
            values = {"pipeline": pipeline, "worker": worker, "expires": expires}
            conn.execute(insert(backfill_ranges).values(first_id=found.first, last_id=found.last, **values))
            conn.execute(update(backfills).where(backfills.c.pipeline == pipeline).values(next_id=found.last + 1))
            return found

    def renew(self, pipeline: str, worker: str, claimed: IdRange) -> bool:
        """Keep a range for another while; False where another worker has taken it over."""
        with self._database.write() as conn:
            held = update(backfill_ranges).where(*_own(pipeline, worker, claimed))
            return conn.execute(held.values(expires=time.time() + LEASE_SECONDS)).rowcount == 1

    def finish(self, pipeline: str, worker: str, claimed: IdRange) -> None:
        """Give back a range whose images were all tried."""
        with self._database.write() as conn:
            conn.execute(delete(backfill_ranges).where(*_own(pipeline, worker, claimed)))

    def release(self, pipeline: str, worker: str) -> None:
        """Leave the ranges of a worker that stops to others, at once."""
        r = backfill_ranges.c
        with self._database.write() as conn:
            conn.execute(update(backfill_ranges).where(r.pipeline == pipeline, r.worker == worker).values(expires=0))

    def claimed(self, pipeline: str) -> int:
        """The number of ranges that are claimed."""
        query = select(func.count()).select_from(backfill_ranges).where(backfill_ranges.c.pipeline == pipeline)
        with self._database.read() as conn:
            return int(conn.execute(query).scalar_one())

    def fail(self, pipeline: str, failed: Sequence[tuple[int, bytes, BackfillFailure, str]]) -> None:
        """Note the images that cannot be encoded: id, digest, kind, reason; those changed meanwhile are skipped."""

        def work(conn: Connection) -> None:
            locked = lock_images(conn, [id_ for id_, *_ in failed])
            rows = [
                {"image_id": id_, "pipeline": pipeline, "kind": kind, "reason": reason}
                for id_, sha256, kind, reason in failed
                if id_ in locked and locked[id_].sha256 == sha256
            ]
            f = backfill_failures.c
            known = [row["image_id"] for row in rows]
            conn.execute(delete(backfill_failures).where(f.pipeline == pipeline, f.image_id.in_(known)))
            insert_rows(conn, backfill_failures, rows)

        if failed:
            self._database.write_with_retry(work)

    def missing(self, pipeline: str, spec: FeatureSpec) -> MissingFeatures:
        """Count the images without features of a spec; takes time proportional to the gallery's size."""
        with self._database.read() as conn, without_timeouts(conn):
            lacking = is_missing(spec_ids(conn).get(spec))
            number = conn.execute(select(func.count()).select_from(images).where(*lacking)).scalar_one()
            return MissingFeatures(int(number), _failed(conn, pipeline, lacking))


def _failed(
    conn: Connection, pipeline: str, lacking: Sequence[ColumnElement[bool]]
) -> Mapping[BackfillFailure, Mapping[str, int]]:
    f = backfill_failures.c
    query = select(f.kind, images.c.format, func.count()).join(images, images.c.id == f.image_id)
    query = query.where(f.pipeline == pipeline, *lacking).group_by(f.kind, images.c.format)
    failed: dict[BackfillFailure, dict[str, int]] = {}
    for kind, format_, number in conn.execute(query.order_by(f.kind, images.c.format)):
        failed.setdefault(kind, {})[format_] = int(number)
    return failed


def _lock(conn: Connection, pipeline: str) -> int:
    """Lock the row of a backfill, which is made where there is none; its next id."""
    query = select(backfills.c.next_id).where(backfills.c.pipeline == pipeline).with_for_update()
    found = conn.execute(query).scalar_one_or_none()
    if found is None:
        lock_state(conn)  # of two first workers, one finds the row of the other
        found = conn.execute(query).scalar_one_or_none()
    if found is None:
        conn.execute(insert(backfills).values(pipeline=pipeline, next_id=1))
    return int(found or 1)


def _own(pipeline: str, worker: str, claimed: IdRange) -> tuple[ColumnElement[bool], ...]:
    r = backfill_ranges.c
    return r.pipeline == pipeline, r.first_id == claimed.first, r.worker == worker
