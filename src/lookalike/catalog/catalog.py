"""The catalog of a gallery: one object, safe to use from several threads, that composes the repositories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

from sqlalchemy import URL, Connection, Engine, func, make_url, or_, select
from sqlalchemy.exc import ArgumentError

from lookalike.catalog import migrations, postgresql, sqlite
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
from lookalike.catalog.schema import (
    MAX_PARTITIONS,
    RELEASED,
    FeatureKeeper,
    Options,
    deletions,
    features_table,
    images,
    meta,
    state,
)
from lookalike.catalog.statements import last_id, spec_ids
from lookalike.catalog.verification_records import VerificationRecordRepository, count_of_wrong_size
from lookalike.errors import BadInput, BadSetting, Damaged


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
        if create and read_only:
            raise BadInput("a catalog is created or opened read-only, not both")
        url, requested = _take_options(_parse_url(target))
        engine = _create_engine(url, create=create, read_only=read_only, busy_seconds=busy_seconds)
        database = Database(engine, redacted_url(target), read_only=read_only)
        try:
            migrations.set_up(database, requested, create=create)
        except BaseException:
            engine.dispose()
            raise
        return cls(database)

    def gallery_id(self) -> str:
        """The gallery's id in the names of indexes on servers: 12 hexadecimal digits, the same on every host."""
        with self.database.read() as conn:
            return str(conn.execute(select(meta.c.value).where(meta.c.key == "gallery")).scalar_one())

    def check(self) -> None:
        """Read and verify everything, in time proportional to the size; raises Damaged, naming the first problems."""
        with self.database.read() as conn, postgresql.without_statement_timeout(conn):
            # The file first: on damaged pages our own queries return wrong rows. PostgreSQL checks pages on reading.
            problems = [] if self.database.is_postgresql else sqlite.file_problems(conn)
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
    if conn.dialect.name == "sqlite" and (number := sqlite.attribute_index_differences(conn)):
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


def redacted_url(target: str | Path) -> str:
    """The target as messages may show it: without a password."""
    url = _parse_url(target)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)  # options may hold secrets too


def _parse_url(target: str | Path) -> URL:
    if isinstance(target, Path) or "://" not in target:
        return URL.create("sqlite", database=str(target))
    try:
        return make_url(target)
    except (ArgumentError, ValueError):  # the second for a port that is no number
        raise BadSetting("the catalog's URL is invalid; write postgresql://user@host/name") from None


def _create_engine(url: URL, *, create: bool, read_only: bool, busy_seconds: float) -> Engine:
    """An engine that has connected to nothing yet; raises NotFound for a missing file, BadSetting for another kind."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return sqlite.create_sqlite_engine(url, create=create, read_only=read_only, busy_seconds=busy_seconds)
    if backend == "postgresql":
        return postgresql.create_postgresql_engine(url, read_only=read_only, busy_seconds=busy_seconds)
    raise BadSetting(f"a catalog is a file, sqlite:///... or postgresql://..., not {backend!r}")


def _take_options(url: URL) -> tuple[URL, Options]:
    """The URL without the catalog's own options, and these; raises BadSetting."""
    for name in ("partitions", "features"):
        if isinstance(url.query.get(name), tuple):
            raise BadSetting(f"{name} is given twice in the catalog's URL")
    query: Mapping[str, Any] = url.query
    partitions, features = query.get("partitions"), query.get("features")
    if partitions is not None and not (partitions.isascii() and partitions.isdigit() and len(partitions) < 5):
        raise BadSetting(f"partitions in the catalog's URL is a number, not {partitions!r}")
    if features is not None and features not in get_args(FeatureKeeper):
        raise BadSetting(f"features in the catalog's URL is catalog or engine, not {features!r}")
    options = Options(None if partitions is None else int(partitions), features)
    number = options.partitions or 0
    if number > MAX_PARTITIONS or number == 1:
        raise BadSetting(f"partitions is a number from 2 to {MAX_PARTITIONS}, or 0 for none, not {number}")
    if number and url.get_backend_name() != "postgresql":
        raise BadSetting("only a catalog in PostgreSQL can be partitioned; leave partitions out")
    return url.difference_update_query(["partitions", "features"]), options
