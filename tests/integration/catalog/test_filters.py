"""Filters against the same conditions evaluated in Python."""

import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.catalog.filters import MAX_VALUES
from lookalike.catalog.sqlite import MAX_INDEXED_LENGTH
from lookalike.errors import BadInput
from lookalike.types import Condition
from tests.support.catalogs import BACKENDS, entry, fresh

# Names that a careless translation would stumble over.
NAMES = st.sampled_from(["a", "a.b", "$", "x y", "o'clock", "]", "Größe", "%s", ":n", "*", "--"])
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, -2.5, 2**53, 10**15]))
LONG = "ö" * MAX_INDEXED_LENGTH
STRINGS = st.sampled_from(
    [
        "",
        "x" * 100 + "y",
        "x" * 100 + "z",
        "1",
        "true",
        "null",
        "a",
        "B",
        "ä",
        "\U0001f408",
        "\uffff",
        "' OR 1=1",
        'say "x"',
        "a\\b",
    ]
)
SCALARS = st.one_of(NUMBERS, STRINGS, st.booleans(), st.none())
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.just("b"), SCALARS, max_size=1))
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=5)
CONDITIONS = st.one_of(
    st.builds(Condition, NAMES, st.sampled_from(["eq", "ne"]), SCALARS),
    st.builds(Condition, NAMES, st.sampled_from(["lt", "lte", "gt", "gte"]), st.one_of(NUMBERS, STRINGS)),
    st.builds(Condition, NAMES, st.just("in"), st.lists(SCALARS, max_size=4).map(tuple)),
    st.builds(Condition, NAMES, st.just("exists"), st.booleans()),
)


def kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def equal(left: object, right: object) -> bool:
    return kind(left) == kind(right) and kind(left) not in ("list", "dict") and left == right


def holds(condition: Condition, attributes: dict[str, Any]) -> bool:
    there = condition.attribute in attributes
    value = attributes.get(condition.attribute)
    if condition.op == "exists":
        return there == condition.value
    if condition.op == "ne":
        return not (there and equal(value, condition.value))
    if not there:
        return False
    if condition.op == "eq":
        return equal(value, condition.value)
    if condition.op == "in":
        return any(equal(value, one) for one in condition.value)
    names = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
    return kind(value) == kind(condition.value) and bool(names[condition.op](value, condition.value))


@pytest.mark.parametrize("backend", BACKENDS)
def test_filters_mean_what_python_means(backend: str) -> None:
    with fresh(backend) as catalog:
        tenant, other = (catalog.tenants.get_or_create(name) for name in ("anna", "bert"))

        @settings(max_examples=60 if backend == "sqlite" else 25, deadline=None)
        @given(
            images=st.lists(ATTRIBUTES, min_size=1, max_size=12),
            queries=st.lists(st.lists(CONDITIONS, max_size=3), min_size=5, max_size=20),
        )
        def check(images: list[dict[str, Any]], queries: list[list[Condition]]) -> None:
            catalog.images.delete(tenant, [record.key for record in catalog.images.list_page(tenant)])
            puts = catalog.images.put([entry(tenant, f"k{n}", attributes=a, features={}) for n, a in enumerate(images)])
            catalog.images.put([entry(other, "same", attributes=images[0], features={})])
            for conditions in queries:
                expected = [
                    put.id
                    for put, attributes in zip(puts, images, strict=True)
                    if all(holds(condition, attributes) for condition in conditions)
                ]
                assert catalog.images.ids_matching(tenant, conditions).tolist() == expected, conditions
                everywhere = len(expected) + all(holds(condition, images[0]) for condition in conditions)
                assert len(catalog.images.ids_matching(None, conditions)) == everywhere

        check()


@pytest.mark.parametrize(
    "condition",
    [
        Condition('quo"te', "eq", 1),
        Condition("back\\slash", "eq", 1),
        Condition("new\nline", "eq", 1),
        Condition("", "eq", 1),
        Condition("a", "eq", [1]),
        Condition("a", "lt", True),
        Condition("a", "gt", None),
        Condition("a", "eq", float("nan")),
        Condition("a", "lt", 2**64),
        Condition("a", "in", "text"),
        Condition("a", "in", tuple(range(MAX_VALUES + 1))),
        Condition("a", "exists", 1),
        Condition("a", "like", "x"),  # type: ignore[arg-type]
        Condition("a", "eq", "\udce9"),
    ],
)
def test_conditions_without_sense_are_refused(condition: Condition) -> None:
    with fresh("sqlite") as catalog, pytest.raises(BadInput, match=r"attribute|value"):
        catalog.images.ids_matching(None, [condition])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_longest_list_works(backend: str) -> None:
    with fresh(backend) as catalog:
        tenant = catalog.tenants.get_or_create("anna")
        catalog.images.put([entry(tenant, "a", attributes={"n": 7, "s": "7"}, features={})])
        numbers = Condition("n", "in", tuple(range(MAX_VALUES)))
        texts = Condition("s", "in", tuple(map(str, range(MAX_VALUES))))
        assert len(catalog.images.ids_matching(tenant, [numbers, texts])) == 1
