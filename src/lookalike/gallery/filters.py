"""Filters as people write them, turned into conditions."""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from lookalike.catalog import Catalog
from lookalike.errors import UnsupportedQuery
from lookalike.types import Condition, Op, ResolvedFilter

OPS: tuple[Op, ...] = get_args(Op)
_SYMBOLS = {"!=": "ne", "<=": "lte", ">=": "gte", "=": "eq", "<": "lt", ">": "gt"}
_WRITTEN = re.compile(r"^\s*([\w.:-]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*$", re.DOTALL)

Filter = Mapping[str, Any]
"""`{"album": "Alps", "year": {"gte": 2019, "lt": 2021}, "tag": {"in": ["a", "b"]}}`: all must hold."""


def conditions_of(filter: Filter) -> tuple[Condition, ...]:
    """The conditions of a filter; raises UnsupportedQuery for an unknown operator."""
    found = []
    for attribute, wanted in filter.items():
        for op, value in wanted.items() if isinstance(wanted, Mapping) else [("eq", wanted)]:
            if op not in OPS:
                raise UnsupportedQuery(f"unknown operator {op!r} for {attribute!r}; there are {', '.join(OPS)}")
            found.append(Condition(attribute, op, tuple(value) if op == "in" else value))
    return tuple(found)


def parse_filter(written: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A filter from texts such as `album=Alps`, `year>=2019`, `tag!=old`, `size=null`.

    Values are read as JSON where they are JSON (numbers, true, false, null, quoted strings), else as they stand.
    """
    filter: dict[str, dict[str, Any]] = {}
    for text in written:
        match = _WRITTEN.match(text)
        if match is None:
            raise UnsupportedQuery(f"cannot read the filter {text!r}; write ATTRIBUTE=VALUE (or != < <= > >=)")
        attribute, symbol, value = match.groups()
        filter.setdefault(attribute, {})[_SYMBOLS[symbol]] = parse_value(value)
    return filter


def parse_value(text: str) -> Any:
    """A JSON value where the text is one, else the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def resolve_filter(
    catalog: Catalog, tenant: int | None, filter: Filter | None, native: Mapping[str, Any] | None = None
) -> ResolvedFilter | None:
    """The filter for an index; its ids are worked out by the catalog once, when first asked for.

    `native` are further filters in engines' own words, by the engine's name.
    """
    if not filter and not native:
        return None
    conditions = conditions_of(filter or {})
    return ResolvedFilter(
        conditions, functools.cache(lambda: catalog.images.ids_matching(tenant, conditions)), native or {}
    )
