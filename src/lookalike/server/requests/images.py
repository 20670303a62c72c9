"""Parsing requests with images: raw bytes, multipart forms and JSON become image sources and fields."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

from fastapi import Request
from pydantic import BaseModel, ValidationError

from lookalike.errors import BadInput
from lookalike.results import StoredImage
from lookalike.server.app_state import AppState
from lookalike.server.auth import Caller
from lookalike.server.load_limits import MemoryLease
from lookalike.server.problem_responses import describe_faults
from lookalike.server.requests.body import (
    IMAGE_TYPE,
    JSON_OVERHEAD,
    check_pixels,
    media_type,
    parse_object,
    read_body,
    read_chunks,
    unsupported_media_type,
)
from lookalike.server.requests.multipart import Part, read_parts
from lookalike.server.requests.query_parameters import unknown_name
from lookalike.server.schemas import ImageSource, Json, QuerySource

MAX_FIELDS = 32
"""Fields of a form besides its files."""
FORM_OVERHEAD = 64 * 1024
"""Bytes of a form besides its parts."""
INLINE_JSON = 16 * 1024
"""Bytes of a JSON body that are parsed in the event loop, in less than a millisecond."""
M = TypeVar("M", bound=BaseModel)
QueryImage = bytes | StoredImage


def decode_key(quoted: str) -> str:
    """The key in a path; raises BadInput if it is not UTF-8."""
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        raise BadInput("the key in the path is not UTF-8, percent-encoded") from None


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A parsed request: image sources by name, all other fields, and whether these came as JSON, not as strings."""

    sources: Mapping[str, bytes | ImageSource]
    fields: Mapping[str, Any] = field(default_factory=dict)
    is_json: bool = True


@dataclass(frozen=True, slots=True)
class RequestReader:
    """Reads one request. `names`: expected image fields; a raw body is assigned to the first.

    `alternative` is a field of JSON that may stand in place of the images, which are then not among the sources.
    """

    request: Request
    state: AppState
    caller: Caller
    lease: MemoryLease
    names: tuple[str, ...] = ("image",)
    source: type[ImageSource] = ImageSource
    alternative: str | None = None

    @property
    def max_bytes(self) -> int:
        """Maximum bytes of an image."""
        return self.state.gallery.limits.max_bytes

    async def read(self) -> ParsedRequest:
        """Read and parse the request; raises HttpError (415) for an unsupported media type."""
        kind = media_type(self.request)
        if kind == "multipart/form-data":
            return await self._form()
        if kind == "application/json":
            return await self._json()
        if (not kind or IMAGE_TYPE.fullmatch(kind)) and len(self.names) == 1:
            return ParsedRequest({self.names[0]: await read_body(self.request, self.max_bytes, self.lease)})
        images = ["image/*", "application/octet-stream"] if len(self.names) == 1 else []
        raise unsupported_media_type(kind, *images, "multipart/form-data", "application/json")

    async def image(self, source: bytes | ImageSource) -> QueryImage:
        """The bytes of a source, fetched if it is a URL, or a reference to a stored image."""
        if isinstance(source, bytes):
            data = source
        elif isinstance(source, QuerySource) and source.key is not None:
            return StoredImage(source.key)
        elif source.base64 is not None:
            text = source.base64
            data = await self.state.executor.run(lambda: decode_base64(text))
        else:
            url = source.url or ""
            max_bytes = self.max_bytes
            data = await self.state.fetch_executor.run(lambda: self.state.fetcher.fetch(url, max_bytes=max_bytes))
            self.lease.acquire(len(data))
        max_pixels = self.caller.limits.pixels
        if max_pixels is not None:
            await self.state.executor.run(lambda: check_pixels(data, max_pixels))
        return data

    async def _json(self) -> ParsedRequest:
        max_bytes = len(self.names) * (self.max_bytes * 4 // 3) + JSON_OVERHEAD
        data = await read_body(self.request, max_bytes, self.lease)
        if len(data) <= INLINE_JSON:  # parsed at once: passing it to a thread takes longer
            fields = parse_object(data)
        else:
            fields = await self.state.executor.run(lambda: parse_object(data))
        if self.alternative is not None and fields.get(self.alternative) is not None:
            if present := [name for name in self.names if name in fields]:
                raise BadInput(f"give {present[0]!r} or {self.alternative!r}, not both")
            return ParsedRequest({}, fields)
        sources = {}
        for name in self.names:
            if name not in fields:
                *others, last = (f"`{field}`" for field in self.source.model_fields)
                instead = "" if self.alternative is None else f"; or give `{self.alternative}` in its place"
                raise BadInput(f"missing image source {name!r}: give {', '.join(others)} or {last}{instead}")
            sources[name] = validate(self.source, fields.pop(name), name)
        return ParsedRequest(sources, fields)

    async def _form(self) -> ParsedRequest:
        max_bytes = len(self.names) * (self.max_bytes + FORM_OVERHEAD) + JSON_OVERHEAD
        sources: dict[str, bytes | ImageSource] = {}
        fields: dict[str, str] = {}
        stream = read_chunks(self.request, max_bytes, self.lease)
        kind = self.request.headers["content-type"]
        async for part in read_parts(
            stream, kind, max_parts=MAX_FIELDS + len(self.names), max_part_bytes=self.max_bytes
        ):
            name = self.names[0] if part.name == "file" and len(self.names) == 1 else part.name
            if name in sources or name in fields:
                raise BadInput(f"duplicate form part {part.name!r}")
            if name in self.names:
                sources[name] = part.data
            else:
                fields[name] = field_text(part)
        if missing := [name for name in self.names if name not in sources]:
            expected = "file" if self.names == ("image",) else missing[0]
            raise BadInput(f"missing form part {expected!r} with the image's bytes")
        return ParsedRequest(sources, fields, is_json=False)


async def read_json_object(request: Request, state: AppState) -> Json:
    """Read a JSON object without images; raises HttpError (415) for another media type."""
    kind = media_type(request)
    if kind != "application/json":
        raise unsupported_media_type(kind, "application/json")
    async with state.memory.lease() as lease:
        return parse_object(await read_body(request, JSON_OVERHEAD, lease))


def field_text(part: Part) -> str:
    """The text of a form field; raises BadInput for a file, or for too much text."""
    if part.filename is not None:
        raise BadInput(f"the form field {part.name!r} must not be a file")
    if len(part.data) > JSON_OVERHEAD:
        raise BadInput(f"the form field {part.name!r} exceeds the limit of {JSON_OVERHEAD:,} bytes")
    return part.text()


def decode_base64(text: str) -> bytes:
    """Decode base64, with or without padding and whitespace; raises BadInput."""
    compact = "".join(text.split())
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("image.base64 is not valid base64 (RFC 4648, section 4)") from None


def validate(model: type[M], value: Any, location: str = "", *, strict: bool | None = None) -> M:
    """Validate a JSON value; raises BadInput with every error and its location, without the invalid values."""
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        prefix = [location] if location else []
        for fault in errors:
            fault["msg"] = _message(model, fault["type"], fault["loc"], fault["msg"])
            fault["loc"] = (*prefix, *fault["loc"])
        raise BadInput(describe_faults(errors)) from None


def _message(model: type[BaseModel], kind: str, location: tuple[int | str, ...], message: str) -> str:
    """The message of a validation error; that of an unknown field of the model names a similar one."""
    if kind != "extra_forbidden" or len(location) != 1:
        return message
    return unknown_name("unknown field", str(location[0]), set(model.model_fields))
