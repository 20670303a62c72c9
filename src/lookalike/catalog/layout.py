"""Making a catalog's tables: one by one, or, past a billion images, hash-partitioned on PostgreSQL.

Images and their features are then partitioned by id. Whatever is done by id (search results, joins of images with
features, updates) goes to one partition, and one tenant of any size is spread over all. Look-ups by key or digest ask
the index of each partition, a few microseconds a piece; pages by key and changes by number merge the partitions'
indexes. PostgreSQL checks uniqueness within a partition only, so that (tenant, key) is then kept unique by the writers,
who look for the key under the lock of the sequence numbers; `check` verifies it.
"""

from sqlalchemy import Connection, Table
from sqlalchemy.schema import CreateIndex, CreateTable

from lookalike.catalog.attributes import create_index
from lookalike.catalog.schema import features_table, images, metadata
from lookalike.errors import BadSetting

MAX_PARTITIONS = 256
IDS = "image_ids"
"""PostgreSQL's sequence of image ids: given out in blocks without waiting for anybody, never twice."""

# Containment of a value (eq, in), and of a name (exists).
_ON_ATTRIBUTES = (
    "CREATE INDEX images_attributes ON images USING gin (attributes jsonb_path_ops)",
    "CREATE INDEX images_names ON images USING gin"
    " (jsonb_path_query_array(attributes, '$.keyvalue().key') jsonb_path_ops)",
)


def check_partitions(wanted: int, dialect: str) -> None:
    """Raise BadSetting for a number of partitions that makes no sense."""
    if not 0 <= wanted <= MAX_PARTITIONS or wanted == 1:
        raise BadSetting(f"partitions is a number from 2 to {MAX_PARTITIONS}, or 0 for none, not {wanted}")
    if wanted and dialect != "postgresql":
        raise BadSetting("only a catalog in PostgreSQL is partitioned; leave partitions out")


def create_tables(conn: Connection, partitions: int) -> None:
    """Make the tables of an empty database."""
    if conn.dialect.name != "postgresql":
        metadata.create_all(conn)
        create_index(conn)
        return
    if partitions:
        others = [table for table in metadata.sorted_tables if table is not images]
        first = [table for table in others if table.name == "tenants"]
        metadata.create_all(conn, tables=first)
        _create_partitioned(conn, images, partitions)
        metadata.create_all(conn, tables=others)
    else:
        metadata.create_all(conn)
    kind = "INDEX" if partitions else "UNIQUE INDEX"
    conn.exec_driver_sql(f"CREATE {kind} images_key ON images (tenant_id, key)")
    for statement in _ON_ATTRIBUTES:
        conn.exec_driver_sql(statement)
    conn.exec_driver_sql(f"CREATE SEQUENCE {IDS}")


def create_features(conn: Connection, fingerprint_id: int) -> None:
    """Make the table of a fingerprint's features, partitioned as the images are."""
    table = features_table(fingerprint_id)
    partitions = partitions_of(conn)
    if partitions:
        _create_partitioned(conn, table, partitions)
    else:
        table.create(conn)


def partitions_of(conn: Connection) -> int:
    """The number of partitions of the images; 0 where there are none."""
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
