"""Conditions on attributes, and on a part of the key, as SQL.

What they mean, the same in every database:

- An attribute is a top-level name of the JSON object; a dot is a character like any other.
- Types count: 1 equals 1.0, but neither "1" nor true. Lists and objects equal nothing; they only `exist`.
- `lt`, `lte`, `gt`, `gte` compare numbers with numbers and strings with strings, by code point.
- A missing attribute matches nothing, except `exists: false` and `ne`: `ne` is exactly the opposite of `eq`, and so
  also matches where the attribute is missing. An explicit null exists, and equals null.
- Some names are built in (`catalog.built_in_attributes`): they stand for what the catalog knows of an image's file.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Double,
    Numeric,
    String,
    Text,
    and_,
    any_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
    type_coerce,
)

from lookalike.catalog.built_in_attributes import (
    BUILT_IN,
    FILE_ATTRIBUTES,
    TEXTS,
    file_expression,
    file_value,
    json_column,
)
from lookalike.catalog.schema import images
from lookalike.catalog.sqlite import MAX_INDEXED_LENGTH, attribute_values
from lookalike.errors import BadInput
from lookalike.text import check_text
from lookalike.types import Condition

MAX_VALUES = 10_000
"""The limit on values of one `in`: databases take some 30,000 parameters a statement."""
_WORDS = {None: "null", True: "true", False: "false"}
MAX_CONTAINED = 100
"""Up to so many values are looked up in PostgreSQL's index one by one; more are compared with each image's."""
_ORDERINGS: Mapping[str, Any] = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
_FORBIDDEN = set('"\\') | {chr(code) for code in range(32)}
MAX_CONTAINS = 1000
"""Characters of a part of a key that can be searched for."""


class _Attribute(Protocol):
    """One attribute as SQL; `text` and `number` are NULL where it is of another type."""

    exists: ColumnElement[bool]
    null: ColumnElement[bool]
    text: ColumnElement[Any]
    number: ColumnElement[Any]
    word: ColumnElement[Any]  # "true" or "false" of a bool

    def as_number(self, value: float) -> Any: ...
    def contains(self, values: list[Any]) -> ColumnElement[bool] | None:
        """That the attribute is one of these values, by an index for it; None where there is none."""


class _InSqlite:
    def __init__(self, name: str, *, indexed: bool) -> None:
        column, within = json_column(name)
        indexed = indexed and column is images.c.attributes
        path = f'$."{within}"'  # travels as a parameter; the quotes make dots and brackets plain characters
        kind: ColumnElement[Any] = func.json_type(column, path)
        value: ColumnElement[Any] = func.json_extract(column, path)
        self._name = name
        self._indexed = indexed
        self.exists: ColumnElement[bool] = self._found(true()) if indexed else kind.is_not(None)
        self.null: ColumnElement[bool] = kind == "null"
        self.text: ColumnElement[Any] = case((kind == "text", value))
        self.number: ColumnElement[Any] = case((kind.in_(("integer", "real")), value))
        self.word = kind

    def as_number(self, value: float) -> Any:
        return value

    def contains(self, values: list[Any]) -> ColumnElement[bool] | None:
        if not self._indexed or not values:
            return None
        kind, value = attribute_values.c.kind, attribute_values.c.value
        texts = [text for text in values if isinstance(text, str)]
        numbers = [number for number in values if _is_number(number)]
        words = [_WORDS[word] for word in values if word is None or isinstance(word, bool)]
        clauses: list[ColumnElement[bool]] = []
        if texts:
            clauses.append((kind == "text") & value.in_([text[:MAX_INDEXED_LENGTH] for text in texts]))
        if numbers:
            clauses.append((kind == "number") & value.in_(numbers))
        if words:
            clauses.append(kind.in_(words))
        return self._found(or_(*clauses))

    def _found(self, clause: ColumnElement[bool]) -> ColumnElement[bool]:
        table = attribute_values.c
        return images.c.id.in_(select(table.image_id).where(table.name == self._name, clause))


class _InPostgresql:
    def __init__(self, name: str) -> None:
        from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415 - a catalog in SQLite does not need it, 0.05 s

        column, within = json_column(name)
        attributes: ColumnElement[Any] = type_coerce(column, JSONB())
        value: ColumnElement[Any] = attributes.op("->>", return_type=Text())(within)
        kind = func.jsonb_typeof(attributes.op("->", return_type=JSONB())(within))
        self._indexed = column is images.c.attributes
        self._name = name
        self._attributes = attributes
        # Exactly the expression of the index, or PostgreSQL would not use it.
        names: ColumnElement[Any] = literal_column("jsonb_path_query_array(attributes, '$.keyvalue().key')", JSONB())
        self.exists: ColumnElement[bool] = names.contains([name]) if self._indexed else kind.is_not(None)
        self.null: ColumnElement[bool] = kind == "null"
        self.text: ColumnElement[Any] = case((kind == "string", value)).collate("C")
        self.number: ColumnElement[Any] = case((kind == "number", cast(value, Numeric)))
        self.word: ColumnElement[Any] = case((kind == "boolean", value))

    def as_number(self, value: float) -> Any:
        return Decimal(repr(value))  # as JSON writes it, and as the database compares it

    def contains(self, values: list[Any]) -> ColumnElement[bool] | None:
        if not (self._indexed and 0 < len(values) <= MAX_CONTAINED):
            return None
        objects = [{self._name: value} for value in values]
        if len(objects) == 1:
            return self._attributes.contains(objects[0])
        from sqlalchemy.dialects.postgresql import ARRAY, JSONB  # noqa: PLC0415 - as above

        return self._attributes.op("@>", is_comparison=True)(any_(literal(objects, ARRAY(JSONB()))))


class _OfFile:
    """What is known of an image's file: it is always there, and never null."""

    def __init__(self, name: str, dialect: str) -> None:
        value = file_expression(name, dialect)
        is_text = name in TEXTS
        self.exists: ColumnElement[bool] = true()
        self.null: ColumnElement[bool] = false()
        self.text: ColumnElement[Any] = value if is_text else cast(null(), Text)
        self.number: ColumnElement[Any] = cast(null(), Double) if is_text else value
        self.word: ColumnElement[Any] = cast(null(), Text)

    def as_number(self, value: float) -> Any:
        return value

    def contains(self, values: list[Any]) -> ColumnElement[bool] | None:
        return None


def to_sql(conditions: Sequence[Condition], dialect: str, *, indexed: bool = False) -> ColumnElement[bool]:
    """All conditions together, over `images`; raises BadInput for an invalid condition.

    `indexed` makes SQLite use its index of attributes, instead of checking the images that another index finds.
    """
    clauses = [_condition(condition, dialect, indexed=indexed) for condition in conditions]
    return and_(*clauses) if clauses else literal(1) == 1


def has_index(condition: Condition) -> bool:
    """Whether an index finds the images of such a condition, so that not all need to be read."""
    if condition.attribute in BUILT_IN:
        return False
    return condition.op in ("eq", "in") or (condition.op == "exists" and condition.value is True)


def _condition(condition: Condition, dialect: str, *, indexed: bool) -> ColumnElement[bool]:
    name, op, value = condition.attribute, condition.op, condition.value
    if not name or not _FORBIDDEN.isdisjoint(name):
        raise BadInput(f"a filter on attribute {name!r} is not possible: no quotes, backslashes or control characters")
    check_text("attribute", name)
    if name in FILE_ATTRIBUTES:
        attribute: _Attribute = _OfFile(name, dialect)
        value = file_value(name, op, value)
    elif dialect == "postgresql":
        attribute = _InPostgresql(name)
    else:
        attribute = _InSqlite(name, indexed=indexed)
    if op == "exists":
        if not isinstance(value, bool):
            raise BadInput(f"exists takes true or false, not {value!r} (attribute {name!r})")
        return attribute.exists if value else not_(attribute.exists)
    if op == "eq":
        return _equals(attribute, name, [value])
    if op == "ne":
        return not_(func.coalesce(_equals(attribute, name, [value]), false()))
    if op == "in":
        if not isinstance(value, (tuple, list, set, frozenset)):
            raise BadInput(f"in takes a list of values, not {value!r} (attribute {name!r})")
        if len(value) > MAX_VALUES:
            raise BadInput(f"in takes at most {MAX_VALUES} values, not {len(value)} (attribute {name!r})")
        return _equals(attribute, name, list(value))
    if op in _ORDERINGS:
        return _compares(attribute, name, op, value)
    raise BadInput(f"there is no condition {op!r} (attribute {name!r}); eq, ne, lt, lte, gt, gte, in, exists are known")


def _equals(attribute: _Attribute, name: str, values: list[Any]) -> ColumnElement[bool]:
    _check_values(name, values)
    contained = attribute.contains(values)
    # SQLite's index has the beginning of a long text only.
    if contained is not None and not any(isinstance(one, str) and len(one) >= MAX_INDEXED_LENGTH for one in values):
        return contained
    clauses: list[ColumnElement[bool]] = []
    texts = [value for value in values if isinstance(value, str)]
    numbers = [attribute.as_number(value) for value in values if _is_number(value)]
    if texts:
        clauses.append(attribute.text.in_(texts) if len(texts) > 1 else attribute.text == texts[0])
    if numbers:
        clauses.append(attribute.number.in_(numbers) if len(numbers) > 1 else attribute.number == numbers[0])
    for value in values:
        if value is None:
            clauses.append(attribute.null)
        elif isinstance(value, bool):
            clauses.append(attribute.word == _WORDS[value])
    exact = or_(*clauses) if clauses else false()
    return exact if contained is None else contained & exact


def _check_values(name: str, values: list[Any]) -> None:
    for value in values:
        if isinstance(value, str):
            check_text(f"the value of {name!r}", value)
        elif _is_number(value):
            if isinstance(value, float) and not math.isfinite(value):
                raise BadInput(f"{value!r} is no JSON number (attribute {name!r})")
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise BadInput(f"{value!r} is beyond 64 bits (attribute {name!r})")
        elif value is not None and not isinstance(value, bool):
            raise BadInput(
                f"{value!r} cannot be compared with (attribute {name!r}); give a string, number, bool or null"
            )


def _compares(attribute: _Attribute, name: str, op: str, value: Any) -> ColumnElement[bool]:
    is_text = isinstance(value, str)
    if not is_text and not _is_number(value):
        raise BadInput(f"{op} compares strings or numbers, not {value!r} (attribute {name!r})")
    _check_values(name, [value])
    compare: Callable[[Any, Any], ColumnElement[bool]] = _ORDERINGS[op]
    if is_text:
        return compare(attribute.text, literal(value, Text()))
    return compare(attribute.number, literal(attribute.as_number(value)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_contains(text: str) -> None:
    """Raise BadInput for a part of a key that is too long to be searched for."""
    if len(text) > MAX_CONTAINS:
        raise BadInput(
            f"a part of a key to search for must have at most {MAX_CONTAINS:,} characters, not {len(text):,}"
        )


def key_contains(text: str, dialect: str) -> ColumnElement[bool]:
    """Whether a key contains a text, ignoring case; every character of it stands for itself.

    It reads all keys of a tenant. PostgreSQL compares letters beyond ASCII as the locale of the database says.
    """
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"
    if dialect == "postgresql":
        return type_coerce(images.c.key, String()).collate("default").ilike(literal(pattern, String()), escape="\\")
    # SQLite ignores the case of ASCII letters alone; the others match anything first, for folded they may be longer.
    like = images.c.key.like(re.sub(r"[^\x00-\x7f]+", "%", pattern), escape="\\")
    return like if text.isascii() else and_(like, func.instr(func.casefold(images.c.key), text.casefold()) > 0)
