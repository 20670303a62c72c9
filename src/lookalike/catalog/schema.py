"""The tables of the catalog, written once for SQLite and PostgreSQL."""

from functools import cache

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

VERSION = 2
"""The schema that this code writes; a catalog of a higher one is refused, a lower one is migrated."""

RELEASED = b""
"""The stored feature of an image whose feature was left to the engine, as `catalog.releasing` tells."""

Id = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER PRIMARY KEY is SQLite's own row number
Ordered = Text().with_variant(Text(collation="C"), "postgresql")  # by code point, as SQLite and Python sort
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Json, nullable=False),
)

# The one row that every writer of images locks, and on PostgreSQL locks last: sequence numbers are handed out under
# that lock, so they become visible in the order of the commits. `last_id` is SQLite's; PostgreSQL has a sequence. An id
# is never given twice, even after its image is gone.
state = Table(
    "state",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Ordered, nullable=False, unique=True),
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
    UniqueConstraint("tenant_id", "key").ddl_if(dialect="sqlite"),  # on PostgreSQL see `layout`
)

# The digest leads, so that one index serves a look-up in one tenant and in all of them.
Index("images_sha256", images.c.sha256, images.c.tenant_id)
Index(
    "images_pixels",
    images.c.pixels,
    images.c.tenant_id,
    sqlite_where=images.c.pixels.is_not(None),
    postgresql_where=images.c.pixels.is_not(None),
)
# Covers the replay of changes, which then never touches the wide rows.
Index("images_seq", images.c.seq, images.c.tenant_id, postgresql_include=["id"])

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
)

# Version 2: what a service and shared engines need.

# How far each index that lives on a server has been brought, and by whom.
followers = Table(
    "followers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("applied", BigInteger, nullable=False),
    Column("worker", Text),
    Column("at", Double),
)

# A row for each index on a server; who applies changes to it has the row locked. Apart from `followers`, whose rows
# change, and are seen, while the claim is held.
claims = Table("claims", metadata, Column("name", Text, primary_key=True))

# Small images of those that came as bytes; they leave with their image.
thumbnails = Table(
    "thumbnails",
    metadata,
    Column(
        "image_id",
        Id,
        # Deferred, because large rows are written before the short time in which sequence numbers are handed out.
        ForeignKey(images.c.id, ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("data", LargeBinary, nullable=False),
)

# Pairs of images that a person said are no copies of each other, by digest (the smaller one first), so that an image
# added again is not asked about again.
not_matches = Table(
    "not_matches",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), primary_key=True, autoincrement=False),
    Column("first", LargeBinary, primary_key=True),
    Column("second", LargeBinary, primary_key=True),
    Column("at", Double, nullable=False),
)

# Access keys: a public name and the digest of the secret; tenant NULL is any tenant.
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
)

# Long work: claimed by one server process, seen by all.
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

ADDED_IN_2 = (followers, claims, thumbnails, not_matches, access_keys, jobs)


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
