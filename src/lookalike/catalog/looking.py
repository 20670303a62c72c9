"""The room of the catalog where images are looked up."""

from collections.abc import Iterable, Sequence
from typing import Literal, overload

from sqlalchemy import select

from lookalike.catalog import reading, writing
from lookalike.catalog.database import Database, check_limit
from lookalike.catalog.records import CatalogTotals, ExistingImage, SameBytes
from lookalike.catalog.schema import images, meta, tenants
from lookalike.errors import NotFound
from lookalike.text import check_text, storable
from lookalike.types import Condition, FeatureSpec, Ids, Record


class Looking(Database):
    """Tenants, specs and images; readers see a moment of the past and never wait for a writer."""

    def gallery(self) -> str:
        """The gallery's own name for indexes on servers: 12 hexadecimal digits, the same on every host."""
        with self._read() as conn:
            return str(conn.execute(select(meta.c.value).where(meta.c.key == "gallery")).scalar_one())

    @overload
    def tenant_id(self, name: str, *, create: Literal[True]) -> int: ...
    @overload
    def tenant_id(self, name: str, *, create: bool = False) -> int | None: ...
    def tenant_id(self, name: str, *, create: bool = False) -> int | None:
        """The id of a tenant; None where there is none and none is to be made."""
        with self._read() as conn:
            query = select(tenants.c.id).where(tenants.c.name == name)
            found = conn.execute(query).scalar_one_or_none() if storable(name) else None
        if found is not None or not create:
            return None if found is None else int(found)
        with self._write() as conn:
            return writing.register_tenant(conn, name)

    def tenants(self) -> dict[str, int]:
        """Every tenant's id, by name."""
        with self._read() as conn:
            return {row[0]: row[1] for row in conn.execute(select(tenants.c.name, tenants.c.id)).all()}

    def specs(self) -> list[FeatureSpec]:
        """The specs that features were ever stored for, oldest first."""
        with self._read() as conn:
            return list(reading.specs(conn))

    def existing_images(self, tenant_id: int, keys: Iterable[str]) -> dict[str, ExistingImage]:
        """What tells whether files have changed, by key; unknown keys are left out."""
        with self._read() as conn:
            return reading.existing_images(conn, tenant_id, keys)

    def same_bytes(self, tenant_id: int, sha256s: Iterable[bytes]) -> dict[bytes, SameBytes]:
        """By digest, the tenant's image of the lowest id with these bytes."""
        with self._read() as conn:
            return reading.same_bytes(conn, tenant_id, sha256s)

    def get(self, tenant_id: int, key: str) -> Record:
        """The image of a key; raises NotFound."""
        with self._read() as conn:
            found = reading.record(conn, tenant_id, key)
        if found is None:
            raise NotFound(f"there is no image {key!r}")
        return found

    def records(self, ids: Iterable[int]) -> dict[int, Record]:
        """Images by id; ids that are gone are left out."""
        with self._read() as conn:
            return reading.records(conn, ids)

    def by_digest(
        self,
        kind: Literal["sha256", "pixels"],
        tenant_id: int | None,
        digests: Iterable[bytes],
        *,
        conditions: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> dict[bytes, list[Record]]:
        """Images with these bytes or pixels that satisfy every condition, by digest; tenant None searches all.

        Each list is by id and no longer than `limit`: one image may be in a catalog a million times.
        """
        with self._read() as conn:
            return reading.by_digest(conn, images.c[kind], digests, tenant_id, conditions, limit)

    def ids_matching(self, tenant_id: int | None, conditions: Sequence[Condition]) -> Ids:
        """The ids, ascending, of images that satisfy every condition; `catalog.filters` says what they mean."""
        with self._read() as conn:
            return reading.ids_matching(conn, tenant_id, conditions)

    def browse(
        self,
        tenant_id: int,
        *,
        after: str | None = None,
        limit: int = 1000,
        conditions: Sequence[Condition] = (),
        prefix: str = "",
    ) -> list[Record]:
        """Up to `limit` images by key (code point order), of those whose keys begin with `prefix`.

        The last key is the next call's `after`. Raises BadInput for one that cannot be a key.
        """
        check_limit(limit)
        if after is not None:
            check_text("the key to go on after", after)
        with self._read() as conn:
            return reading.browse(conn, tenant_id, after, limit, conditions, prefix)

    def count(self, tenant_id: int | None = None) -> int:
        """How many images there are."""
        with self._read() as conn:
            return reading.count(conn, tenant_id)

    def totals(self, tenant_id: int | None = None) -> CatalogTotals:
        """Images and bytes, in all and by format."""
        with self._read() as conn:
            return reading.totals(conn, tenant_id)
