"""Frames, truncation and EXIF fields in every database, and catalogs from before they were stored."""

from lookalike.catalog import Catalog
from lookalike.catalog.migrations import migrate, version_of
from lookalike.catalog.schema import VERSION
from tests.support.catalogs import entry, make_schema_2

EXIF = {"captured": "2019-07-14T09:30:00", "camera": "Größe „5“", "latitude": 47.5, "orientation": 6}


def details(catalog: Catalog, tenant: int, key: str) -> tuple[int, bool, dict[str, object]]:
    record = catalog.images.get(tenant, key)
    return record.frames, record.truncated, dict(record.exif)


def test_they_come_back_as_they_were_put_and_are_replaced(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", 1, frames=12, truncated=True, exif=EXIF), entry(tenant, "b", 2)])
    assert details(catalog, tenant, "a") == (12, True, EXIF)
    assert details(catalog, tenant, "b") == (1, False, {})
    catalog.images.put([entry(tenant, "a", 3), entry(tenant, "b", 4, frames=2, exif=EXIF)])
    assert details(catalog, tenant, "a") == (1, False, {})
    assert details(catalog, tenant, "b") == (2, False, EXIF)


def test_attributes_are_changed_without_them(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", 1, frames=3, exif=EXIF, attributes={"year": 2019})])
    catalog.images.set_attributes(tenant, "a", {})
    assert details(catalog, tenant, "a") == (3, False, EXIF)
    assert catalog.images.get(tenant, "a").attributes == {}


def test_images_of_schema_2_are_read_and_replaced(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "old", 1, attributes={"year": 2019})])
    before = catalog.images.get(tenant, "old")
    make_schema_2(catalog)
    with catalog.database.write() as conn:
        migrate(conn, 2)
    with catalog.database.read() as conn:
        assert version_of(conn) == VERSION
    assert catalog.images.get(tenant, "old") == before
    assert details(catalog, tenant, "old") == (1, False, {})
    assert [r.key for r in catalog.images.list_page(tenant, sort="exif.captured")] == ["old"]
    catalog.images.put([entry(tenant, "old", 1, frames=2, exif=EXIF), entry(tenant, "new", 2, exif=EXIF)])
    assert details(catalog, tenant, "old") == (2, False, EXIF)
    catalog.check()
