"""Attributes that every image has without being given: those of its file, and of its EXIF data.

They are named apart from the caller's (`file.` and `exif.`), filter like these, and are what lists are sorted by.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, String, Text, func, type_coerce

from lookalike.catalog.schema import images
from lookalike.errors import BadInput
from lookalike.types import CAPTURE_SETTINGS, Attributes, ExifFields, Op

EXIF_PREFIX: Final = "exif."
EXIF_ATTRIBUTES: Final = {
    f"{EXIF_PREFIX}{field}": field
    for field in ("captured", "camera", "orientation", "latitude", "longitude", *CAPTURE_SETTINGS)
}
"""By name: the field of `imaging.exif`."""
FILE_ATTRIBUTES: Final = (
    "file.folder",
    "file.name",
    "file.format",
    "file.bytes",
    "file.width",
    "file.height",
    "file.frames",
    "file.added",
)
"""The key up to its last slash, the rest of it, format, bytes, pixels, frames or pages, and when it was first added."""
TEXTS: Final = frozenset({"file.folder", "file.name", "file.format", "exif.captured", "exif.camera"})
PREFIXES: Final = ("file.", EXIF_PREFIX)
BUILT_IN: Final = frozenset({*EXIF_ATTRIBUTES, *FILE_ATTRIBUTES})
KEY: Final = "key"
SORTS: Final = (KEY, *FILE_ATTRIBUTES, *EXIF_ATTRIBUTES)
"""What images can be sorted by; `-` before the name reverses the order."""

_NUMBERS: Final[Mapping[str, ColumnElement[Any]]] = {
    "file.bytes": images.c.nbytes,
    "file.width": images.c.width,
    "file.height": images.c.height,
    "file.frames": func.coalesce(images.c.frames, 1),
    "file.added": images.c.created,
}


def filterable(attributes: Attributes, exif: ExifFields | None) -> Attributes:
    """The attributes that an engine filters by: the caller's, and those of EXIF data."""
    if not exif:
        return attributes
    own = {name: value for name, value in attributes.items() if name not in EXIF_ATTRIBUTES}
    return own | {name: exif[field] for name, field in EXIF_ATTRIBUTES.items() if field in exif}


def json_column(name: str) -> tuple[Column[Any], str]:
    """The column of JSON objects that has this attribute, and its name there."""
    return (images.c.exif, EXIF_ATTRIBUTES[name]) if name in EXIF_ATTRIBUTES else (images.c.attributes, name)


def file_expression(name: str, dialect: str) -> ColumnElement[Any]:
    """An attribute of `FILE_ATTRIBUTES` as SQL."""
    if name in _NUMBERS:
        return _NUMBERS[name]
    if name == "file.format":
        return _by_code_point(images.c.format, dialect)
    # up to the last slash: what is left when all other characters are stripped from the right
    folder = func.rtrim(images.c.key, func.replace(images.c.key, "/", ""))
    if name == "file.folder":
        return _by_code_point(func.rtrim(folder, "/"), dialect)
    return _by_code_point(func.substr(images.c.key, func.length(folder) + 1), dialect)


def file_value(name: str, op: Op, value: Any) -> Any:
    """The value of a condition on an attribute of a file as the catalog stores it: times are seconds since 1970."""
    if name != "file.added" or op == "exists":
        return value
    if op == "in" and isinstance(value, tuple | list | set | frozenset):
        return tuple(_seconds(each) for each in value)
    return _seconds(value)


def check_sort(sort: str) -> None:
    """Raise BadInput for a name that images cannot be sorted by; `-` before it reverses the order."""
    if sort.removeprefix("-") not in SORTS:
        raise BadInput(f"cannot sort by {sort!r}; images can be sorted by {', '.join(SORTS)}, reversed by - before it")


def sort_expression(name: str, dialect: str) -> ColumnElement[Any]:
    """What images are sorted by, NULL where it is missing; raises BadInput for an unknown name."""
    check_sort(name)
    if name == KEY:
        return images.c.key
    if name in FILE_ATTRIBUTES:
        return file_expression(name, dialect)
    field = EXIF_ATTRIBUTES[name]
    if dialect != "postgresql":
        return func.json_extract(images.c.exif, f'$."{field}"')
    from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415 - a catalog in SQLite does not need it, 0.05 s

    text: ColumnElement[Any] = type_coerce(images.c.exif, JSONB()).op("->>", return_type=Text())(field)
    if name in TEXTS:
        return _by_code_point(text, dialect)
    return text.cast(images.c.created.type)


def _by_code_point(text: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    typed = type_coerce(text, String())
    return typed.collate("C") if dialect == "postgresql" else typed


def _seconds(value: Any) -> Any:
    """Seconds since 1970 of a date or a time in ISO 8601, UTC unless it names an offset; a number is left as it is."""
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise BadInput(f"file.added is compared with a date, such as 2026-01-31, not {value!r}") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
