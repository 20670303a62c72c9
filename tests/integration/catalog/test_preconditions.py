"""Changes on condition, and the thumbnails that go with images: on every database."""

import threading

import pytest

from lookalike.catalog import Catalog
from lookalike.errors import Conflict, NotFound
from lookalike.types import Condition
from tests.support.catalogs import entry


@pytest.fixture
def tenant(catalog: Catalog) -> int:
    return catalog.tenants.get_or_create("ann")


def test_putting_where_nothing_may_be(catalog: Catalog, tenant: int) -> None:
    [put] = catalog.images.put([entry(tenant, "a", expected=0)])
    with pytest.raises(Conflict, match="expected not to exist") as raised:
        catalog.images.put([entry(tenant, "b"), entry(tenant, "a", 1, expected=0)])
    assert raised.value.sequence == put.sequence
    assert [r.key for r in catalog.images.list_page(tenant)] == ["a"]  # all of them or none
    assert catalog.changes.last_sequence() == put.sequence


def test_putting_over_the_version_that_was_seen(catalog: Catalog, tenant: int) -> None:
    [first] = catalog.images.put([entry(tenant, "a")])
    [second] = catalog.images.put([entry(tenant, "a", 1, expected=first.sequence)])
    with pytest.raises(Conflict) as raised:
        catalog.images.put([entry(tenant, "a", 2, expected=first.sequence)])
    assert raised.value.sequence == second.sequence
    with pytest.raises(Conflict, match="does not exist") as raised:
        catalog.images.put([entry(tenant, "nothing", expected=second.sequence)])
    assert raised.value.sequence is None


def test_attributes_and_deletions_on_condition(catalog: Catalog, tenant: int) -> None:
    [put] = catalog.images.put([entry(tenant, "a")])
    changed = catalog.images.set_attributes(tenant, "a", {"n": 1}, expected=put.sequence)
    with pytest.raises(Conflict):
        catalog.images.set_attributes(tenant, "a", {"n": 2}, expected=put.sequence)
    assert catalog.images.get(tenant, "a").attributes == {"n": 1}
    with pytest.raises(NotFound):
        catalog.images.set_attributes(tenant, "b", {}, expected=changed)
    with pytest.raises(Conflict):
        catalog.images.delete(tenant, ["a"], expected=put.sequence)
    assert [gone.key for gone in catalog.images.delete(tenant, ["a", "b"], expected=changed)] == ["a"]
    assert catalog.images.delete(tenant, ["a"], expected=changed) == []


def test_of_many_who_saw_the_same_one_succeeds(catalog: Catalog, tenant: int) -> None:
    [put] = catalog.images.put([entry(tenant, "a")])
    done: list[str] = []
    start = threading.Barrier(6)

    def change(number: int) -> None:
        start.wait()
        try:
            catalog.images.set_attributes(tenant, "a", {"by": number}, expected=put.sequence)
            done.append(f"changed by {number}")
        except Conflict:
            done.append("conflict")

    threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.count("conflict") == 5
    [winner] = [one for one in done if one != "conflict"]
    assert winner == f"changed by {catalog.images.get(tenant, 'a').attributes['by']}"


def test_thumbnails_live_and_die_with_their_bytes(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", path=None, thumbnail=b"small"), entry(tenant, "b")])
    assert catalog.images.get_with_thumbnail(tenant, "a") == (catalog.images.get(tenant, "a"), b"small")
    assert catalog.images.get_with_thumbnail(tenant, "b")[1] is None
    with pytest.raises(NotFound):
        catalog.images.get_with_thumbnail(tenant, "c")
    catalog.images.put([entry(tenant, "a", attributes={"n": 1})])
    catalog.images.set_attributes(tenant, "a", {"n": 2})
    assert catalog.images.get_with_thumbnail(tenant, "a")[1] == b"small"  # the same bytes
    catalog.images.put([entry(tenant, "a", thumbnail=b"made anew")])
    assert catalog.images.get_with_thumbnail(tenant, "a")[1] == b"made anew"
    catalog.images.put([entry(tenant, "a", 1)])
    assert catalog.images.get_with_thumbnail(tenant, "a")[1] is None  # other bytes
    catalog.images.put([entry(tenant, "a", 2, thumbnail=b"of two")])
    catalog.images.delete(tenant, ["a"])
    catalog.images.put([entry(tenant, "a", 2)])
    assert catalog.images.get_with_thumbnail(tenant, "a")[1] is None
    catalog.images.put([entry(tenant, "c", attributes={"n": 3}, thumbnail=b"c")])
    catalog.images.delete_by_filter(tenant, [Condition("n", "eq", 3)])
    catalog.check()


def test_of_one_key_twice_the_later_thumbnail_stays(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", 1, thumbnail=b"one"), entry(tenant, "a", 2, thumbnail=b"two")])
    assert catalog.images.get_with_thumbnail(tenant, "a")[1] == b"two"
    catalog.images.put([entry(tenant, "a", 3, thumbnail=b"three"), entry(tenant, "a", 4)])
    assert catalog.images.get_with_thumbnail(tenant, "a")[1] is None
