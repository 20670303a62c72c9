"""The room of the catalog where small images are kept: of those that came as bytes, and have no file to look at."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select

from lookalike.catalog import reading
from lookalike.catalog.database import Database
from lookalike.catalog.dialect import insert_rows
from lookalike.catalog.schema import thumbnails
from lookalike.errors import NotFound
from lookalike.types import Record


class Thumbnails(Database):
    """Looking small images up; they are written with their images, and leave with them."""

    def with_thumbnail(self, tenant_id: int, key: str) -> tuple[Record, bytes | None]:
        """An image and its thumbnail, None where none is kept; raises NotFound for an unknown key."""
        with self._read() as conn:
            record = reading.record(conn, tenant_id, key)
            if record is None:
                raise NotFound(f"there is no image {key!r}")
            query = select(thumbnails.c.data).where(thumbnails.c.image_id == record.id)
            return record, conn.execute(query).scalar_one_or_none()


def replace(conn: Connection, stale: Iterable[int], new: Sequence[tuple[int, bytes]]) -> None:
    """Forget the thumbnails of images whose bytes have changed, and keep these (id, data) instead of any before."""
    for some in reading.batches({*stale, *(id_ for id_, _ in new)}):
        conn.execute(delete(thumbnails).where(thumbnails.c.image_id.in_(some)))
    insert_rows(conn, thumbnails, [{"image_id": id_, "data": data} for id_, data in new])
