"""Tenants: names of separate sets of images in one catalog."""

from sqlalchemy import insert, select

from lookalike.catalog.database import Database
from lookalike.catalog.locking import lock_state
from lookalike.catalog.schema import tenants
from lookalike.text import check_text, storable


class TenantRepository:
    """Tenants by name; every image belongs to one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, name: str) -> int | None:
        """The id of a tenant, None where there is none."""
        if not storable(name):
            return None
        with self._database.read() as conn:
            found = conn.execute(select(tenants.c.id).where(tenants.c.name == name)).scalar_one_or_none()
        return None if found is None else int(found)

    def get_or_create(self, name: str) -> int:
        """The id of a tenant, created where there is none; raises BadInput for a name that cannot be stored."""
        if (found := self.find(name)) is not None:
            return found
        check_text("tenant", name)
        with self._database.write() as conn:
            lock_state(conn)
            query = select(tenants.c.id).where(tenants.c.name == name)
            found = conn.execute(query).scalar_one_or_none()  # another writer may have been faster
            if found is None:
                found = conn.execute(insert(tenants).values(name=name).returning(tenants.c.id)).scalar_one()
            return int(found)

    def ids_by_name(self) -> dict[str, int]:
        """The ids of all tenants, by name."""
        with self._database.read() as conn:
            return {row[0]: row[1] for row in conn.execute(select(tenants.c.name, tenants.c.id)).all()}
