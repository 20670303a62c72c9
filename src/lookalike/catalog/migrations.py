"""Brings a catalog of an older schema up to date, one numbered step after the other."""

import uuid
from collections.abc import Callable, Mapping

from sqlalchemy import Connection, insert, inspect, select, update

from lookalike.catalog.attributes import create_index
from lookalike.catalog.layout import create_tables
from lookalike.catalog.options import Options, keep
from lookalike.catalog.schema import ADDED_IN_2, VERSION, meta, metadata, state
from lookalike.errors import BadInput, Damaged, NotFound

NO_OPTIONS = Options()
Migration = Callable[[Connection], None]


def name_gallery(conn: Connection) -> None:
    """Give the gallery the name by which its indexes on servers are known: 12 hexadecimal digits."""
    conn.execute(insert(meta).values(key="gallery", value=uuid.uuid4().hex[:12]))


def _to_2(conn: Connection) -> None:
    if conn.dialect.name != "sqlite":
        raise BadInput("this catalog was made before PostgreSQL was supported; make a new one and add the images")
    metadata.create_all(conn, tables=ADDED_IN_2)
    create_index(conn)
    name_gallery(conn)


MIGRATIONS: Mapping[int, Migration] = {2: _to_2}
"""By the version that each step leads to; a step names its tables itself, for `schema` moves on."""


def version_of(conn: Connection) -> int | None:
    """The schema of this database, None where it is empty; raises BadInput for somebody else's database."""
    names = inspect(conn).get_table_names()
    if meta.name not in names:
        if names:
            raise BadInput(f"this database holds other tables ({', '.join(sorted(names)[:3])}...) and no catalog")
        return None
    found = conn.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar_one_or_none()
    if not isinstance(found, int):
        raise Damaged("the catalog does not say which schema it has; restore it from a backup")
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


def create(conn: Connection, options: Options = NO_OPTIONS) -> None:
    """Make the tables in an empty database."""
    create_tables(conn, options.partitions or 0)
    keep(conn, options)
    conn.execute(insert(meta).values(key="schema", value=VERSION))
    conn.execute(insert(state).values(one=1, sequence=0, last_id=0, pruned=0))
    name_gallery(conn)


def migrate(
    conn: Connection, found: int, *, version: int = VERSION, migrations: Mapping[int, Migration] = MIGRATIONS
) -> None:
    """Apply every step after `found`, inside the caller's transaction: all of them or none."""
    if found > version:
        check_version(found, version)
    for step in range(found + 1, version + 1):
        migrations[step](conn)
        conn.execute(update(meta).where(meta.c.key == "schema").values(value=step))
