"""Attributes as terms of one keyword field, and conditions on them as Elasticsearch filters.

An inverted index holds strings, ordered by their UTF-8 bytes, which is the order of code points. So each top-level
attribute becomes two terms: its name, for `exists`, and `name NUL type value`, where the value is encoded so that terms
order as values do. The semantics of conditions are defined in `catalog.filters`.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Any

from lookalike.catalog.built_in_attributes import FILE_ATTRIBUTES
from lookalike.catalog.filters import to_sql
from lookalike.types import Attributes, Condition

MAX_TERM_BYTES = 512
"""Bytes of a text stored verbatim in a term. Both bounds of a range must stay below 1,000 bytes (Lucene compiles them
to automata, byte by byte); a term could have 32,766."""
MAX_NAME_BYTES = 256
"""Bytes of a name, likewise."""
_TEXT, _NUMBER = "s", "n"
_SIGN = 1 << 63

JSON = dict[str, Any]


def terms_of(attributes: Attributes) -> list[str]:
    """The terms indexed for an image's attributes."""
    terms = []
    for name, value in attributes.items():
        named = _name(name)
        terms += [named, f"{named}\0{_typed(value)}"]
    return terms


def filters_of(conditions: Sequence[Condition], field: str) -> list[JSON] | None:
    """The equivalent filters, all of which must pass; None if only the catalog can compare (very long texts, files).

    Raises BadInput for an invalid condition, as the catalog does.
    """
    to_sql(conditions, "sqlite")
    if any(condition.attribute in FILE_ATTRIBUTES for condition in conditions):
        return None
    filters = [_clause(condition, field) for condition in conditions]
    return None if any(each is None for each in filters) else [each for each in filters if each is not None]


def _clause(condition: Condition, field: str) -> JSON | None:
    name, value = _name(condition.attribute), condition.value
    if condition.op == "exists":
        exists: JSON = {"term": {field: name}}
        return exists if value else _not(exists)
    if condition.op in ("eq", "ne"):
        equal: JSON = {"term": {field: f"{name}\0{_typed(value)}"}}
        return equal if condition.op == "eq" else _not(equal)
    if condition.op == "in":
        return {"terms": {field: sorted({f"{name}\0{_typed(each)}" for each in value})}}
    kind = _TEXT if isinstance(value, str) else _NUMBER
    if kind == _TEXT and len(value.encode()) > MAX_TERM_BYTES:
        return None
    bound = f"{name}\0{_typed(value)}"
    if condition.op in ("lt", "lte"):
        return {"range": {field: {"gte": f"{name}\0{kind}", condition.op: bound}}}
    return {"range": {field: {condition.op: bound, "lt": f"{name}\0{chr(ord(kind) + 1)}"}}}


def _not(clause: JSON) -> JSON:
    return {"bool": {"must_not": [clause]}}


def _name(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    return f"\1{hashlib.sha256(name.encode()).hexdigest()}"


def _typed(value: object) -> str:
    """The type as one letter, then the value; lists and objects equal nothing, so their content is omitted.

    Of a long text the prefix and a digest: equal only to itself, and ordered among shorter texts.
    """
    if value is None:
        return "z"
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, str):
        data = value.encode()
        if len(data) <= MAX_TERM_BYTES:
            return _TEXT + value
        return f"{_TEXT}{data[:MAX_TERM_BYTES].decode(errors='ignore')}\0{hashlib.sha256(data).hexdigest()}"
    if isinstance(value, (int, float)):
        return _NUMBER + _number(value)
    return "o"


def _number(value: float) -> str:
    """20 hexadecimal digits that order as numbers do: the nearest double, then the remainder of an integer.

    The bits of doubles order as integers once the sign bit is flipped, and all bits of negative numbers. Integers of
    more than 64 bits are treated as doubles, as databases do.
    """
    try:
        nearest = float(value)
    except OverflowError:
        nearest = math.inf if value > 0 else -math.inf
    remainder = value - int(nearest) if isinstance(value, int) and -_SIGN <= value < _SIGN else 0
    bits: int = struct.unpack(">Q", struct.pack(">d", nearest + 0.0))[0]  # + 0.0 turns -0.0 into 0.0
    ordered = bits ^ (2 * _SIGN - 1) if bits & _SIGN else bits | _SIGN
    return f"{ordered:016x}{remainder + 0x8000:04x}"
