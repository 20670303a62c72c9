"""Archives whose members were added to a tenant."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import delete, insert, select

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import archives
from lookalike.catalog.statements import lock_state
from lookalike.text import check_text
from lookalike.types import FeatureSpec


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
