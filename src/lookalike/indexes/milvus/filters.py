"""Filters on attributes as Milvus expressions with exactly the semantics of the catalog.

Milvus compares JSON numbers as doubles and has no null, its versions disagree about missing values, and Milvus Lite has
no `in` for JSON. So attributes are stored in an encoding of our own, in which every value is one ASCII string and all
conditions are string comparisons:

    name    k + hex of its UTF-8
    string  s + hex of its UTF-8, which orders by code point; of a long one: its prefix, ~, and a digest of the whole
    number  n + 16 hex digits of the largest double not above it, in numeric order, + 3 of the remainder of an integer
    other   b0, b1 for booleans, z for null, x for lists and objects, for which only `exists` applies

No expression negates a comparison with a missing value. Attributes that do not fit into a row are not stored, which the
caller must record: from then on only the catalog can filter.
"""

import hashlib
import json
import math
import struct
from collections.abc import Sequence

from lookalike.catalog.built_in_attributes import FILE_ATTRIBUTES
from lookalike.catalog.filters import to_sql
from lookalike.errors import UnsupportedQuery
from lookalike.types import Attributes, Condition, Ids, ResolvedFilter

MAX_STRING_BYTES = 200
"""Bytes of a string that are stored; ordering against a longer one is left to the catalog."""
MAX_ATTRIBUTE_BYTES = 60_000
"""Bytes of one row's attributes; a JSON field of Milvus holds 65,536."""
MAX_VALUES = 500
"""Values of an `in` condition; a longer list is left to the catalog."""
MAX_IDS_PER_EXPRESSION = 10_000
"""Ids in one expression: 0.2 s per search, mostly for parsing the expression."""
MAX_IDS = 200_000
"""Ids that may pass a filter that the catalog evaluates."""
_NEXT_TYPE = {"n": "o", "s": "t"}
_OPERATORS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def encode(attributes: Attributes) -> dict[str, str] | None:
    """Attributes as stored with a row; None if they are too large."""
    row = {_name(name): _value(value) for name, value in attributes.items()}
    return row if len(json.dumps(row)) <= MAX_ATTRIBUTE_BYTES else None


def expressions(filter: ResolvedFilter | None, *, oversized: bool) -> list[str]:
    """A filter as mutually exclusive expressions; none if no row can pass.

    `oversized` means that some rows lack attributes. Raises UnsupportedQuery for an engine_filter of another engine,
    and if the catalog has to evaluate a filter that more than `MAX_IDS` images pass.
    """
    if filter is None:
        return [""]
    if foreign := sorted(set(filter.engine_filter) - {"milvus"}):
        raise UnsupportedQuery(f"this index is in Milvus and takes no engine_filter for {', '.join(foreign)}")
    native = filter.engine_filter.get("milvus", "")
    if not isinstance(native, str):
        raise UnsupportedQuery(f"an engine_filter for Milvus is an expression in a string, not {native!r}")
    if native and not filter.conditions:
        return [native]
    translated = expression(filter.conditions) if filter.conditions and not oversized else None
    if translated is not None:
        return [conjunction(native, translated)]
    ids = filter.ids()
    if len(ids) > MAX_IDS:
        raise UnsupportedQuery(
            f"Milvus cannot evaluate this filter, and {len(ids)} images pass it, more than the {MAX_IDS} that can be "
            f"sent as ids: narrow the filter, shorten its lists, or use an engine_filter"
        )
    return [conjunction(native, each) for each in id_expressions(ids)]


def expression(conditions: Sequence[Condition]) -> str | None:
    """The conjunction of conditions as an expression; None if only the catalog can evaluate them.

    Raises BadInput for an invalid condition, as the catalog does.
    """
    to_sql(conditions, "sqlite")
    if any(condition.attribute in FILE_ATTRIBUTES for condition in conditions):
        return None
    parts = [_comparison(condition) for condition in conditions]
    return None if None in parts else " and ".join(f"({part})" for part in parts)


def id_expressions(ids: Ids) -> list[str]:
    """Expressions that together select exactly these ids, each short enough for one request."""
    starts = range(0, len(ids), MAX_IDS_PER_EXPRESSION)
    return [f"id in {ids[start : start + MAX_IDS_PER_EXPRESSION].tolist()}" for start in starts]


def conjunction(*parts: str) -> str:
    """The conjunction of the non-empty expressions."""
    nonempty = [part for part in parts if part]
    return nonempty[0] if len(nonempty) == 1 else " and ".join(f"({part})" for part in nonempty)


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
        return " or ".join(f'{field} == "{_value(each)}"' for each in value) or "id < 0"
    if isinstance(value, str) and len(value.encode()) > MAX_STRING_BYTES:
        return None
    bound = _value(value)
    kind, comparison = bound[0], f'{field} {_OPERATORS[op]} "{bound}"'
    if op in ("lt", "lte"):
        return f'{field} >= "{kind}" and {comparison}'
    return f'{comparison} and {field} < "{_NEXT_TYPE[kind]}"'


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
    """19 hex digits that order as numbers do; exact for doubles and 64-bit integers."""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        double = float(value)
        if double > value:  # rounded up
            double = math.nextafter(double, -math.inf)
        remainder = value - int(double)
    else:
        remainder = 0
        try:
            double = float(value)
        except OverflowError:
            double = math.inf if value > 0 else -math.inf
    (bits,) = struct.unpack(">Q", struct.pack(">d", double + 0.0))  # + 0.0 turns -0.0 into 0.0
    ordered = bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63)
    return f"{ordered:016x}{remainder:03x}"
