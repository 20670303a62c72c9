"""The folders that a tenant's images were added from."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from lookalike.catalog.database import Repository
from lookalike.catalog.file_paths import below
from lookalike.catalog.schema import images, roots
from lookalike.catalog.statements import lock_state
from lookalike.errors import BadInput
from lookalike.text import check_text


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
