"""Attributes as terms of one keyword field, and conditions on them as Elasticsearch's filters.

An inverted index knows strings only, in the order of their UTF-8 bytes, which is the order of code points. So each
top-level attribute becomes two terms: its name, for `exists`, and `name NUL type value`, in which the value is written
so that the order of terms is the order of values. What conditions mean is said in `catalog.filters`.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Any

from lookalike.catalog.filters import to_sql
from lookalike.types import Attributes, Condition

MAX_TERM_BYTES = 512
"""Bytes of a text that a term holds as they are. Both bounds of a range must stay below 1,000 (Lucene makes automata of
them, byte by byte); a term could have 32,766."""
MAX_NAME_BYTES = 256
"""Bytes of a name, likewise."""
_TEXT, _NUMBER = "s", "n"
_SIGN = 1 << 63

JSON = dict[str, Any]


def terms_of(attributes: Attributes) -> list[str]:
    """What is indexed for an image's attributes."""
    terms = []
    for name, value in attributes.items():
        named = _name(name)
        terms += [named, f"{named}\0{_typed(value)}"]
    return terms


def filters_of(conditions: Sequence[Condition], field: str) -> list[JSON] | None:
    """The filters that all must pass; None where a comparison with a very long text needs the catalog's answer.

    Raises BadInput for a condition that makes no sense, just as the catalog does.
    """
    to_sql(conditions, "sqlite")
    filters = [_clause(condition, field) for condition in conditions]
    return None if any(each is None for each in filters) else [each for each in filters if each is not None]


def _clause(condition: Condition, field: str) -> JSON | None:
    name, value = _name(condition.attribute), condition.value
    if condition.op == "exists":
        there: JSON = {"term": {field: name}}
        return there if value else _not(there)
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
    """The type in one letter, then the value; lists and objects equal nothing, so their content is left out."""
    if value is None:
        return "z"
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, str):
        return _TEXT + _text(value)
    if isinstance(value, (int, float)):
        return _NUMBER + _number(value)
    return "o"


def _text(text: str) -> str:
    """A long text is its beginning and a digest: equal if equal, and in order beside any text that is not long."""
    data = text.encode()
    if len(data) <= MAX_TERM_BYTES:
        return text
    return f"{data[:MAX_TERM_BYTES].decode(errors='ignore')}\0{hashlib.sha256(data).hexdigest()}"


def _number(value: float) -> str:
    """20 hexadecimal digits in the order of numbers: the nearest double, then what a whole number is beyond it.

    A double's bits are in order once the sign is turned, and all bits of negative ones. Whole numbers of more than 64
    bits count as doubles, as they do in databases.
    """
    try:
        nearest = float(value)
    except OverflowError:
        nearest = math.inf if value > 0 else -math.inf
    beyond = 0
    if isinstance(value, int) and -_SIGN <= value < _SIGN:
        beyond = value - int(nearest)
    bits: int = struct.unpack(">Q", struct.pack(">d", nearest + 0.0))[0]  # + 0.0: one zero, not two
    ordered = bits ^ (2 * _SIGN - 1) if bits & _SIGN else bits | _SIGN
    return f"{ordered:016x}{beyond + 0x8000:04x}"
