"""Filters in Elasticsearch have the catalog's semantics, for values of any type and length."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import BadInput, UnsupportedQuery
from lookalike.indexes.elasticsearch.filters import MAX_TERM_BYTES, terms_of
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.types import Condition, FeatureSpec, Ids, ResolvedFilter, Rows
from tests.integration.catalog.test_filters import ATTRIBUTES, CONDITIONS, equal, holds
from tests.support.engines.elasticsearch import name, raw, server

__all__ = ["name"]

SPEC = FeatureSpec("phash", "hamming", 8, "filters 1")
LONG = "ab" * (MAX_TERM_BYTES // 2)
LONG_TEXTS = [
    LONG,
    LONG[:-1],
    LONG + "c",
    LONG + "d",
    "ä" * MAX_TERM_BYTES,
    "ä" * MAX_TERM_BYTES + "b",
    "b" * 40_000,
    "ab",
]
WIDE_NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), -(2**53) - 1, 2**63 - 1, 0.0, -0.0, 5e-324]),
)


def never() -> Ids:
    raise AssertionError("the engine was to filter by itself")


def passing(index: Any, conditions: Sequence[Condition], ids: Callable[[], Ids] = never, **native: Any) -> list[int]:
    """The ids that pass a filter in the index."""
    found = index.search(np.zeros((1, 8), np.uint8), 100, filter=ResolvedFilter(tuple(conditions), ids, native))
    return sorted(found.ids[found.ids >= 0].tolist())


def fill(index: Any, images: Sequence[dict[str, Any]]) -> None:
    index.delete(np.arange(1, 100))
    codes = np.random.default_rng(1).integers(0, 256, (len(images), 8), dtype=np.uint8)
    index.upsert(Rows(np.arange(1, len(images) + 1), codes, np.ones(len(images), np.int64), images))


def test_filters_equal_the_catalogs(name: str) -> None:
    index = open_index(SPEC, f"{server()}?mode=exact&name={name}", "filters")

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        images=st.lists(ATTRIBUTES, min_size=5, max_size=30),
        queries=st.lists(st.lists(CONDITIONS, min_size=1, max_size=3), min_size=10, max_size=25),
    )
    def check(images: list[dict[str, Any]], queries: list[list[Condition]]) -> None:
        fill(index, images)
        for conditions in queries:
            expected = [n for n, a in enumerate(images, 1) if all(holds(each, a) for each in conditions)]
            assert passing(index, conditions) == expected, conditions

    check()
    index.close()


def test_texts_of_any_length(name: str) -> None:
    """Also longer than a term may be; only ordering against such a text needs the catalog."""
    index = open_index(SPEC, f"{server()}?mode=exact&name={name}", "filters")
    images: list[dict[str, Any]] = [{"t": text, "n" * 9000: 1} for text in LONG_TEXTS]
    fill(index, images)
    for text in LONG_TEXTS:
        for op in ("eq", "ne", "lt", "lte", "gt", "gte"):
            condition = Condition("t", op, text)
            expected = [n for n, a in enumerate(images, 1) if holds(condition, a)]
            catalog_calls = list[int]()

            def ids(expected: list[int] = expected, catalog_calls: list[int] = catalog_calls) -> Ids:
                catalog_calls.append(1)
                return np.array(expected, np.int64)

            assert passing(index, [condition], ids) == expected, (op, text[:9], len(text))
            assert bool(catalog_calls) == (op not in ("eq", "ne") and len(text.encode()) > MAX_TERM_BYTES)
        both = Condition("t", "in", (text, "ab"))
        assert passing(index, [both]) == [n for n, a in enumerate(images, 1) if holds(both, a)]
    assert passing(index, [Condition("n" * 9000, "eq", 1)]) == list(range(1, len(images) + 1))
    index.close()


@given(WIDE_NUMBERS, WIDE_NUMBERS)
def test_terms_of_numbers_are_in_the_order_of_numbers(a: float, b: float) -> None:
    left, right = (terms_of({"x": value})[1] for value in (a, b))
    assert (left < right, left == right) == (a < b, a == b)


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.text(alphabet="ab\x01\uffff\U0001f408"),
)
def test_terms_of_texts_are_in_the_order_of_texts(a: str, b: str) -> None:
    left, right = (terms_of({"x": value})[1].encode() for value in (a, b))
    assert (left < right, left == right) == (a < b, equal(a, b))


def test_engine_filter(name: str) -> None:
    """It is combined with the conditions; one for another engine, or an invalid one, is refused."""
    index = open_index(SPEC, f"{server()}?mode=exact&name={name}", "filters")
    fill(index, [{"album": "Alps", "year": 2019}, {"album": "Alps", "year": 2021}, {"album": "Andes"}])
    assert passing(index, [], elasticsearch={"range": {"id": {"gte": 2}}}) == [2, 3]
    assert passing(index, [Condition("album", "eq", "Alps")], elasticsearch={"range": {"id": {"gte": 2}}}) == [2]
    for native in ({"milvus": "a > 1"}, {"elasticsearch": {}}, {"elasticsearch": "id:2"}):
        with pytest.raises(UnsupportedQuery):
            passing(index, [], **native)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no such thing"):
        passing(index, [], elasticsearch={"no such thing": {}})
    with pytest.raises(BadInput, match="attribute"):
        passing(index, [Condition("a", "lt", True)])
    index.close()


def test_long_lists_of_ids_are_applied_to_the_hits(name: str) -> None:
    index = open_index(SPEC, f"{server()}?mode=exact&name={name}", "filters")
    fill(index, [{} for _ in range(50)])
    assert passing(index, [], lambda: np.arange(20, 20_000)) == list(range(20, 51))
    with raw(server()) as client:
        assert client.count(index=name)["count"] == 50
    index.close()
