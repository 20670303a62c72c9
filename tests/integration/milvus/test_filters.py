"""Filters in Milvus have the catalog's semantics, on a server and in Milvus Lite."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import BadInput, UnsupportedQuery
from lookalike.indexes.milvus import filters as milvus_filters
from lookalike.indexes.milvus.index import MilvusIndex, drop_index, open_index
from lookalike.types import Condition, ResolvedFilter, Rows
from tests.integration.catalog.test_filters import ATTRIBUTES, CONDITIONS, NUMBERS, SCALARS, holds
from tests.support.engines.milvus import milvus_url, new_gallery
from tests.support.engines.milvus_rows import SPEC, rows

LARGE = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), NUMBERS)
LONG = "x" * 250
"""Longer than the stored prefix of a string."""


@pytest.fixture(params=["server", "lite"], scope="module")
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusIndex]:
    if request.param == "server":
        url = f"{milvus_url()}?index=FLAT&consistency=strong"
    else:
        url = f"milvus-lite://{tmp_path_factory.mktemp('lite') / 'filters.db'}"
    gallery = new_gallery()
    index = open_index(SPEC, url, gallery)
    yield index
    index.close()
    drop_index(SPEC, url, gallery)


def passing(index: MilvusIndex, conditions: tuple[Condition, ...], ids: Any = None, **native: Any) -> list[int]:
    """The ids that pass; the catalog may be called only if `ids` is given."""

    def never() -> Any:
        raise AssertionError("the catalog was called")

    filter = ResolvedFilter(conditions, never if ids is None else lambda: np.array(ids, np.int64), native)
    found = index.search(rows([1]).features, 100, filter=filter)
    return sorted(found.ids[found.ids > 0].tolist())


def test_filters_equal_the_catalogs(index: MilvusIndex) -> None:
    rng = np.random.default_rng(0)

    @settings(max_examples=12, deadline=None)
    @given(
        images=st.lists(ATTRIBUTES, min_size=8, max_size=16),
        queries=st.lists(st.lists(CONDITIONS, min_size=1, max_size=3), min_size=10, max_size=20),
    )
    def check(images: list[dict[str, Any]], queries: list[list[Condition]]) -> None:
        index.delete(np.arange(1, 100))
        ids = rng.permutation(len(images)) + 1
        index.upsert(rows(ids, attributes=images))
        for conditions in queries:
            expected = [
                int(id_)
                for id_, attributes in zip(ids, images, strict=True)
                if all(holds(condition, attributes) for condition in conditions)
            ]
            assert passing(index, tuple(conditions)) == sorted(expected), conditions

    check()


@settings(max_examples=300, deadline=None)
@given(values=st.lists(LARGE, min_size=2, max_size=20))
def test_encoded_numbers_order_as_numbers(values: list[int | float]) -> None:
    written = [milvus_filters.encode({"a": value})["k61"] for value in values]  # type: ignore[index]
    for left, wrote_left in zip(values, written, strict=True):
        for right, wrote_right in zip(values, written, strict=True):
            assert (left < right, left == right) == (wrote_left < wrote_right, wrote_left == wrote_right)


@given(values=st.lists(st.one_of(SCALARS, st.text(max_size=4)), min_size=2, max_size=12))
def test_values_of_different_types_never_equal(values: list[Any]) -> None:
    def written(value: Any) -> str:
        return milvus_filters.encode({"a": value})["k61"]  # type: ignore[index]

    for left in values:
        for right in values:
            same = left == right and isinstance(left, bool) == isinstance(right, bool)
            assert (written(left) == written(right)) == same


def test_long_strings_and_large_rows(index: MilvusIndex) -> None:
    """Long strings are compared for equality but ordered by the catalog; oversized rows leave all filtering to it."""
    index.clear()
    index.upsert(rows([1, 2, 3], attributes=[{"a": LONG}, {"a": LONG + "y"}, {"a": "x"}]))
    assert passing(index, (Condition("a", "eq", LONG),)) == [1]
    assert passing(index, (Condition("a", "ne", LONG + "y"),)) == [1, 3]
    assert passing(index, (Condition("a", "gt", "x" * 200),)) == [1, 2]
    assert passing(index, (Condition("a", "lte", "x" * 200),)) == [3]
    assert passing(index, (Condition("a", "gt", LONG),), ids=[2]) == [2]
    assert passing(index, (Condition("a", "in", tuple(range(milvus_filters.MAX_VALUES + 1))),), ids=[3]) == [3]
    large = {f"name{n}": "v" * 200 for n in range(400)}
    index.upsert(rows([4], attributes=[large]))
    assert passing(index, (Condition("name7", "eq", "v" * 200),), ids=[4]) == [4]
    assert index.collection.oversized


def test_ids_of_the_catalog_in_many_requests(index: MilvusIndex) -> None:
    index.clear()
    index.upsert(rows(range(1, 51)))
    assert passing(index, (), ids=[*range(7, 12), *range(1000, 26_000)]) == list(range(7, 12))
    with pytest.raises(UnsupportedQuery, match="200000"):
        passing(index, (), ids=range(1, 200_002))


def test_engine_filter(index: MilvusIndex) -> None:
    index.clear()
    index.upsert(rows(range(1, 11), attributes=[{"n": n % 2} for n in range(10)]))
    assert passing(index, (), milvus="id > 7") == [8, 9, 10]
    assert passing(index, (Condition("n", "eq", 1),), milvus="id > 7 or id == 2") == [2, 8, 10]
    for wrong in ({"milvus": 7}, {"elasticsearch": {}}, {"milvus": "id >"}, {"milvus": "no such words"}):
        with pytest.raises(UnsupportedQuery):
            passing(index, (), **wrong)
    with pytest.raises(BadInput):
        passing(index, (Condition("n", "lt", True),))
    assert index.search(rows([1]).features, 3).ids[0, 0] == 1  # a bad filter does no harm


def test_attributes_follow_the_rows(index: MilvusIndex) -> None:
    index.clear()
    index.upsert(rows([1, 2], attributes=[{"a": 1}, {"a": 2}]))
    index.upsert(rows([2], attributes=[{"a": 1}]))
    assert passing(index, (Condition("a", "eq", 1),)) == [1, 2]
    with pytest.raises(BadInput, match="attributes"):
        index.upsert(Rows(*(getattr(rows([1, 2]), name) for name in ("ids", "features", "tenants")), attributes=[{}]))
