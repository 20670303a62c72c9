"""The catalog of a gallery: one object, safe to use from several threads, that composes the repositories."""

from pathlib import Path
from typing import Self

from sqlalchemy import select

from lookalike.catalog import integrity
from lookalike.catalog.api_keys import ApiKeyRepository
from lookalike.catalog.changelog import ChangeLog
from lookalike.catalog.database import Database
from lookalike.catalog.duplicate_feedback import DuplicateFeedback
from lookalike.catalog.features import FeatureRepository
from lookalike.catalog.images import ImageRepository
from lookalike.catalog.jobs import JobRepository
from lookalike.catalog.leases import LeaseRepository
from lookalike.catalog.schema import meta
from lookalike.catalog.tenants import TenantRepository


class Catalog:
    """The source of truth of a gallery: images, digests, attributes, features, and every change in order.

    Every method of a repository is one transaction; one that writes returns when its change is durable. Readers see a
    snapshot and never wait for a writer. All methods raise Damaged for a broken file, GalleryBusy while another process
    writes for longer than `busy_seconds`, Unavailable where the database does not answer, BadInput after `close`. Lists
    may be of any length; they are split into statements as the database takes them.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tenants = TenantRepository(database)
        self.features = FeatureRepository(database)
        self.images = ImageRepository(database, self.features)
        self.changes = ChangeLog(database)
        self.leases = LeaseRepository(database)
        self.api_keys = ApiKeyRepository(database)
        self.jobs = JobRepository(database)
        self.duplicate_feedback = DuplicateFeedback(database)

    @classmethod
    def open(
        cls, target: str | Path, *, create: bool = False, read_only: bool = False, busy_seconds: float = 10.0
    ) -> Self:
        """Open a file or URL (`sqlite:///...`, `postgresql://...`); an older schema is migrated.

        A URL may name the options that a catalog is, or was, created with: `?partitions=16`, `?features=engine`.
        `busy_seconds` is how long to wait for another writer. Raises NotFound where there is no catalog, BadSetting for
        an invalid URL, Damaged for a broken file, BadInput for a database of another program or an unknown schema.
        """
        return cls(Database.open(target, create=create, read_only=read_only, busy_seconds=busy_seconds))

    def gallery_id(self) -> str:
        """The gallery's id in the names of indexes on servers: 12 hexadecimal digits, the same on every host."""
        with self.database.read() as conn:
            return str(conn.execute(select(meta.c.value).where(meta.c.key == "gallery")).scalar_one())

    def check(self) -> None:
        """Read and verify everything, in time proportional to the size; raises Damaged, naming the first problems."""
        with self.database.read() as conn, self.database.without_statement_timeout(conn):
            integrity.check(conn, self.database.location)

    def checkpoint(self) -> None:
        """Move SQLite's write-ahead log into the file, so that the file alone can be copied."""
        self.database.checkpoint()

    def vacuum(self) -> None:
        """Return the space of deleted images to the file system; rewrites the file."""
        self.database.vacuum()

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({self.database.location!r})"
