"""What people said of pairs of images: on every database."""

import threading

import pytest

from lookalike.catalog import Catalog
from lookalike.catalog.duplicate_feedback import MAX_KEYS
from lookalike.errors import BadInput, NotFound
from tests.support.catalogs import entry


@pytest.fixture
def tenant(catalog: Catalog) -> int:
    """Five images a to e; d and e have the same bytes."""
    tenant_id = catalog.tenants.get_or_create("ann")
    catalog.images.put([entry(tenant_id, key, "d" if key == "e" else key) for key in "abcde"])
    return tenant_id


def marked(catalog: Catalog, tenant: int, keys: str = "abcde") -> set[str]:
    """The pairs that are marked, of all there are, as "ab"."""
    ids = {catalog.images.get(tenant, key).id: key for key in keys}
    found = catalog.duplicate_feedback.marked_links(
        tenant, {one: [other for other in ids if other != one] for one in ids}
    )
    assert {(b, a) for a, b in found} == found
    return {"".join(sorted(ids[one] + ids[other])) for one, other in found}


def test_marks_are_of_pairs_and_can_be_taken_back(catalog: Catalog, tenant: int) -> None:
    assert marked(catalog, tenant) == set()
    catalog.duplicate_feedback.mark(tenant, ["c", "a", "b"])
    catalog.duplicate_feedback.mark(tenant, ["a", "b"])  # once more
    assert marked(catalog, tenant) == {"ab", "ac", "bc"}
    catalog.duplicate_feedback.unmark(tenant, ["b", "c", "d"])
    assert marked(catalog, tenant) == {"ab", "ac"}


def test_marks_are_of_bytes(catalog: Catalog, tenant: int) -> None:
    catalog.duplicate_feedback.mark(tenant, ["a", "d"])
    assert marked(catalog, tenant) == {"ad", "ae"}
    catalog.duplicate_feedback.mark(tenant, ["d", "e"])  # twins that are kept on purpose
    assert marked(catalog, tenant) == {"ad", "ae", "de"}
    catalog.images.delete(tenant, ["a"])
    catalog.images.put([entry(tenant, "again", "a")])
    ids = [catalog.images.get(tenant, key).id for key in ("again", "d")]
    assert catalog.duplicate_feedback.marked_links(tenant, {ids[0]: [ids[1], 999]}) == {(ids[0], ids[1])}
    catalog.images.put([entry(tenant, "d", "other bytes")])
    assert catalog.duplicate_feedback.marked_links(tenant, {ids[0]: [ids[1]]}) == set()


def test_marks_are_a_tenant_s_own(catalog: Catalog, tenant: int) -> None:
    other = catalog.tenants.get_or_create("bob")
    catalog.images.put([entry(other, key, key) for key in "abc"])
    catalog.duplicate_feedback.mark(other, ["a", "b"])
    assert marked(catalog, tenant) == set()
    assert marked(catalog, other, "abc") == {"ab"}
    with pytest.raises(NotFound):
        catalog.duplicate_feedback.mark(other, ["a", "d"])


def test_what_cannot_be_judged(catalog: Catalog, tenant: int) -> None:
    with pytest.raises(BadInput):
        catalog.duplicate_feedback.mark(tenant, ["a", "a"])
    with pytest.raises(NotFound, match="nobody"):
        catalog.duplicate_feedback.mark(tenant, ["a", "nobody"])
    with pytest.raises(NotFound):
        catalog.duplicate_feedback.unmark(tenant, ["a", "nul\0"])
    with pytest.raises(BadInput, match=str(MAX_KEYS)):
        catalog.duplicate_feedback.mark(tenant, [str(n) for n in range(MAX_KEYS + 1)])
    assert marked(catalog, tenant) == set()


def test_several_say_the_same_at_once(catalog: Catalog, tenant: int) -> None:
    failed: list[Exception] = []

    def mark() -> None:
        try:
            for _ in range(5):
                catalog.duplicate_feedback.mark(tenant, ["a", "b", "c"])
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=mark) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert marked(catalog, tenant) == {"ab", "ac", "bc"}


def test_the_most_at_once(catalog: Catalog, tenant: int) -> None:
    keys = [f"k{n}" for n in range(MAX_KEYS)]
    catalog.images.put([entry(tenant, key, key) for key in keys])
    catalog.duplicate_feedback.mark(tenant, keys)
    ids = [catalog.images.get(tenant, key).id for key in keys]
    assert len(catalog.duplicate_feedback.marked_links(tenant, dict.fromkeys(ids, ids))) == MAX_KEYS * (MAX_KEYS - 1)
    catalog.duplicate_feedback.unmark(tenant, keys)
    assert catalog.duplicate_feedback.marked_links(tenant, dict.fromkeys(ids, ids)) == set()
