"""Verification records in every database: they live and die with their image and its bytes."""

import pytest
from sqlalchemy import update

from lookalike.catalog import Catalog, RecordTotals
from lookalike.catalog.migrations import migrate
from lookalike.catalog.schema import verification_records as table
from lookalike.errors import Damaged, NotFound
from lookalike.types import Condition
from tests.support.catalogs import digest, entry, make_schema_2


def record_of(catalog: Catalog, tenant: int, key: str) -> bytes | None:
    return catalog.verification_records.get(catalog.images.get(tenant, key).id)


def test_a_record_is_replaced_with_the_bytes_and_kept_with_them(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", 1, verification_record=b"one"), entry(tenant, "b", 2)])
    assert record_of(catalog, tenant, "a") == b"one"
    assert record_of(catalog, tenant, "b") is None
    catalog.images.put([entry(tenant, "a", 1, attributes={"n": 1})])
    assert record_of(catalog, tenant, "a") == b"one"  # the same bytes
    catalog.images.put([entry(tenant, "a", 1, verification_record=b"made anew")])
    assert record_of(catalog, tenant, "a") == b"made anew"
    catalog.images.put([entry(tenant, "a", 3)])
    assert record_of(catalog, tenant, "a") is None  # other bytes
    twice = [entry(tenant, "a", 4, verification_record=b"four"), entry(tenant, "a", 5, verification_record=b"five")]
    catalog.images.put(twice)
    assert record_of(catalog, tenant, "a") == b"five"
    assert catalog.verification_records.totals() == RecordTotals(1, 4)


def test_it_is_deleted_with_its_image_in_each_way(catalog: Catalog, tenant: int) -> None:
    other = catalog.tenants.get_or_create("other")
    new = [entry(tenant, key, key, attributes={"n": 1}, verification_record=b"12345") for key in "abc"]
    catalog.images.put([*new, entry(other, "a", verification_record=b"123")])
    assert catalog.verification_records.totals() == RecordTotals(4, 18)
    catalog.images.delete(tenant, ["a"])
    assert catalog.verification_records.totals() == RecordTotals(3, 13)
    catalog.images.delete_by_filter(tenant, [Condition("n", "eq", 1)])
    assert catalog.verification_records.totals() == RecordTotals(1, 3)
    catalog.images.put([entry(tenant, "a", "a")])
    assert record_of(catalog, tenant, "a") is None
    assert catalog.verification_records.delete_all() == 1
    assert catalog.verification_records.totals() == RecordTotals(0, 0)
    assert catalog.images.count() == 2


def test_a_batch_that_fails_leaves_the_records_as_they_were(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", 1, verification_record=b"one")])
    with pytest.raises(NotFound):
        catalog.images.put([entry(tenant, "a", 2, verification_record=b"two"), entry(tenant + 99, "b")])
    assert record_of(catalog, tenant, "a") == b"one"
    assert catalog.verification_records.totals() == RecordTotals(1, 3)


def test_a_copy_takes_the_record_of_its_source_where_asked(catalog: Catalog, tenant: int) -> None:
    [source] = catalog.images.put([entry(tenant, "source", 1, verification_record=b"one")])
    with_record = entry(tenant, "with", 1, copy_of=source.id, copy_record=True)
    catalog.images.put([with_record, entry(tenant, "without", 1, copy_of=source.id)])
    assert record_of(catalog, tenant, "with") == b"one"
    assert record_of(catalog, tenant, "without") is None
    ids = [catalog.images.get(tenant, key).id for key in ("source", "with", "without")]
    assert catalog.verification_records.present([*ids, 10**9]) == set(ids[:2])
    [refused] = catalog.images.put([entry(tenant, "other", 2, copy_of=source.id, copy_record=True)])
    assert not refused.copied  # other bytes
    assert record_of(catalog, tenant, "other") is None


def test_records_are_added_later_unless_the_bytes_have_changed(catalog: Catalog, tenant: int) -> None:
    new = [entry(tenant, "a", 1), entry(tenant, "b", 2, path=None), entry(tenant, "c", 3, verification_record=b"c")]
    catalog.images.put(new)
    page = catalog.verification_records.page()
    assert [(record.key, data) for record, data in page] == [("a", None), ("c", b"c")]  # the other has no file
    assert [r.key for r, _ in catalog.verification_records.page(after_id=page[0][0].id)] == ["c"]
    (a, _), (c, _) = page
    before = catalog.changes.last_sequence()
    wrong, gone = (c.id, digest("other"), b"x"), (10**9, a.sha256, b"x")
    assert catalog.verification_records.put([(a.id, a.sha256, b"added"), wrong, gone]) == 1
    assert record_of(catalog, tenant, "a") == b"added"
    assert record_of(catalog, tenant, "c") == b"c"
    assert catalog.changes.last_sequence() == before  # no index needs to know


def test_a_size_that_does_not_fit_is_found(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", 1, verification_record=b"12345")])
    with catalog.database.write() as conn:
        conn.execute(update(table).values(nbytes=4))
    with pytest.raises(Damaged, match="1 verification records have a wrong size"):
        catalog.check()
    with catalog.database.write() as conn:
        conn.execute(update(table).values(nbytes=5))


def test_a_catalog_of_schema_2_gets_the_table(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "old", 1)])
    make_schema_2(catalog)
    with catalog.database.write() as conn:
        migrate(conn, 2)
    assert record_of(catalog, tenant, "old") is None
    catalog.images.put([entry(tenant, "old", 2, verification_record=b"two"), entry(tenant, "new", 3)])
    assert record_of(catalog, tenant, "old") == b"two"
    catalog.images.delete(tenant, ["old"])
    assert catalog.verification_records.totals() == RecordTotals(0, 0)
