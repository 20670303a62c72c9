"""Changes on condition, and the thumbnails that go with images: on every database."""

import threading
from collections.abc import Iterator

import pytest

from lookalike.catalog import Catalog
from lookalike.errors import Conflict, NotFound
from lookalike.types import Condition
from tests.support.catalogs import BACKENDS, entry, fresh


@pytest.fixture(params=BACKENDS)
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    with fresh(request.param) as made:
        yield made


@pytest.fixture
def tenant(catalog: Catalog) -> int:
    return catalog.tenant_id("ann", create=True)


def test_putting_where_nothing_may_be(catalog: Catalog, tenant: int) -> None:
    [put] = catalog.put([entry(tenant, "a", expected=0)])
    with pytest.raises(Conflict, match="expected not to be there") as raised:
        catalog.put([entry(tenant, "b"), entry(tenant, "a", 1, expected=0)])
    assert raised.value.sequence == put.seq
    assert [r.key for r in catalog.browse(tenant)] == ["a"]  # all of them or none
    assert catalog.sequence() == put.seq


def test_putting_over_the_version_that_was_seen(catalog: Catalog, tenant: int) -> None:
    [first] = catalog.put([entry(tenant, "a")])
    [second] = catalog.put([entry(tenant, "a", 1, expected=first.seq)])
    with pytest.raises(Conflict) as raised:
        catalog.put([entry(tenant, "a", 2, expected=first.seq)])
    assert raised.value.sequence == second.seq
    with pytest.raises(Conflict, match="gone") as raised:
        catalog.put([entry(tenant, "nothing", expected=second.seq)])
    assert raised.value.sequence is None


def test_attributes_and_deletions_on_condition(catalog: Catalog, tenant: int) -> None:
    [put] = catalog.put([entry(tenant, "a")])
    changed = catalog.set_attributes(tenant, "a", {"n": 1}, expected=put.seq)
    with pytest.raises(Conflict):
        catalog.set_attributes(tenant, "a", {"n": 2}, expected=put.seq)
    assert catalog.get(tenant, "a").attributes == {"n": 1}
    with pytest.raises(NotFound):
        catalog.set_attributes(tenant, "b", {}, expected=changed)
    with pytest.raises(Conflict):
        catalog.delete(tenant, ["a"], expected=put.seq)
    assert [gone.key for gone in catalog.delete(tenant, ["a", "b"], expected=changed)] == ["a"]
    assert catalog.delete(tenant, ["a"], expected=changed) == []


def test_of_many_who_saw_the_same_one_succeeds(catalog: Catalog, tenant: int) -> None:
    [put] = catalog.put([entry(tenant, "a")])
    done: list[str] = []
    start = threading.Barrier(6)

    def change(number: int) -> None:
        start.wait()
        try:
            catalog.set_attributes(tenant, "a", {"by": number}, expected=put.seq)
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
    assert winner == f"changed by {catalog.get(tenant, 'a').attributes['by']}"


def test_thumbnails_live_and_die_with_their_bytes(catalog: Catalog, tenant: int) -> None:
    catalog.put([entry(tenant, "a", path=None, thumbnail=b"small"), entry(tenant, "b")])
    assert catalog.with_thumbnail(tenant, "a") == (catalog.get(tenant, "a"), b"small")
    assert catalog.with_thumbnail(tenant, "b")[1] is None
    with pytest.raises(NotFound):
        catalog.with_thumbnail(tenant, "c")
    catalog.put([entry(tenant, "a", attributes={"n": 1})])
    catalog.set_attributes(tenant, "a", {"n": 2})
    assert catalog.with_thumbnail(tenant, "a")[1] == b"small"  # the same bytes
    catalog.put([entry(tenant, "a", thumbnail=b"made anew")])
    assert catalog.with_thumbnail(tenant, "a")[1] == b"made anew"
    catalog.put([entry(tenant, "a", 1)])
    assert catalog.with_thumbnail(tenant, "a")[1] is None  # other bytes
    catalog.put([entry(tenant, "a", 2, thumbnail=b"of two")])
    catalog.delete(tenant, ["a"])
    catalog.put([entry(tenant, "a", 2)])
    assert catalog.with_thumbnail(tenant, "a")[1] is None
    catalog.put([entry(tenant, "c", attributes={"n": 3}, thumbnail=b"c")])
    catalog.delete_by_filter(tenant, [Condition("n", "eq", 3)])
    catalog.check()


def test_of_one_key_twice_the_later_thumbnail_stays(catalog: Catalog, tenant: int) -> None:
    catalog.put([entry(tenant, "a", 1, thumbnail=b"one"), entry(tenant, "a", 2, thumbnail=b"two")])
    assert catalog.with_thumbnail(tenant, "a")[1] == b"two"
    catalog.put([entry(tenant, "a", 3, thumbnail=b"three"), entry(tenant, "a", 4)])
    assert catalog.with_thumbnail(tenant, "a")[1] is None
