"""Images by the paths of their files."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, select

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import PATHS, images
from lookalike.catalog.statements import rows_in
from lookalike.text import storable

PAGE_SIZE = 1000
"""Files read with one query."""


class StoredFile(NamedTuple):
    """An image by its file: where the file was, its size and modification time, and the image's last change."""

    id: int
    key: str
    path: str
    nbytes: int
    mtime_ns: int | None
    sequence: int
    etag: str | None = None


_I = images.c
_STORED_FILE = select(_I.id, _I.key, _I.path, _I.nbytes, _I.mtime_ns, _I.seq, _I.etag)
"""The columns of `StoredFile`."""


class FilePathRepository(Repository):
    """Images of a tenant by path."""

    def keys_of(self, tenant_id: int, paths: Iterable[str]) -> dict[str, str]:
        """The keys of the images of these files, by path; of several images of one file that of the lowest id."""
        found: dict[str, str] = {}
        with self._database.read() as conn:
            column: Any = path_column(conn)
            query = select(images.c.path, images.c.key).where(images.c.tenant_id == tenant_id).order_by(images.c.id)
            for path, key in rows_in(conn, query, column, filter(storable, dict.fromkeys(paths))):
                found.setdefault(path, key)
        return found

    def at_or_below(self, tenant_id: int, path: str) -> Iterator[StoredFile]:
        """The images of a file, or of those below a folder."""
        if not storable(path):
            return
        with self._database.read() as conn:
            query = _STORED_FILE.where(images.c.tenant_id == tenant_id, path_column(conn) == path)
            rows = conn.execute(query.order_by(images.c.id)).all()
        yield from (StoredFile(*row) for row in rows)
        yield from self.below(tenant_id, path)

    def below(self, tenant_id: int, folder: str | None) -> Iterator[StoredFile]:
        """The images whose files are below a folder, or have a path at all, in the order of their paths."""
        i = images.c
        after: tuple[str, int] | None = None
        while True:
            with self._database.read() as conn:
                column = path_column(conn)
                conditions = below(conn, tenant_id, folder)
                if after is not None:
                    conditions += [column >= after[0], (column > after[0]) | (i.id > after[1])]
                query = _STORED_FILE.where(*conditions).order_by(column, i.id).limit(PAGE_SIZE)
                rows = conn.execute(query).all()
            page = [StoredFile(*row) for row in rows]
            yield from page
            if len(page) < PAGE_SIZE:
                return
            after = (page[-1].path, page[-1].id)


def path_column(conn: Connection) -> ColumnElement[str]:
    """The column of paths as the index orders it."""
    return PATHS if conn.dialect.name == "postgresql" else images.c.path


def below(conn: Connection, tenant_id: int, folder: str | None) -> list[ColumnElement[bool]]:
    """The conditions of a tenant's images whose files are below a folder; None is every image with a path."""
    conditions: list[ColumnElement[bool]] = [images.c.tenant_id == tenant_id, images.c.path.is_not(None)]
    if folder is not None:
        column, start = path_column(conn), folder.rstrip("/")
        conditions += [column >= f"{start}/", column < f"{start}0"]  # "0" follows "/" by code point
    return conditions
