"""Reading request bodies with size limits, and parsing JSON with limits on its values and depth."""

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from http import HTTPStatus
from itertools import chain
from typing import Any

from fastapi import Request

from lookalike.errors import BadInput, ImageRejected
from lookalike.imaging import formats
from lookalike.server.load_limits import MemoryLease
from lookalike.server.problem_responses import HttpError
from lookalike.text import storable

JSON_OVERHEAD = 1024 * 1024
"""Bytes of JSON besides images."""
MAX_JSON_VALUES = 200_000
"""Values in one JSON document: each takes far more memory than its text."""
MAX_JSON_DEPTH = 32
"""Nesting depth of objects and arrays."""
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(0000|[dD][89a-fA-F])")
"""Escapes of characters that databases reject: NUL and surrogates."""
IMAGE_TYPE = re.compile(r"image/[\w.+-]+|application/octet-stream|application/x-www-form-urlencoded")
"""The last is what `curl --data-binary @image.jpg` sends for any file; URL-encoded forms are not supported."""


def media_type(request: Request) -> str:
    """The body's media type in lower case, without parameters; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported_media_type(kind: str, *accepted: str) -> HttpError:
    """The error for an unsupported media type."""
    return HttpError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"unsupported media type {kind or 'none'!r}; send {', '.join(accepted)}"
    )


async def read_chunks(request: Request, max_bytes: int, lease: MemoryLease) -> AsyncIterator[bytes]:
    """The body in chunks; raises ImageRejected ("too_many_bytes") as soon as it exceeds the limit."""
    too_large = ImageRejected("too_many_bytes", f"the body exceeds the limit of {max_bytes:,} bytes")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:19]) > max_bytes:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise too_large
        lease.acquire(len(chunk))
        if chunk:
            yield chunk


async def read_body(request: Request, max_bytes: int, lease: MemoryLease) -> bytes:
    """The whole body."""
    return b"".join([chunk async for chunk in read_chunks(request, max_bytes, lease)])


def parse_json(data: bytes | str) -> Any:
    """Parse JSON; raises BadInput for invalid JSON (NaN included), too many values or unstorable text."""
    try:
        text = data if isinstance(data, str) else data.decode()
        if text.count(",") + text.count("[") + text.count("{") > MAX_JSON_VALUES:
            raise BadInput(f"the JSON has more than the limit of {MAX_JSON_VALUES:,} values")
        value = json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadInput("the JSON is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadInput(f"invalid JSON: {error.msg} at character {error.pos}") from None
    except (RecursionError, ValueError) as error:
        raise BadInput(f"invalid JSON: {error}"[:200]) from None
    _check_values(value, texts=_SUSPICIOUS_ESCAPE.search(text) is not None)
    return value


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Parse a JSON object; raises BadInput for another value, too."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise BadInput("the JSON must be an object")
    return value


def parse_attributes(text: str | None) -> Mapping[str, Any] | None:
    """Parse attributes, a JSON object in a header, a form field or the query string."""
    if text is None:
        return None
    try:
        return parse_object(text)
    except BadInput as error:
        raise BadInput(f"attributes: {error}") from None


def _no_constant(name: str) -> Any:
    raise BadInput(f"{name} is not valid JSON")


def _check_values(value: Any, *, texts: bool) -> None:
    """Raise BadInput for a value that is nested too deeply or, with `texts`, contains text that databases reject."""
    level = [value]
    for depth in range(MAX_JSON_DEPTH + 1):
        if texts and not all(storable(v) for v in level if isinstance(v, str)):
            raise BadInput("the JSON contains a NUL character or a lone surrogate")
        level, above = [inner for v in level for inner in _members(v)], level
        if depth == MAX_JSON_DEPTH and any(isinstance(v, dict | list) for v in above):
            raise BadInput(f"the JSON is nested more than {MAX_JSON_DEPTH} levels deep")
        if not level:
            return


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return chain(value.keys(), value.values())
    return value if isinstance(value, list) else ()


def check_pixels(data: bytes, max_pixels: int) -> None:
    """Reject an image of more than `max_pixels` by its header; the decoder reports headers that cannot be read."""
    try:
        width, height = formats.size_by_header(data)
    except Exception:  # noqa: BLE001 - the readers raise all kinds of errors for damaged files
        return
    if width * height > max_pixels:
        raise ImageRejected(
            "too_many_pixels",
            f"The image has {width:,} x {height:,} pixels; the limit of this API key is {max_pixels:,}.",
        )
