"""Where images came from: their files, the folders and archives that were added, and images that a person removed."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select, update

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import PATHS, archives, images, removals, roots
from lookalike.catalog.statements import batches, lock_state, rows_in
from lookalike.errors import BadInput
from lookalike.text import check_text, storable
from lookalike.types import FeatureSpec

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

    def below(self, tenant_id: int, folder: str | None, *, through: int | None = None) -> Iterator[StoredFile]:
        """The images whose files are below a folder, or have a path at all, in the order of their paths.

        Only those whose last change is one of those up to `through`, if that is given.
        """
        i = images.c
        after: tuple[str, int] | None = None
        while True:
            with self._database.read() as conn:
                column = path_column(conn)
                conditions = below(conn, tenant_id, folder)
                if through is not None:
                    conditions.append(i.seq <= through)
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


class Root(NamedTuple):
    """A folder that images were added from; its `name` begins the keys of its files, unless it is empty."""

    id: int
    name: str
    path: str

    @property
    def prefix(self) -> str:
        """What the keys of the folder's files begin with."""
        return f"{self.name}/" if self.name else ""


class RootRepository(Repository):
    """Folders by tenant. No two of a tenant have the same name."""

    def of_tenant(self, tenant_id: int | None) -> list[Root]:
        """The folders of a tenant, or of all, in the order in which they were added."""
        with self._database.read() as conn:
            return _roots(conn, tenant_id)

    def register(self, tenant_id: int, path: str, names: Sequence[str]) -> Root:
        """Remember a folder under the first of these names that is free, else with a number after the last of them.

        A name is free where no other folder has it and no key begins with it; the empty name where there is no other
        folder, and no image but those of files below this one. A folder that is known already is returned as it is.
        """
        check_text("path", path)

        def work(conn: Connection) -> Root:
            lock_state(conn)
            known = _roots(conn, tenant_id)
            for root in known:
                if root.path == path:
                    return root
            taken = {root.name for root in known}
            name = next((name for name in names if name not in taken and _is_free(conn, tenant_id, name, path)), None)
            number = 2
            while name is None:
                numbered = f"{names[-1]}-{number}"
                if numbered not in taken and _is_free(conn, tenant_id, numbered, path):
                    name = numbered
                number += 1
            values = {"tenant_id": tenant_id, "name": name, "path": path}
            id_ = conn.execute(insert(roots).values(values).returning(roots.c.id)).scalar_one()
            return Root(int(id_), name, path)

        return self._database.write_with_retry(work)

    def move(self, tenant_id: int, root: Root, path: str) -> None:
        """Note that a folder, with all files that were added from it, is at another path now."""
        check_text("path", path)

        def work(conn: Connection) -> None:
            lock_state(conn)
            if any(other.path == path for other in _roots(conn, tenant_id)):
                raise BadInput(f"{path} is a folder of the gallery already")
            conn.execute(update(roots).where(roots.c.id == root.id).values(path=path))
            moved = path + func.substr(images.c.path, len(root.path) + 1)
            conn.execute(update(images).where(*below(conn, tenant_id, root.path)).values(path=moved))

        self._database.write_with_retry(work)

    def forget(self, root: Root) -> None:
        """Remove a folder of which no image is left."""
        with self._database.write() as conn:
            conn.execute(roots.delete().where(roots.c.id == root.id))


def _roots(conn: Connection, tenant_id: int | None) -> list[Root]:
    query = select(roots.c.id, roots.c.name, roots.c.path).order_by(roots.c.id)
    if tenant_id is not None:
        query = query.where(roots.c.tenant_id == tenant_id)
    return [Root(*row) for row in conn.execute(query)]


def _is_free(conn: Connection, tenant_id: int, name: str, path: str) -> bool:
    """Whether keys of a folder's files may begin with this name."""
    query = select(images.c.id).where(images.c.tenant_id == tenant_id).limit(1)
    if not name:
        if conn.execute(select(roots.c.id).where(roots.c.tenant_id == tenant_id).limit(1)).first() is not None:
            return False
        start = path.rstrip("/") + "/"
        outside = images.c.path.is_(None) | (func.substr(images.c.path, 1, len(start)) != start)
        return conn.execute(query.where(outside)).first() is None
    # "0" follows "/" by code point. Uploaded images may have these keys: they are of the same folder, sent by a page.
    query = query.where(images.c.key >= f"{name}/", images.c.key < f"{name}0", images.c.path.is_not(None))
    return conn.execute(query).first() is None


def root_of(roots: Sequence[Root], path: str) -> Root | None:
    """The innermost of these folders that is, or holds, a path."""
    holding = [root for root in roots if path == root.path or path.startswith(root.path.rstrip("/") + "/")]
    return max(holding, key=lambda root: len(root.path), default=None)


class AddedArchive(NamedTuple):
    """An archive as it was added: what it was encoded for, and how many of its members are images and were rejected."""

    etag: str
    nbytes: int
    encoded: frozenset[str]
    images: int
    rejected: int

    def is_encoded_for(self, specs: Iterable[FeatureSpec]) -> bool:
        """Whether its images have the features of all these specs, or none that could be made."""
        return self.encoded >= encoded_for(specs)


class ArchiveRepository(Repository):
    """Archives by tenant and URL."""

    def get(self, tenant_id: int, url: str) -> AddedArchive | None:
        """The archive of a URL, None where it was not added as a whole."""
        a = archives.c
        query = select(a.etag, a.nbytes, a.encoded, a.images, a.rejected)
        query = query.where(a.tenant_id == tenant_id, a.url == url)
        with self._database.read() as conn:
            row = conn.execute(query).one_or_none()
        return None if row is None else AddedArchive(row[0], row[1], frozenset(row[2]), row[3], row[4])

    def put(self, tenant_id: int, url: str, added: AddedArchive) -> None:
        """Note that all members of an archive were added."""
        check_text("URL", url)
        values = {**added._asdict(), "encoded": sorted(added.encoded)}
        with self._database.write() as conn:
            lock_state(conn)
            conn.execute(delete(archives).where(archives.c.tenant_id == tenant_id, archives.c.url == url))
            conn.execute(insert(archives).values(tenant_id=tenant_id, url=url, **values))


def encoded_for(specs: Iterable[FeatureSpec]) -> frozenset[str]:
    """What identifies the features of these specs."""
    return frozenset(f"{spec.name} {spec.fingerprint}" for spec in specs)


class Removal(NamedTuple):
    """A removed image: the digest, size and modification time of its file, and when it was removed."""

    sha256: bytes
    nbytes: int
    mtime_ns: int | None
    at: float


class RemovalRepository(Repository):
    """Removed images by tenant and key."""

    def any(self, tenant_id: int) -> bool:
        """Whether a tenant has any."""
        with self._database.read() as conn:
            query = select(literal(1)).select_from(removals).where(removals.c.tenant_id == tenant_id).limit(1)
            return conn.execute(query).first() is not None

    def by_keys(self, tenant_id: int, keys: Iterable[str]) -> dict[str, Removal]:
        """The removed images of these keys."""
        r = removals.c
        query = select(r.key, r.sha256, r.nbytes, r.mtime_ns, r.at).where(r.tenant_id == tenant_id)
        with self._database.read() as conn:
            found = rows_in(conn, query, r.key, filter(storable, dict.fromkeys(keys)))
            return {key: Removal(*rest) for key, *rest in found}

    def forget(self, tenant_id: int, keys: Iterable[str]) -> None:
        """Forget removals, because the images were added again."""
        with self._database.write() as conn:
            _delete(conn, tenant_id, list(keys))


def remember_removals(conn: Connection, tenant_id: int, ids: Sequence[int], keys: Sequence[str]) -> None:
    """Store the removal of images that the transaction is about to delete."""
    _delete(conn, tenant_id, keys)
    i = images.c
    columns = ["tenant_id", "key", "sha256", "nbytes", "mtime_ns", "at"]
    for batch in batches(ids):
        row = select(i.tenant_id, i.key, i.sha256, i.nbytes, i.mtime_ns, literal(time.time())).where(i.id.in_(batch))
        conn.execute(insert(removals).from_select(columns, row))


def _delete(conn: Connection, tenant_id: int, keys: Sequence[str]) -> None:
    for batch in batches(keys):
        conn.execute(delete(removals).where(removals.c.tenant_id == tenant_id, removals.c.key.in_(batch)))
