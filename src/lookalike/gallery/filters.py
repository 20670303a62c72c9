"""Parsing filters and resolving them to conditions."""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from lookalike.catalog import Catalog
from lookalike.catalog.built_in_attributes import BUILT_IN, PREFIXES
from lookalike.errors import UnsupportedQuery
from lookalike.results import Filter
from lookalike.types import Condition, Op, ResolvedFilter
from lookalike.unknown_names import did_you_mean

OPS: tuple[Op, ...] = get_args(Op)
MIN_SIMILARITY = 0.8
"""Of an attribute's name to a built-in one, from which on it is taken for that; below, it is one of the user's own."""
_SYMBOLS = {"!=": "ne", "<=": "lte", ">=": "gte", "=": "eq", "<": "lt", ">": "gt"}
_CONDITION = re.compile(r"^\s*([\w.:-]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*$", re.DOTALL)


def conditions_of(filter: Filter) -> tuple[Condition, ...]:
    """Return the conditions of a filter; raises UnsupportedQuery for an unknown operator or a misspelled attribute."""
    conditions = []
    for attribute, test in filter.items():
        _check_name(attribute)
        for op, value in test.items() if isinstance(test, Mapping) else [("eq", test)]:
            if op not in OPS:
                raise UnsupportedQuery(f"unknown operator {op!r} for {attribute!r}; the operators are {', '.join(OPS)}")
            conditions.append(Condition(attribute, op, tuple(value) if op == "in" else value))
    return tuple(conditions)


def _check_name(attribute: str) -> None:
    """Refuse a misspelled built-in attribute, which no image would have, and which `ne` would find on every image."""
    if not attribute.startswith(PREFIXES) or attribute in BUILT_IN:
        return
    if hint := did_you_mean(attribute, BUILT_IN, min_similarity=MIN_SIMILARITY):
        raise UnsupportedQuery(f"there is no built-in attribute {attribute!r}{hint}")


def parse_filter(conditions: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Parse conditions such as `album=Alps`, `year>=2019`, `tag!=old`, `size=null` to a filter.

    Values are parsed as JSON if they are JSON (numbers, true, false, null, quoted strings), and are text otherwise.
    """
    filter: dict[str, dict[str, Any]] = {}
    for text in conditions:
        match = _CONDITION.match(text)
        if match is None:
            raise UnsupportedQuery(f"cannot parse the filter {text!r}; write ATTRIBUTE=VALUE (or != < <= > >=)")
        attribute, symbol, value = match.groups()
        filter.setdefault(attribute, {})[_SYMBOLS[symbol]] = parse_value(value)
    return filter


def parse_value(text: str) -> Any:
    """Parse a JSON value; text that is no JSON is returned unchanged."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def resolve_filter(
    catalog: Catalog, tenant: int | None, filter: Filter | None, engine_filter: Mapping[str, Any] | None = None
) -> ResolvedFilter | None:
    """Resolve a filter for the indexes; its ids are looked up in the catalog once, at first use.

    `engine_filter` maps engines to further filters in their own query languages.
    """
    if not filter and not engine_filter:
        return None
    conditions = conditions_of(filter or {})
    ids = functools.cache(lambda: catalog.images.ids_matching(tenant, conditions))
    return ResolvedFilter(conditions, ids, engine_filter or {})
