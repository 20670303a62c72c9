"""Verification records of images: bytes that the catalog stores and does not interpret."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from lookalike.catalog.database import Repository
from lookalike.catalog.records import RecordTotals, check_limit
from lookalike.catalog.schema import images, verification_records
from lookalike.catalog.statements import RECORD, batches, insert_rows, lock_images, rows_in, to_record
from lookalike.types import Record

DELETE_BATCH = 1024
"""Records that one transaction deletes where all are deleted."""

_TABLE = verification_records
_OF_IMAGE = select(_TABLE.c.data).where(_TABLE.c.image_id == bindparam("id"))


class VerificationRecordRepository(Repository):
    """The verification record of each image that has one; it leaves with its image, and with the image's bytes."""

    def get(self, image_id: int) -> bytes | None:
        """The record of an image, None where there is none."""
        with self._database.read() as conn:
            return conn.execute(_OF_IMAGE, {"id": image_id}).scalar_one_or_none()

    def present(self, ids: Iterable[int]) -> set[int]:
        """Those of these images that have a record."""
        with self._database.read() as conn:
            return {row.image_id for row in rows_in(conn, select(_TABLE.c.image_id), _TABLE.c.image_id, ids)}

    def totals(self) -> RecordTotals:
        """The number of records, and of their bytes, of all tenants."""
        query = select(func.count(), func.coalesce(func.sum(_TABLE.c.nbytes), 0))
        with self._database.read() as conn:
            number, nbytes = conn.execute(query).one()
            return RecordTotals(int(number), int(nbytes))

    def page(self, *, after_id: int = 0, limit: int = 256) -> list[tuple[Record, bytes | None]]:
        """Images of all tenants after this id that have a file, each with its record, by id."""
        check_limit(limit)
        query: Any = RECORD.add_columns(_TABLE.c.data)
        query = query.outerjoin(_TABLE, _TABLE.c.image_id == images.c.id)
        query = query.where(images.c.id > after_id, images.c.path.is_not(None)).order_by(images.c.id).limit(limit)
        with self._database.read() as conn:
            return [(to_record(row[:-1]), row[-1]) for row in conn.execute(query)]

    def put(self, new: Sequence[tuple[int, bytes, bytes]]) -> int:
        """Store or replace records, each as image id, SHA-256 of the image's bytes, and record; returns their number.

        An image that is gone, or has other bytes meanwhile, is skipped.
        """

        def work(conn: Connection) -> int:
            locked = lock_images(conn, [id_ for id_, _, _ in new])
            current = {id_: data for id_, sha256, data in new if id_ in locked and locked[id_].sha256 == sha256}
            replace_records(conn, (), current)
            return len(current)

        return self._database.write_with_retry(work) if new else 0

    def delete_all(self) -> int:
        """Delete the records of all images, in several transactions; returns their number."""
        number = 0
        while deleted := self._database.write_with_retry(_delete_batch):
            number += deleted
        return number


def replace_records(conn: Connection, changed: Iterable[int], new: Mapping[int, bytes | None]) -> None:
    """Delete the records of images whose bytes have changed, and store the new ones by image id, where not None."""
    stored = {id_: data for id_, data in new.items() if data is not None}
    for batch in batches({*changed, *stored}):
        conn.execute(delete(_TABLE).where(_TABLE.c.image_id.in_(batch)))
    rows = [{"image_id": id_, "nbytes": len(data), "data": data} for id_, data in stored.items()]
    insert_rows(conn, _TABLE, rows)


def copy_records(conn: Connection, sources: Mapping[int, int]) -> None:
    """Give images the records of others with the same bytes, by image id, where those have one."""
    if not sources:
        return
    for batch in batches(sources):
        conn.execute(delete(_TABLE).where(_TABLE.c.image_id.in_(batch)))
    rows = select(bindparam("to"), _TABLE.c.nbytes, _TABLE.c.data).where(_TABLE.c.image_id == bindparam("source"))
    values = [{"to": to, "source": source} for to, source in sources.items()]
    conn.execute(insert(_TABLE).from_select(["image_id", "nbytes", "data"], rows), values)


def count_of_wrong_size(conn: Connection) -> int:
    """The number of records that have another size than is stored with them."""
    wrong = select(func.count()).select_from(_TABLE).where(func.length(_TABLE.c.data) != _TABLE.c.nbytes)
    return int(conn.execute(wrong).scalar_one())


def _delete_batch(conn: Connection) -> int:
    first = select(_TABLE.c.image_id).order_by(_TABLE.c.image_id).limit(DELETE_BATCH)
    return conn.execute(delete(_TABLE).where(_TABLE.c.image_id.in_(first.scalar_subquery()))).rowcount
