"""The base of the JSON objects, how they are made, read and written, and the object of an error.

Each object is a dataclass: `of` makes it from the library's value, `to_dict` gives its JSON, `parse` reads it strictly.
Docstrings, `EXAMPLE` and the fields' metadata are its documentation in the server's OpenAPI description.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache, partial
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lookalike.errors import BadSetting

T = TypeVar("T")
Json = dict[str, Any]


def rfc3339(seconds: float) -> str:
    """A time (seconds since 1970) as RFC 3339 writes it, in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a time in RFC 3339; raises BadSetting."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadSetting(f"{text!r} is not a time in RFC 3339") from None


def bytes_of(text: str) -> bytes:
    """Bytes written in hexadecimal; raises BadSetting."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadSetting(f"{text!r} is not a hexadecimal digest") from None


def to_dict(value: "WireObject") -> Json:
    """The JSON object of a value."""
    return asdict(cast(Any, value))


def convert(kind: type[T], value: Any, **changes: Any) -> T:
    """Make an object of the fields that `value` has under the same names, and of `changes`.

    Members that are dataclasses, also in lists and tuples, are converted by `of` of their class, or in the same way.
    """
    for name, member in _members_of(cast(Any, kind)):
        if name not in changes:
            found = getattr(value, name)
            changes[name] = found if member is None or found is None else member(found)
    return kind(**changes)


@cache
def _members_of(kind: Any) -> list[tuple[str, Callable[[Any], Any] | None]]:
    """The fields of a dataclass, and what converts each."""
    return [(name, _converter_to(hint)) for name, (hint, _) in _fields_of(kind).items()]


def _converter_to(hint: Any) -> Callable[[Any], Any] | None:
    """What converts a value other than None to this type; None where it may stay as it is."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _converter_to(arguments[0])
    if is_dataclass(hint):
        return getattr(hint, "of", None) or partial(convert, cast(Any, hint))
    if origin is dict:
        return dict
    if origin in (list, tuple):
        member = _converter_to(arguments[0])
        return origin if member is None else lambda values: origin(map(member, values))
    return None


def doc(description: str, **schema: Any) -> Mapping[str, Any]:
    """Metadata of a field, in the names that pydantic reads."""
    return {"description": description, **schema}


def document(schema: dict[str, Any], kind: "type[WireObject]") -> None:
    """Add a class's docstring and example to its JSON schema; pydantic itself takes neither from a dataclass."""
    schema["description"] = kind.__doc__
    if kind.EXAMPLE is not None:
        schema["examples"] = [kind.EXAMPLE]


class WireObject:
    """Base of the objects: how pydantic describes them in the OpenAPI description (their fields and no others)."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid", "json_schema_extra": document}
    EXAMPLE: ClassVar[Mapping[str, Any] | None] = None


class _Mismatch(Exception):
    """A JSON value that is not of its field's type; the message names the field."""


def parse(kind: type[T], value: Any) -> T:
    """Read an object from JSON. Unknown fields are ignored, so that a later version may add some.

    Args:
        kind: a dataclass of this module.
        value: the decoded JSON.

    Raises:
        BadSetting: a field is missing or of another type; the message names it.
    """
    try:
        return cast(T, _read(kind, value, ""))
    except _Mismatch as error:
        raise BadSetting(
            f"the service's response is not a valid {kind.__name__}: {error}; "
            "are the service and this client of the same version?"
        ) from None


_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", dict: "an object", list: "a list"}


def _read(hint: Any, value: Any, at: str) -> Any:
    """Read a value of a type; `at` names its place. An integer is a number, a boolean is neither."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return None if value is None else _read(arguments[0], value, at)
    if origin is Literal:
        if value not in arguments:
            raise _Mismatch(f"{at} must be one of {', '.join(map(repr, arguments))}")
        return value
    kind: Any = dict if is_dataclass(hint) else origin or hint
    allowed: Any = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise _Mismatch(f"{at or 'it'} must be {_NAMES[kind]}")
    if is_dataclass(hint):
        return _read_object(hint, value, at)
    if kind is list:
        return [_read(arguments[0], member, f"{at}[{number}]") for number, member in enumerate(value)]
    if kind is dict:
        return {name: _read(arguments[1], member, f"{at}[{name!r}]") for name, member in value.items()}
    return float(value) if kind is float else value


def _read_object(kind: Any, value: Mapping[str, Any], at: str) -> Any:
    found = {}
    for name, (hint, required) in _fields_of(kind).items():
        place = f"{at}.{name}" if at else name
        if name in value:
            found[name] = _read(hint, value[name], place)
        elif required:
            raise _Mismatch(f"{place} is missing")
    return kind(**found)


@cache
def _fields_of(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Type, and whether it is required, of each field."""
    hints = get_type_hints(kind)
    return {f.name: (hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(kind)}


@dataclass(frozen=True, slots=True)
class Problem(WireObject):
    """An error (RFC 9457)."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "allow", "json_schema_extra": document}
    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "type": "urn:lookalike:error:image-rejected",
        "title": "Invalid image",
        "status": 422,
        "detail": "Not an image: unknown file signature. Supported formats: JPEG, PNG, ...",
        "reason": "not_an_image",
        "instance": "5f0c3d5e6b0e4e6f9a7f6f1f0c9f7a51",
    }

    type: str = field(metadata=doc("`urn:lookalike:error:` and the kind of error in kebab case."))
    title: str = field(metadata=doc("The kind of error in a few words."))
    status: int = field(metadata=doc("The HTTP status."))
    detail: str = field(metadata=doc("What is wrong with this very request, and what to do."))
    instance: str | None = field(
        default=None, metadata=doc("The request's id, as in `X-Request-Id` and the server's log.")
    )
    reason: str | None = field(default=None, metadata=doc("Why an image was rejected, in one word."))
    sequence: int | None = field(
        default=None, metadata=doc("The sequence number of an image that does not match the precondition.")
    )
