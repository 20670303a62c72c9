"""Creates the schema of a catalog, and migrates an older one, one numbered step after the other."""

import uuid
from collections.abc import Callable, Mapping

from sqlalchemy import Connection, insert, inspect, select, update

from lookalike.catalog.schema import VERSION, Options, add_image_details, create_tables, meta, state
from lookalike.catalog.sqlite import create_attribute_index
from lookalike.errors import BadInput, Damaged, NotFound

Migration = Callable[[Connection], None]


def _add_verification_records(conn: Connection) -> None:
    """Add the table of verification records; images that schema 2 stored have none."""
    id_, data = ("BIGINT", "BYTEA") if conn.dialect.name == "postgresql" else ("INTEGER", "BLOB")
    conn.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS verification_records (image_id {id_} NOT NULL PRIMARY KEY REFERENCES images (id)"
        f" ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, nbytes BIGINT NOT NULL, data {data} NOT NULL)"
    )
    conn.exec_driver_sql("CREATE INDEX IF NOT EXISTS verification_records_nbytes ON verification_records (nbytes)")


def _to_3(conn: Connection) -> None:
    add_image_details(conn)
    _add_verification_records(conn)


MIGRATIONS: Mapping[int, Migration] = {3: _to_3}
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


def create(conn: Connection, options: Options) -> None:
    """Create the tables in an empty database, with a new gallery id: 12 hexadecimal digits."""
    create_tables(conn, options.partitions or 0)
    if conn.dialect.name == "sqlite":
        create_attribute_index(conn)
    conn.execute(insert(meta).values(key="features", value=options.features or "catalog"))
    conn.execute(insert(meta).values(key="schema", value=VERSION))
    conn.execute(insert(state).values(one=1, sequence=0, last_id=0, pruned=0))
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
