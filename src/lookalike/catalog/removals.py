"""Images that a person removed, so that adding their folder again does not bring them back."""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, literal, select

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import images, removals
from lookalike.catalog.statements import batches, rows_in
from lookalike.text import storable


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
