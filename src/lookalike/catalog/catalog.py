"""The catalog of a gallery: one object, safe to use from several threads, that composes the repositories."""

from pathlib import Path
from typing import Self

from sqlalchemy import Connection, func, or_, select

from lookalike.catalog.api_keys import ApiKeyRepository
from lookalike.catalog.backfills import BackfillRepository
from lookalike.catalog.calibrations import CalibrationRepository
from lookalike.catalog.changelog import ChangeLog
from lookalike.catalog.compared_pairs import ComparedPairRepository
from lookalike.catalog.database import Database
from lookalike.catalog.db_errors import REMEDY
from lookalike.catalog.duplicate_feedback import DuplicateFeedback
from lookalike.catalog.features import FeatureRepository, row_bytes
from lookalike.catalog.images import ImageRepository, TenantRepository
from lookalike.catalog.jobs import JobRepository
from lookalike.catalog.leases import LeaseRepository
from lookalike.catalog.origins import ArchiveRepository, FilePathRepository, RemovalRepository, RootRepository
from lookalike.catalog.pipelines import PipelineRepository
from lookalike.catalog.postgresql import without_statement_timeout
from lookalike.catalog.schema import RELEASED, deletions, features_table, images, meta, state
from lookalike.catalog.sqlite import attribute_index_differences, file_problems
from lookalike.catalog.statements import last_id, spec_ids
from lookalike.catalog.verification_records import VerificationRecordRepository, count_of_wrong_size
from lookalike.errors import Damaged


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
        self.verification_records = VerificationRecordRepository(database)
        self.compared_pairs = ComparedPairRepository(database)
        self.paths = FilePathRepository(database)
        self.roots = RootRepository(database)
        self.archives = ArchiveRepository(database)
        self.removals = RemovalRepository(database)
        self.changes = ChangeLog(database)
        self.pipelines = PipelineRepository(database)
        self.backfills = BackfillRepository(database)
        self.leases = LeaseRepository(database)
        self.api_keys = ApiKeyRepository(database)
        self.jobs = JobRepository(database)
        self.calibrations = CalibrationRepository(database)
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
        with self.database.read() as conn, without_statement_timeout(conn):
            # The file first: on damaged pages our own queries return wrong rows. PostgreSQL checks pages on reading.
            problems = [] if self.database.is_postgresql else file_problems(conn)
            problems = problems or _violated_invariants(conn)
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            found = "; ".join(problems[:3])
            raise Damaged(f"the catalog {self.database.location} is damaged ({found}{more}); {REMEDY}")

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


def _violated_invariants(conn: Connection) -> list[str]:
    problems: list[str] = []
    ahead = select(func.count()).select_from(images)
    ahead = ahead.where(or_(images.c.seq > select(state.c.sequence).scalar_subquery(), images.c.id > last_id(conn)))
    if number := conn.execute(ahead).scalar_one():
        problems.append(f"{number} images are ahead of the counters")
    if conn.dialect.name == "sqlite" and (number := attribute_index_differences(conn)):
        problems.append(f"{number} attributes differ from their index")
    doubled = select(images.c.seq).group_by(images.c.seq).having(func.count() > 1).limit(1)
    if (sequence := conn.execute(doubled).scalar_one_or_none()) is not None:
        problems.append(f"two images share the sequence number {sequence}")
    revived = select(func.count()).select_from(deletions).join(images, images.c.id == deletions.c.image_id)
    if number := conn.execute(revived).scalar_one():
        problems.append(f"{number} deleted images are still there")
    keys = select(images.c.tenant_id, images.c.key).group_by(images.c.tenant_id, images.c.key)
    if (twice := conn.execute(keys.having(func.count() > 1).limit(1)).one_or_none()) is not None:
        problems.append(f"two images share the key {twice.key!r}")
    if number := count_of_wrong_size(conn):
        problems.append(f"{number} verification records have a wrong size")
    for spec, spec_id in spec_ids(conn).items():
        table = features_table(spec_id)
        wrong = select(func.count()).select_from(table)
        wrong = wrong.where(func.length(table.c.vector) != row_bytes(spec), table.c.vector != RELEASED)
        if number := conn.execute(wrong).scalar_one():
            problems.append(f"{number} features of {spec.name} have a wrong size")
        stray = select(func.count()).select_from(table).outerjoin(images, images.c.id == table.c.image_id)
        if number := conn.execute(stray.where(images.c.id.is_(None))).scalar_one():
            problems.append(f"{number} features of {spec.name} belong to no image")
    return problems
