"""The feed of changes: order, pages, tenants, and what is no longer in the log."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lookalike.catalog import Catalog
from lookalike.errors import BadInput, ChangesPruned, UnsupportedQuery
from lookalike.gallery.change_feed import parse_position, read_changes
from lookalike.results import Change
from tests.support.catalogs import BACKENDS, entry, fresh


@pytest.fixture(scope="module", params=BACKENDS)
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    with fresh(request.param) as made:
        yield made


def everything(catalog: Catalog, tenant: int | None, after: int | str = 0, limit: int = 1000) -> list[Change]:
    found: list[Change] = []
    while True:
        page = read_changes(catalog, tenant, after, limit)
        found += page.changes
        after = page.next
        if not page.more:
            assert page.sequence == catalog.changes.last_sequence()
            return found


actions = st.tuples(st.sampled_from(["put", "put", "change", "delete"]), st.integers(0, 1), st.integers(0, 5))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(actions, max_size=25), st.integers(1, 4))
def test_a_reader_has_what_is_there_and_no_tenants_but_its_own(
    catalog: Catalog, todo: list[tuple[str, int, int]], limit: int
) -> None:
    """A reader that stops at any page, while others write, ends with what is stored."""
    tenants = [catalog.tenants.get_or_create(name) for name in ("anna", "bert")]
    readers = [SimpleNamespace(keys={}, after="0") for _ in tenants]

    def read(who: int) -> bool:
        page = read_changes(catalog, tenants[who], readers[who].after, limit)
        for change in page.changes:
            assert change.tenant == ("anna", "bert")[who]
            if change.kind == "deleted":
                readers[who].keys.pop(change.key, None)
            else:
                assert change.image is not None
                readers[who].keys[change.key] = change.image.sequence
        readers[who].after = page.next
        return page.more

    for number, (what, who, key) in enumerate(todo):
        if what == "put":
            catalog.images.put([entry(tenants[who], f"k{key}", number)])
        elif what == "delete":
            catalog.images.delete(tenants[who], [f"k{key}"])
        elif f"k{key}" in catalog.images.existing_images(tenants[who], [f"k{key}"]):
            catalog.images.set_attributes(tenants[who], f"k{key}", {"n": number})
        read(number % 2)
    for who, tenant in enumerate(tenants):
        while read(who):
            pass
        there = {record.key: record.sequence for record in catalog.images.list_page(tenant)}
        assert readers[who].keys == there
    numbers = [change.sequence for change in everything(catalog, None, limit=limit)]
    assert numbers == sorted(set(numbers))


def test_kinds(catalog: Catalog) -> None:
    tenant = catalog.tenants.get_or_create("kinds")
    start = catalog.changes.last_sequence()
    catalog.images.put([entry(tenant, key, key) for key in ("added", "changed", "replaced", "deleted")])
    catalog.images.set_attributes(tenant, "changed", {"n": 1})
    catalog.images.put([entry(tenant, "replaced", 9)])
    catalog.images.delete(tenant, ["deleted"])
    found = everything(catalog, tenant, start)
    assert {change.key: change.kind for change in found} == {
        "added": "added",
        "changed": "updated",
        "replaced": "updated",
        "deleted": "deleted",
    }
    assert [change.key for change in found] == ["added", "changed", "replaced", "deleted"]
    assert [change.image is None for change in found] == [False, False, False, True]


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "", "1-", "9" * 30])
def test_positions_that_are_none(after: str) -> None:
    with pytest.raises(BadInput, match="sequence number"):
        parse_position(after)


@pytest.mark.parametrize("limit", [0, 1001])
def test_limits(catalog: Catalog, limit: int) -> None:
    with pytest.raises(BadInput, match="limit"):
        read_changes(catalog, None, 0, limit)


def test_a_position_of_the_future_is_refused(catalog: Catalog) -> None:
    with pytest.raises(UnsupportedQuery, match="future"):
        read_changes(catalog, None, catalog.changes.last_sequence() + 1, 10)


def test_pruned_deletions_are_not_passed_over(catalog: Catalog) -> None:
    """A reader behind them is told; one that starts at 0 afterwards is not held up, nor one that is up to date."""
    tenant = catalog.tenants.get_or_create("pruned")
    catalog.images.put([entry(tenant, f"k{n}", n) for n in range(6)])
    behind = catalog.changes.last_sequence()
    catalog.images.delete(tenant, ["k0"])
    catalog.changes.prune(catalog.changes.last_sequence())
    last = catalog.changes.last_sequence()
    with pytest.raises(ChangesPruned, match="from 0"):
        read_changes(catalog, tenant, behind, 10)
    assert read_changes(catalog, tenant, last, 10).changes == ()
    assert {change.key for change in everything(catalog, tenant, limit=2)} == {f"k{n}" for n in range(1, 6)}
    page = read_changes(catalog, tenant, 0, 2)
    catalog.images.delete(tenant, ["k5"])
    catalog.changes.prune(catalog.changes.last_sequence())
    with pytest.raises(ChangesPruned):  # k5 may have been read before
        read_changes(catalog, tenant, page.next, 2)


def test_deletions_of_schema_2_have_no_key_and_are_reported_as_lost(catalog: Catalog) -> None:
    tenant = catalog.tenants.get_or_create("old")
    catalog.images.put([entry(tenant, key, key) for key in "ab"])
    behind = catalog.changes.last_sequence()
    catalog.images.delete(tenant, ["a"])
    with catalog.database.write() as conn:
        conn.execute(text("UPDATE deletions SET key = NULL, tenant_id = NULL WHERE seq <= :last"), {"last": behind + 1})
    with pytest.raises(ChangesPruned):
        read_changes(catalog, tenant, behind, 10)
    assert [change.key for change in everything(catalog, tenant)] == ["b"]
    catalog.images.delete(tenant, ["b"])
    assert [change.kind for change in read_changes(catalog, tenant, behind + 1, 10).changes] == ["deleted"]
