"""Pairs of compared images: kept in every database, replaced, and gone with either image."""

from lookalike.catalog import Catalog
from lookalike.catalog.migrations import migrate
from tests.support.catalogs import entry, make_schema_2


def put_images(catalog: Catalog, *keys: str) -> list[int]:
    tenant = catalog.tenants.get_or_create("default")
    catalog.images.put([entry(tenant, key, key) for key in keys])
    return [catalog.images.get(tenant, key).id for key in keys]


def test_results_are_kept_and_replaced(catalog: Catalog) -> None:
    a, b, c = put_images(catalog, "a", "b", "c")
    catalog.compared_pairs.put({(a, b): (b"one", True), (a, c): (b"two", False)})
    assert catalog.compared_pairs.get([(a, b), (a, c), (b, a), (c, 99)]) == {
        (a, b): (b"one", True),
        (a, c): (b"two", False),
    }
    catalog.compared_pairs.put({(a, b): (b"three", False), (b, a): (b"four", True)})
    assert catalog.compared_pairs.get([(a, b), (b, a)]) == {(a, b): (b"three", False), (b, a): (b"four", True)}
    assert catalog.compared_pairs.get([]) == {}
    catalog.compared_pairs.put({})


def test_they_leave_with_either_image(catalog: Catalog) -> None:
    a, b, c = put_images(catalog, "a", "b", "c")
    every = {(a, b): (b"1", True), (b, c): (b"2", True), (c, a): (b"3", False)}
    catalog.compared_pairs.put(every)
    catalog.images.delete(catalog.tenants.get_or_create("default"), ["b"])
    assert set(catalog.compared_pairs.get(list(every))) == {(c, a)}
    catalog.compared_pairs.put({(a, b): (b"late", True), (a, c): (b"4", True)})  # one image is gone already
    assert set(catalog.compared_pairs.get([(a, b), (a, c)])) == {(a, c)}


def test_a_catalog_of_schema_2_gets_the_table(catalog: Catalog) -> None:
    a, b = put_images(catalog, "a", "b")
    make_schema_2(catalog)
    with catalog.database.write() as conn:
        migrate(conn, 2)
    catalog.compared_pairs.put({(a, b): (b"one", True)})
    catalog.images.delete(catalog.tenants.get_or_create("default"), ["a"])
    assert catalog.compared_pairs.get([(a, b)]) == {}
