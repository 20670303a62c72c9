"""Filters on attributes as Milvus expressions that mean exactly what the catalog means.

Milvus compares JSON numbers as doubles, knows no null and no types but its own, and its versions disagree about what is
missing; Milvus Lite has no `in` for JSON. So a row keeps its attributes in a form of our own, in which every value is
one string of plain ASCII, and where comparing strings is all that is needed:

    name    k + hex of its UTF-8
    string  s + hex of its UTF-8, as it orders by code point; a long one: its beginning, ~, and a digest of the whole
    number  n + 16 hex digits of the double not above it, ordered as the numbers are, + 3 of what an integer has beyond
    other   b0, b1 for booleans, z for null, x for lists and objects, which only exist

No condition negates a comparison with something missing. Attributes that do not fit into a row are left out, which the
caller must remember: then only the catalog can filter.
"""

import hashlib
import json
import math
import struct
from collections.abc import Sequence

from lookalike.catalog.filters import to_sql
from lookalike.errors import UnsupportedQuery
from lookalike.types import Attributes, Condition, Ids, ResolvedFilter

MAX_STRING_BYTES = 200
"""Bytes of a string that are kept; an ordering against a longer one is left to the catalog."""
MAX_ATTRIBUTE_BYTES = 60_000
"""Bytes of one row's attributes: a JSON field of Milvus holds 65,536."""
MAX_VALUES = 500
"""Values of an `in` that become one expression; a longer list is left to the catalog."""
MAX_IDS_PER_EXPRESSION = 10_000
"""Ids named in one expression: 0.2 s a search, most of it reading the expression."""
MAX_IDS = 200_000
"""Ids that a filter may come down to where the catalog has to work it out."""
_NEXT_TYPE = {"n": "o", "s": "t"}
_OPERATORS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def encode(attributes: Attributes) -> dict[str, str] | None:
    """Attributes as a row keeps them; None where they are too large."""
    row = {_name(name): _value(value) for name, value in attributes.items()}
    return row if len(json.dumps(row)) <= MAX_ATTRIBUTE_BYTES else None


def expressions(filter: ResolvedFilter | None, *, oversized: bool) -> list[str]:
    """A filter as expressions that exclude each other; none where nothing can pass.

    `oversized` says that some rows lack attributes. Raises UnsupportedQuery for the words of another engine, and for
    more than `MAX_IDS` images where the catalog has to name them.
    """
    if filter is None:
        return [""]
    if foreign := sorted(set(filter.engine_filter) - {"milvus"}):
        raise UnsupportedQuery(f"only {' and '.join(foreign)} can filter in its own words; this index is Milvus")
    native = filter.engine_filter.get("milvus", "")
    if not isinstance(native, str):
        raise UnsupportedQuery(f"a filter in Milvus' own words is an expression in a string, not {native!r}")
    if native and not filter.conditions:
        return [native]
    written = expression(filter.conditions) if filter.conditions and not oversized else None
    if written is not None:
        return [conjunction(native, written)]
    ids = filter.ids()
    if len(ids) > MAX_IDS:
        raise UnsupportedQuery(
            f"the filter comes down to {len(ids)} images that have to be named one by one; Milvus takes "
            f"{MAX_IDS}: narrow it, shorten its lists, or write it in Milvus' own words"
        )
    return [conjunction(native, one) for one in id_expressions(ids)]


def expression(conditions: Sequence[Condition]) -> str | None:
    """Conditions as an expression, all of which must hold; None for what only the catalog can tell.

    Raises BadInput for a condition that makes no sense, just as the catalog does.
    """
    to_sql(conditions, "sqlite")
    parts = [_comparison(condition) for condition in conditions]
    return None if None in parts else " and ".join(f"({part})" for part in parts)


def id_expressions(ids: Ids) -> list[str]:
    """Expressions that together let exactly these ids pass, each a list short enough for one request."""
    numbers = ids.tolist()
    return [
        f"id in {numbers[start : start + MAX_IDS_PER_EXPRESSION]}"
        for start in range(0, len(numbers), MAX_IDS_PER_EXPRESSION)
    ]


def conjunction(*parts: str) -> str:
    """All of these expressions; empty ones do not count."""
    real = [part for part in parts if part]
    return real[0] if len(real) == 1 else " and ".join(f"({part})" for part in real)


def _comparison(condition: Condition) -> str | None:
    field, op, value = f'attributes["{_name(condition.attribute)}"]', condition.op, condition.value
    if op == "exists":
        return f"exists {field}" if value else f"not (exists {field})"
    if op == "eq":
        return f'{field} == "{_value(value)}"'
    if op == "ne":
        return f'not (exists {field}) or not ({field} == "{_value(value)}")'
    if op == "in":
        if len(value) > MAX_VALUES:
            return None
        return " or ".join(f'{field} == "{_value(one)}"' for one in value) or "id < 0"
    if isinstance(value, str) and len(value.encode()) > MAX_STRING_BYTES:
        return None
    written = _value(value)
    kind, limit = written[0], f'{field} {_OPERATORS[op]} "{written}"'
    if op in ("lt", "lte"):
        return f'{field} >= "{kind}" and {limit}'
    return f'{limit} and {field} < "{_NEXT_TYPE[kind]}"'


def _name(name: str) -> str:
    return "k" + name.encode().hex()


def _value(value: object) -> str:
    if value is None:
        return "z"
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, (int, float)):
        return "n" + _number(value)
    if isinstance(value, str):
        data = value.encode()
        if len(data) <= MAX_STRING_BYTES:
            return "s" + data.hex()
        return f"s{data[:MAX_STRING_BYTES].hex()}~{hashlib.sha256(data).hexdigest()}"
    return "x"


def _number(value: int | float) -> str:
    """19 hex digits that order as the numbers do: exact for doubles and for integers of 64 bits."""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        double = float(value)
        if double > value:  # rounded up
            double = math.nextafter(double, -math.inf)
        beyond = value - int(double)
    else:
        double, beyond = _double(value), 0
    (bits,) = struct.unpack(">Q", struct.pack(">d", double + 0.0))  # + 0.0: there is no -0
    ordered = bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63)
    return f"{ordered:016x}{beyond:03x}"


def _double(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
