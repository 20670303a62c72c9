"""The tables of the catalog, written once for SQLite and PostgreSQL, and how they are created.

On PostgreSQL images and their features can be hash-partitioned by id, for more than a billion images. What is done by
id (search results, joins of images with features, updates) then goes to one partition, and a tenant of any size is
spread over all. Look-ups by key or digest read the index of each partition, a few microseconds each; pages by key and
changes by sequence number merge the partitions' indexes. PostgreSQL checks uniqueness within a partition only, so that
(tenant, key) is then kept unique by the writers, who look for the key under the lock of the sequence numbers;
`Catalog.check` verifies it.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    select,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from lookalike.errors import BadSetting

VERSION = 5
"""The schema that this code writes; a catalog of a higher one is refused, a lower one is migrated."""
MAX_PARTITIONS = 256
IMAGE_IDS = "image_ids"
"""PostgreSQL's sequence of image ids: allocated in blocks without waiting for other writers, never twice."""

RELEASED = b""
"""The stored feature of an image whose feature was released to the engine (see `catalog.features`)."""

FeatureKeeper = Literal["catalog", "engine"]
"""What keeps the features of images: the catalog, or, once every index has them, the engine alone."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options as requested; None stands for what the catalog has, or for the default where it is created."""

    partitions: int | None = None
    features: FeatureKeeper | None = None


class JsonDocument(TypeDecorator[Any]):
    """JSON, as JSONB on PostgreSQL; a variant of the type would load that dialect with every catalog, 0.05 s."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415 - see above

        return dialect.type_descriptor(JSONB(none_as_null=True))


Id = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER PRIMARY KEY is SQLite's own row number
Ordered = Text().with_variant(Text(collation="C"), "postgresql")  # by code point, as SQLite and Python sort
Json = JsonDocument(none_as_null=True)
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode_json(value: Any) -> str:
    """JSON as it is stored; most images have no attributes, which need no encoder."""
    return "{}" if value == {} else _encode_json(value)


metadata = MetaData()

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Json, nullable=False))

# The one row that every writer of images locks (see `catalog.statements`). `last_id` is SQLite's; PostgreSQL has a
# sequence of ids. An id is never allocated twice, even after its image is gone. `pipelines` counts the changes of the
# table of pipelines: a writer learns with its sequence numbers that its set of pipelines is an old one.
state = Table(
    "state",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
    Column("pipelines", BigInteger, nullable=False),
)

# The gallery's pipelines in order of precedence, once they were changed; until then those of its settings file.
pipelines = Table(
    "pipelines",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("index_address", Text),  # in the place of that in the settings
    Column("created", Double, nullable=False),
    Column("promoted", Double),
)

tenants = Table(
    "tenants", metadata, Column("id", Id, primary_key=True), Column("name", Ordered, nullable=False, unique=True)
)

images = Table(
    "images",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("key", Ordered, nullable=False),
    Column("path", Text),
    Column("sha256", LargeBinary, nullable=False),
    Column("pixels", LargeBinary),
    Column("nbytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", Text, nullable=False),
    Column("border", Json),  # [left, top, right, bottom], NULL where nothing was cut
    Column("attributes", Json, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("frames", Integer),  # NULL, as the two below, of images that schema 2 stored
    Column("truncated", Boolean),
    Column("exif", Json),
    Column("etag", Text),  # of an object of a store, or of the archive of a member
    Column("file_offset", BigInteger),  # where the bytes of a member begin in its archive
    UniqueConstraint("tenant_id", "key").ddl_if(dialect="sqlite"),  # on PostgreSQL see `create_tables`
)

# The digest leads, so that one index serves a look-up in one tenant and in all of them.
Index("images_sha256", images.c.sha256, images.c.tenant_id)
# The order of an index of paths on PostgreSQL, by code point as on SQLite: the files of a folder are a range.
PATHS = images.c.path.collate("C")

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    UniqueConstraint("name", "metric", "width", "fingerprint"),
)

deletions = Table(
    "deletions",
    metadata,
    Column("seq", Id, primary_key=True, autoincrement=False),
    Column("image_id", BigInteger, nullable=False),
    Column("tenant_id", BigInteger),  # NULL, as the key, of deletions that schema 2 logged
    Column("key", Text),
)

# The last change applied to each index on a server, and by which process.
followers = Table(
    "followers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("applied", BigInteger, nullable=False),
    Column("worker", Text),
    Column("at", Double),
)

# A row for each index on a server; the process that has the index's lease has the row locked. Apart from `followers`,
# whose rows change, and are seen, while the lease is held.
claims = Table("claims", metadata, Column("name", Text, primary_key=True))


def _image_column(name: str) -> Column[int]:
    """A column, of the primary key, of an image with which its row leaves."""
    # Deferred, because large rows are written before the short time in which sequence numbers are handed out.
    image = ForeignKey(images.c.id, ondelete="CASCADE", deferrable=True, initially="DEFERRED")
    return Column(name, Id, image, primary_key=True, autoincrement=False)


# Small images of those that came as bytes; they leave with their image.
thumbnails = Table(
    "thumbnails",
    metadata,
    _image_column("image_id"),
    Column("data", LargeBinary, nullable=False),
)

# What verification compares where the original of an image cannot be read (`lookalike.verification.records`); `nbytes`
# is the size of `data`, which the totals read from an index.
verification_records = Table(
    "verification_records",
    metadata,
    _image_column("image_id"),
    Column("nbytes", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
Index("verification_records_nbytes", verification_records.c.nbytes)

# What comparing the pixels of two images has shown, so that the search for duplicates compares them once. `digest` is
# of the bytes of both and of the version of the comparison (`lookalike.gallery.verification`).
compared_pairs = Table(
    "compared_pairs",
    metadata,
    _image_column("first_id"),
    _image_column("second_id"),
    Column("digest", LargeBinary, nullable=False),
    Column("is_copy", Boolean, nullable=False),
)
Index("compared_pairs_second", compared_pairs.c.second_id)

# Pairs of images that a person marked as no duplicates, by digest (the smaller one first), so that a mark also holds
# for an image that is removed and added again.
not_matches = Table(
    "not_matches",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), primary_key=True, autoincrement=False),
    Column("first", LargeBinary, primary_key=True),
    Column("second", LargeBinary, primary_key=True),
    Column("at", Double, nullable=False),
)

# Folders that images were added from: the key of a file below one is the folder's name, a slash and the relative path,
# or the relative path alone where the name is empty.
roots = Table(
    "roots",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("name", Ordered, nullable=False),
    Column("path", Ordered, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    UniqueConstraint("tenant_id", "path"),
)

# Images that a person removed: the same file is not added again with its folder.
removals = Table(
    "removals",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), primary_key=True, autoincrement=False),
    Column("key", Ordered, primary_key=True),
    Column("sha256", LargeBinary, nullable=False),
    Column("nbytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger),
    Column("at", Double, nullable=False),
)

# Archives whose members were all added, with what they were encoded for: an unchanged one is not read again.
archives = Table(
    "archives",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), primary_key=True, autoincrement=False),
    Column("url", Ordered, primary_key=True),
    Column("etag", Text, nullable=False),
    Column("nbytes", BigInteger, nullable=False),
    Column("encoded", Json, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
)

# API keys: a public name and the digest of the secret; tenant NULL is any tenant.
access_keys = Table(
    "access_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("label", Text, nullable=False),
    Column("tenant", Text),
    Column("scopes", Json, nullable=False),
    Column("limits", Json, nullable=False),
    Column("created", Double, nullable=False),
    Column("revoked", Double),
    Column("expires", Double),
)

# Long-running work: run by one server process, visible to all.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", Json, nullable=False),
    Column("progress", Json, nullable=False),
    Column("worker", Text),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

# A pass of a backfill over the images: ids from `next_id` on were given to no worker yet.
backfills = Table(
    "backfills",
    metadata,
    Column("pipeline", Text, primary_key=True),
    Column("next_id", BigInteger, nullable=False),
)

# Ranges of ids whose images a worker of a backfill encodes; another one takes over a range whose time has run out.
backfill_ranges = Table(
    "backfill_ranges",
    metadata,
    Column("pipeline", Text, primary_key=True),
    Column("first_id", BigInteger, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
    Column("worker", Text, nullable=False),
    Column("expires", Double, nullable=False),
)

# Images that a backfill could not encode, which it does not try again by itself.
backfill_failures = Table(
    "backfill_failures",
    metadata,
    _image_column("image_id"),
    Column("pipeline", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

# Not `Index`: its options for PostgreSQL load that dialect with every catalog, 0.05 s. The second covers the replay of
# changes, which then never touches the wide rows; on SQLite an index holds the id anyway.
_IMAGE_INDEXES = (
    "CREATE INDEX images_pixels ON images (pixels, tenant_id) WHERE pixels IS NOT NULL",
    "CREATE INDEX images_seq ON images (seq, tenant_id){include}",
)
PATH_INDEXES = {
    "sqlite": "CREATE INDEX images_path ON images (tenant_id, path) WHERE path IS NOT NULL",
    "postgresql": 'CREATE INDEX images_path ON images (tenant_id, path COLLATE "C") WHERE path IS NOT NULL',
}
"""The files of a folder, and the image of a file."""

# Containment of a value (eq, in), and of a name (exists).
_ATTRIBUTE_INDEXES = (
    "CREATE INDEX images_attributes ON images USING gin (attributes jsonb_path_ops)",
    "CREATE INDEX images_names ON images USING gin"
    " (jsonb_path_query_array(attributes, '$.keyvalue().key') jsonb_path_ops)",
)


@cache
def features_table(fingerprint_id: int) -> Table:
    """The features of one fingerprint: `vector` bytes by image.

    NULL where the image has no meaningful feature, no bytes (`RELEASED`) where only the engine has it. A table each
    keeps the few bytes of a hash apart from the kilobyte of a vector: replaying hashes reads hashes only, and a
    pipeline leaves without touching the others. Only SQLite checks the reference to the image, at the commit; on
    PostgreSQL that would cost more than the insertion.
    """
    return Table(
        f"features_{fingerprint_id}",
        MetaData(),  # not created with the others, but when its fingerprint is first stored
        Column("image_id", Id, primary_key=True, autoincrement=False),
        Column("vector", LargeBinary),
        ForeignKeyConstraint(
            ["image_id"], [images.c.id], ondelete="CASCADE", deferrable=True, initially="DEFERRED"
        ).ddl_if(dialect="sqlite"),
    )


def create_tables(conn: Connection, partitions: int) -> None:
    """Create the tables in an empty database."""
    if partitions:
        metadata.create_all(conn, tables=[tenants])
        _create_partitioned(conn, images, partitions)
    metadata.create_all(conn)  # those that do not exist yet
    include = " INCLUDE (id)" if conn.dialect.name == "postgresql" else ""
    for statement in (*_IMAGE_INDEXES, PATH_INDEXES[conn.dialect.name]):
        conn.exec_driver_sql(statement.format(include=include))
    if conn.dialect.name != "postgresql":
        return
    kind = "INDEX" if partitions else "UNIQUE INDEX"
    conn.exec_driver_sql(f"CREATE {kind} images_key ON images (tenant_id, key)")
    for statement in _ATTRIBUTE_INDEXES:
        conn.exec_driver_sql(statement)
    conn.exec_driver_sql(f"CREATE SEQUENCE {IMAGE_IDS}")


def add_image_details(conn: Connection) -> None:
    """Add what schema 3 knows of an image: frames, whether it is truncated, EXIF."""
    json_type = "JSONB" if conn.dialect.name == "postgresql" else "JSON"
    for column in ("frames INTEGER", "truncated BOOLEAN", f"exif {json_type}"):
        conn.exec_driver_sql(f"ALTER TABLE images ADD COLUMN {column}")


def add_deleted_keys(conn: Connection) -> None:
    """Add what schema 4 knows of a deletion: tenant and key, for the feed of changes."""
    for column in ("tenant_id BIGINT", "key TEXT"):
        conn.exec_driver_sql(f"ALTER TABLE deletions ADD COLUMN {column}")


def create_features_table(conn: Connection, fingerprint_id: int) -> None:
    """Create the table of a fingerprint's features, partitioned as the images are."""
    table = features_table(fingerprint_id)
    if partitions := count_partitions(conn):
        _create_partitioned(conn, table, partitions)
    else:
        table.create(conn)


def count_partitions(conn: Connection) -> int:
    """The number of partitions of the images; 0 where they are not partitioned."""
    if conn.dialect.name != "postgresql":
        return 0
    found = conn.exec_driver_sql("SELECT count(*) FROM pg_inherits WHERE inhparent = 'images'::regclass")
    return int(found.scalar_one())


def _create_partitioned(conn: Connection, table: Table, partitions: int) -> None:
    (key,) = table.primary_key.columns
    conn.exec_driver_sql(f"{CreateTable(table).compile(conn)} PARTITION BY HASH ({key.name})")
    for number in range(partitions):
        conn.exec_driver_sql(
            f"CREATE TABLE {table.name}_p{number} PARTITION OF {table.name}"
            f" FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number})"
        )
    for index in table.indexes:
        conn.execute(CreateIndex(index))


def feature_keeper(conn: Connection) -> FeatureKeeper:
    """What keeps the features of this catalog."""
    found = conn.execute(select(meta.c.value).where(meta.c.key == "features")).scalar_one_or_none()
    return "engine" if found == "engine" else "catalog"


def check_options(conn: Connection, requested: Options) -> None:
    """Raise BadSetting where the catalog was created with other options than those requested."""
    if requested.features is not None and requested.features != (keeper := feature_keeper(conn)):
        raise BadSetting(
            f"the catalog was created with features={keeper}, which cannot be changed; give the same value, or none"
        )
    if requested.partitions is not None and requested.partitions != (number := count_partitions(conn)):
        raise BadSetting(f"the catalog was created with partitions={number}; give the same number, or none")
