"""Calibrations of galleries, by tenant: JSON objects that the catalog stores and does not interpret."""

from typing import Any

from sqlalchemy import delete, insert, select

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import meta


class CalibrationRepository(Repository):
    """The calibration of each tenant's images, if it was measured."""

    def get(self, tenant_id: int) -> dict[str, Any] | None:
        """The calibration of a tenant, None where there is none."""
        with self._database.read() as conn:
            query = select(meta.c.value).where(meta.c.key == _key(tenant_id))
            found: dict[str, Any] | None = conn.execute(query).scalar_one_or_none()
            return found

    def put(self, tenant_id: int, calibration: dict[str, Any]) -> None:
        """Store a calibration, in the place of an earlier one."""
        with self._database.write() as conn:
            conn.execute(delete(meta).where(meta.c.key == _key(tenant_id)))
            conn.execute(insert(meta).values(key=_key(tenant_id), value=calibration))


def _key(tenant_id: int) -> str:
    return f"calibration:{tenant_id}"
