"""What is read from a request: bodies bounded while they come in, and JSON bounded in what it makes of its bytes."""

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from http import HTTPStatus
from itertools import chain
from typing import Any

from fastapi import Request

from lookalike.errors import BadInput, ImageRejected
from lookalike.server.executor import MemoryLease
from lookalike.server.problem_responses import HttpError
from lookalike.text import storable

JSON_OVERHEAD = 1024 * 1024
"""Bytes of JSON beside images."""
MAX_JSON_VALUES = 200_000
"""Values in one JSON text: each takes memory far beyond its own bytes."""
MAX_JSON_DEPTH = 32
"""Objects and lists within one another."""
_DOUBTFUL = re.compile(r"\\u(0000|[dD][89a-fA-F])")
"""Escapes that may stand for what no database keeps."""
_IMAGE = re.compile(r"image/[\w.+-]+|application/octet-stream|application/x-www-form-urlencoded")
"""The last is what `curl --data-binary @image.jpg` calls any file; no other form of that type is taken here."""


def media_type(request: Request) -> str:
    """The body's media type in small letters, without parameters; empty where none is named."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_image(kind: str) -> bool:
    """Whether a body of this media type is an image's bytes."""
    return not kind or _IMAGE.fullmatch(kind) is not None


def refuse(kind: str, *accepted: str) -> HttpError:
    """What to raise for another media type."""
    return HttpError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a body of type {kind or 'none'!r} is not taken; send {', '.join(accepted)}"
    )


def too_long(most: int) -> ImageRejected:
    """What to raise for a body of more than `most` bytes."""
    return ImageRejected("too_many_bytes", f"the body has more than the limit of {most:,} bytes: send a smaller file")


def check_stated(request: Request, most: int) -> None:
    """Refuse a body that says itself that it is too long, before any of it is read."""
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdecimal() and int(stated[:19]) > most:
        raise too_long(most)


async def chunks(request: Request, most: int, account: MemoryLease) -> AsyncIterator[bytes]:
    """The body as it comes in; raises ImageRejected ("too_many_bytes") at the byte that is too much."""
    check_stated(request, most)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise too_long(most)
        account.take(len(chunk))
        if chunk:
            yield chunk


async def whole(request: Request, most: int, account: MemoryLease) -> bytes:
    """The whole body."""
    return b"".join([chunk async for chunk in chunks(request, most, account)])


def read_json(data: bytes | str) -> Any:
    """A JSON text's value; raises BadInput for what is no JSON (NaN is none), for too much of it and for bad text."""
    try:
        text = data if isinstance(data, str) else data.decode()
        if text.count(",") + text.count("[") + text.count("{") > MAX_JSON_VALUES:
            raise BadInput(f"the JSON has more than {MAX_JSON_VALUES:,} values, the most that one request may have")
        value = json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadInput("the JSON is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadInput(f"the JSON cannot be read: {error.msg} at character {error.pos}") from None
    except (RecursionError, ValueError) as error:
        raise BadInput(f"the JSON cannot be read: {error}"[:200]) from None
    _inspect(value, texts=_DOUBTFUL.search(text) is not None)
    return value


def read_object(data: bytes | str) -> dict[str, Any]:
    """The same where the value must be an object."""
    value = read_json(data)
    if not isinstance(value, dict):
        raise BadInput("the JSON must be an object, written {...}")
    return value


def read_attributes(text: str | None) -> Mapping[str, Any] | None:
    """Attributes written as JSON in a header, a field or the query string."""
    if text is None:
        return None
    try:
        return read_object(text)
    except BadInput as error:
        raise BadInput(f"attributes: {error}") from None


def _no_constant(name: str) -> Any:
    raise BadInput(f"{name} is no JSON")


def _inspect(value: Any, *, texts: bool) -> None:
    """Raise BadInput for a value that is too deep or, where asked for, holds text that no database keeps."""
    level = [value]
    for depth in range(MAX_JSON_DEPTH + 1):
        if texts and not all(storable(v) for v in level if isinstance(v, str)):
            raise BadInput("the JSON holds a NUL character, or half of a surrogate pair, which is not allowed")
        level, above = [inner for v in level for inner in _members(v)], level
        if depth == MAX_JSON_DEPTH and any(isinstance(v, dict | list) for v in above):
            raise BadInput(f"the JSON has objects or lists more than {MAX_JSON_DEPTH} deep")
        if not level:
            return


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return chain(value.keys(), value.values())
    return value if isinstance(value, list) else ()
