"""Filters as people write them, turned into conditions."""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from lookalike.catalog import Catalog
from lookalike.errors import UnsupportedQuery
from lookalike.types import Condition, Op, Where

OPS: tuple[Op, ...] = get_args(Op)
_SYMBOLS = {"!=": "ne", "<=": "lte", ">=": "gte", "=": "eq", "<": "lt", ">": "gt"}
_WRITTEN = re.compile(r"^\s*([\w.:-]+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*$", re.DOTALL)

Filter = Mapping[str, Any]
"""`{"album": "Alps", "year": {"gte": 2019, "lt": 2021}, "tag": {"in": ["a", "b"]}}`: all must hold."""


def conditions_of(where: Filter) -> tuple[Condition, ...]:
    """The conditions of a filter; raises UnsupportedQuery for an unknown operator."""
    found = []
    for attribute, wanted in where.items():
        for op, value in wanted.items() if isinstance(wanted, Mapping) else [("eq", wanted)]:
            if op not in OPS:
                raise UnsupportedQuery(f"unknown operator {op!r} for {attribute!r}; there are {', '.join(OPS)}")
            found.append(Condition(attribute, op, tuple(value) if op == "in" else value))
    return tuple(found)


def parse_filter(written: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A filter from texts such as `album=Alps`, `year>=2019`, `tag!=old`, `size=null`.

    Values are read as JSON where they are JSON (numbers, true, false, null, quoted strings), else as they stand.
    """
    where: dict[str, dict[str, Any]] = {}
    for text in written:
        match = _WRITTEN.match(text)
        if match is None:
            raise UnsupportedQuery(f"cannot read the filter {text!r}; write ATTRIBUTE=VALUE (or != < <= > >=)")
        attribute, symbol, value = match.groups()
        where.setdefault(attribute, {})[_SYMBOLS[symbol]] = parse_value(value)
    return where


def parse_value(text: str) -> Any:
    """A JSON value where the text is one, else the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def where_of(
    catalog: Catalog, tenant: int | None, where: Filter | None, native: Mapping[str, Any] | None = None
) -> Where | None:
    """The filter for an index; its ids are worked out by the catalog once, when first asked for.

    `native` are further filters in engines' own words, by the engine's name.
    """
    if not where and not native:
        return None
    conditions = conditions_of(where or {})
    return Where(conditions, functools.cache(lambda: catalog.ids_where(tenant, conditions)), native or {})
