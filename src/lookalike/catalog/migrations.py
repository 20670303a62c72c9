"""Creates the schema of a catalog, and migrates an older one, one numbered step after the other."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, inspect, select, update
from sqlalchemy import text as sql

from lookalike.catalog import postgresql
from lookalike.catalog.schema import (
    PATH_INDEXES,
    VERSION,
    Options,
    add_deleted_keys,
    add_image_details,
    check_options,
    create_tables,
    meta,
    state,
)
from lookalike.catalog.sqlite import create_attribute_index
from lookalike.errors import BadInput, Damaged, NotFound

if TYPE_CHECKING:
    from lookalike.catalog.database import Database

Migration = Callable[[Connection], None]


def _add_verification_records(conn: Connection) -> None:
    """Add the table of verification records; images that schema 2 stored have none."""
    id_, data = ("BIGINT", "BYTEA") if conn.dialect.name == "postgresql" else ("INTEGER", "BLOB")
    conn.exec_driver_sql(
        f"CREATE TABLE verification_records (image_id {id_} NOT NULL PRIMARY KEY REFERENCES images (id)"
        f" ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, nbytes BIGINT NOT NULL, data {data} NOT NULL)"
    )
    conn.exec_driver_sql("CREATE INDEX verification_records_nbytes ON verification_records (nbytes)")


def _add_compared_pairs(conn: Connection) -> None:
    """Add the table of pairs of images whose pixels were compared."""
    id_, data = ("BIGINT", "BYTEA") if conn.dialect.name == "postgresql" else ("INTEGER", "BLOB")
    image = f"{id_} NOT NULL REFERENCES images (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
    conn.exec_driver_sql(
        f"CREATE TABLE compared_pairs (first_id {image}, second_id {image}, digest {data} NOT NULL,"
        " is_copy BOOLEAN NOT NULL, PRIMARY KEY (first_id, second_id))"
    )
    conn.exec_driver_sql("CREATE INDEX compared_pairs_second ON compared_pairs (second_id)")


def _remember_folders(conn: Connection) -> None:
    """Add the folders that images were added from, removals, and an index of paths."""
    postgresql = conn.dialect.name == "postgresql"
    id_, number, text, data = ("BIGSERIAL", "BIGINT", 'TEXT COLLATE "C"', "BYTEA") if postgresql else _SQLITE_TYPES
    conn.exec_driver_sql(
        f"CREATE TABLE roots (id {id_} PRIMARY KEY, tenant_id {number} NOT NULL REFERENCES tenants (id),"
        f" name {text} NOT NULL, path {text} NOT NULL, UNIQUE (tenant_id, name), UNIQUE (tenant_id, path))"
    )
    conn.exec_driver_sql(
        f"CREATE TABLE removals (tenant_id {number} NOT NULL REFERENCES tenants (id), key {text} NOT NULL,"
        f" sha256 {data} NOT NULL, nbytes BIGINT NOT NULL, mtime_ns BIGINT, at DOUBLE PRECISION NOT NULL,"
        " PRIMARY KEY (tenant_id, key))"
    )
    conn.exec_driver_sql(PATH_INDEXES[conn.dialect.name])
    # The key of a file below a folder was its path relative to the folder, so the rest of the path is the folder.
    found = conn.exec_driver_sql(
        "SELECT tenant_id, substr(path, 1, length(path) - length(key) - 1) AS folder, count(*) AS number FROM images"
        " WHERE path IS NOT NULL AND length(path) > length(key) + 1"
        " AND substr(path, length(path) - length(key)) = '/' || key GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    ).all()
    folders: dict[int, list[str]] = {}
    for tenant_id, folder, _ in found:
        folders.setdefault(tenant_id, []).append(folder)
    for tenant_id, paths in folders.items():
        for name, path in _names_of(paths).items():
            values = {"tenant_id": tenant_id, "name": name, "path": path}
            conn.execute(sql("INSERT INTO roots (tenant_id, name, path) VALUES (:tenant_id, :name, :path)"), values)


def _let_api_keys_expire(conn: Connection) -> None:
    conn.exec_driver_sql("ALTER TABLE access_keys ADD COLUMN expires DOUBLE PRECISION")


def _names_of(paths: Sequence[str]) -> dict[str, str]:
    """Name folders, without those inside of others: the one with most images has no name, so that its keys stay."""
    named: dict[str, str] = {}
    for path in paths:
        if any(path.startswith(f"{other}/") for other in paths):
            continue
        name = base = path.rsplit("/", 1)[-1] if named else ""
        number = 2
        while name in named:
            name, number = f"{base}-{number}", number + 1
        named[name] = path
    return named


def _add_object_stores(conn: Connection) -> None:
    """Add what recognises an unchanged object of a store, and an unchanged archive."""
    postgresql = conn.dialect.name == "postgresql"
    number, text, json_type = ("BIGINT", 'TEXT COLLATE "C"', "JSONB") if postgresql else ("INTEGER", "TEXT", "JSON")
    for column in ("etag TEXT", "file_offset BIGINT"):
        conn.exec_driver_sql(f"ALTER TABLE images ADD COLUMN {column}")
    conn.exec_driver_sql(
        f"CREATE TABLE archives (tenant_id {number} NOT NULL REFERENCES tenants (id), url {text} NOT NULL,"
        f" etag TEXT NOT NULL, nbytes BIGINT NOT NULL, encoded {json_type} NOT NULL, images BIGINT NOT NULL,"
        " rejected BIGINT NOT NULL, PRIMARY KEY (tenant_id, url))"
    )


def _to_4(conn: Connection) -> None:
    _add_verification_records(conn)
    _add_compared_pairs(conn)
    add_deleted_keys(conn)
    _remember_folders(conn)
    _add_object_stores(conn)
    _let_api_keys_expire(conn)


def _let_pipelines_change(conn: Connection) -> None:
    """Add the table of pipelines, which is empty until they are changed, and what a backfill keeps."""
    id_ = "BIGINT" if conn.dialect.name == "postgresql" else "INTEGER"
    conn.exec_driver_sql("ALTER TABLE state ADD COLUMN pipelines BIGINT NOT NULL DEFAULT 0")
    conn.exec_driver_sql(
        "CREATE TABLE pipelines (name TEXT NOT NULL PRIMARY KEY, position INTEGER NOT NULL, state TEXT NOT NULL,"
        " index_address TEXT, created DOUBLE PRECISION NOT NULL, promoted DOUBLE PRECISION)"
    )
    conn.exec_driver_sql("CREATE TABLE backfills (pipeline TEXT NOT NULL PRIMARY KEY, next_id BIGINT NOT NULL)")
    conn.exec_driver_sql(
        "CREATE TABLE backfill_ranges (pipeline TEXT NOT NULL, first_id BIGINT NOT NULL, last_id BIGINT NOT NULL,"
        " worker TEXT NOT NULL, expires DOUBLE PRECISION NOT NULL, PRIMARY KEY (pipeline, first_id))"
    )
    conn.exec_driver_sql(
        f"CREATE TABLE backfill_failures (image_id {id_} NOT NULL REFERENCES images (id) ON DELETE CASCADE"
        " DEFERRABLE INITIALLY DEFERRED, pipeline TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,"
        " PRIMARY KEY (image_id, pipeline))"
    )


_SQLITE_TYPES = ("INTEGER", "INTEGER", "TEXT", "BLOB")
MIGRATIONS: Mapping[int, Migration] = {3: add_image_details, 4: _to_4, 5: _let_pipelines_change}
"""By the version that each step leads to; a step names its tables itself, for `schema` changes after it.

Schema 1 was never released, so there is no step from it.
"""


def version_of(conn: Connection) -> int | None:
    """The schema of this database, None where it is empty; raises BadInput for a database of another program."""
    names = inspect(conn).get_table_names()
    if meta.name not in names:
        if names:
            raise BadInput(f"this database holds other tables ({', '.join(sorted(names)[:3])}...) and no catalog")
        return None
    found = conn.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar_one_or_none()
    if not isinstance(found, int):
        raise Damaged("the catalog does not name its schema; restore it from a backup")
    return found


def check_version(found: int | None, version: int = VERSION) -> None:
    """Raise for a catalog that this code cannot read as it is."""
    if found is None:
        raise NotFound("there is no catalog yet; create one first (`lookalike init`)")
    if found > version:
        raise BadInput(
            f"the catalog has schema {found}, and this version of Lookalike knows schemas up to {version}; upgrade it"
        )
    if found < version:
        raise BadInput(f"the catalog has schema {found}; open it once for writing to bring it to schema {version}")


def _create(conn: Connection, options: Options) -> None:
    """Create the tables in an empty database, with a new gallery id: 12 hexadecimal digits."""
    create_tables(conn, options.partitions or 0)
    if conn.dialect.name == "sqlite":
        create_attribute_index(conn)
    conn.execute(insert(meta).values(key="features", value=options.features or "catalog"))
    conn.execute(insert(meta).values(key="schema", value=VERSION))
    conn.execute(insert(state).values(one=1, sequence=0, last_id=0, pruned=0, pipelines=0))
    conn.execute(insert(meta).values(key="gallery", value=uuid.uuid4().hex[:12]))


def migrate(
    conn: Connection, found: int, *, version: int = VERSION, migrations: Mapping[int, Migration] = MIGRATIONS
) -> None:
    """Apply every step after `found`, inside the caller's transaction: all of them or none."""
    if found > version:
        check_version(found, version)
    steps = range(found + 1, version + 1)
    if any(step not in migrations for step in steps):
        raise BadInput(
            f"the catalog has schema {found}, which this version of Lookalike cannot migrate; make a new catalog and "
            "add the images"
        )
    for step in steps:
        migrations[step](conn)
        conn.execute(update(meta).where(meta.c.key == "schema").values(value=step))


def set_up(database: "Database", requested: Options, *, create: bool) -> None:
    """Create the schema in an empty database where `create` is set, and bring an older one to this version."""
    with database.read() as conn:
        version = version_of(conn)
        if version == VERSION:
            check_options(conn, requested)
            return
    if database.read_only or (not create and version is None):
        check_version(version)
        return
    with database.write() as conn:
        if database.is_postgresql:
            postgresql.lock_schema(conn)
        version = version_of(conn)  # another process may have been faster
        if version is None:
            _create(conn, requested)
        else:
            migrate(conn, version)
        check_options(conn, requested)
