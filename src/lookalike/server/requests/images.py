"""Images and options out of requests: bytes, forms and JSON all come down to an image and a JSON object."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from lookalike.errors import BadInput
from lookalike.results import StoredImage
from lookalike.server.app_state import AppState
from lookalike.server.auth import Caller
from lookalike.server.executor import MemoryLease
from lookalike.server.problem_responses import told
from lookalike.server.requests.body import JSON_OVERHEAD, chunks, is_image, media_type, read_object, refuse, whole
from lookalike.server.requests.multipart import Part, parts
from lookalike.server.requests.pixels import check_pixels
from lookalike.server.schemas import ImageSource, Json, QuerySource

MAX_FIELDS = 32
"""Parts of a form beside its files."""
FORM_OVERHEAD = 64 * 1024
"""Bytes of a form beside its parts."""
M = TypeVar("M", bound=BaseModel)
Image = bytes | StoredImage


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """What a request brought: sources of images by the name under which they came, and everything else of it.

    `typed` tells whether the rest came as JSON; as a form's it is text throughout.
    """

    sources: Mapping[str, bytes | ImageSource]
    rest: Mapping[str, Any] = field(default_factory=dict)
    typed: bool = True


@dataclass(frozen=True, slots=True)
class RequestReader:
    """Reads one request. `names` are those of its images; the first is that of a body that is an image itself."""

    request: Request
    context: AppState
    caller: Caller
    account: MemoryLease
    names: tuple[str, ...] = ("image",)
    source: type[ImageSource] = ImageSource

    @property
    def most(self) -> int:
        """The most bytes that one image may have."""
        return self.context.service.limits.max_bytes

    async def read(self) -> ParsedRequest:
        """The whole request; raises HttpError (415) for a body of a type that is not taken."""
        kind = media_type(self.request)
        if kind == "multipart/form-data":
            return await self._form()
        if kind == "application/json":
            return await self._json()
        if is_image(kind) and len(self.names) == 1:
            return ParsedRequest({self.names[0]: await whole(self.request, self.most, self.account)})
        images = ["image/*", "application/octet-stream"] if len(self.names) == 1 else []
        raise refuse(kind, *images, "multipart/form-data", "application/json")

    async def image(self, source: bytes | ImageSource) -> Image:
        """The bytes of a source, or which stored image it is; fetches a URL."""
        if isinstance(source, bytes):
            found = source
        elif isinstance(source, QuerySource) and source.key is not None:
            return StoredImage(source.key)
        elif source.base64 is not None:
            text = source.base64
            found = await self.context.work.run(lambda: decoded(text))
        else:
            url = source.url or ""
            most = self.most
            found = await self.context.fetching.run(lambda: self.context.fetcher.fetch(url, max_bytes=most))
            self.account.take(len(found))
        most_pixels = self.caller.limits.pixels
        if most_pixels is not None:
            await self.context.work.run(lambda: check_pixels(found, most_pixels))
        return found

    async def _json(self) -> ParsedRequest:
        most = len(self.names) * (self.most * 4 // 3) + JSON_OVERHEAD
        data = await whole(self.request, most, self.account)
        rest = await self.context.work.run(lambda: read_object(data))
        sources = {}
        for name in self.names:
            if name not in rest:
                raise BadInput(f"{name}: the JSON must say where the image is")
            sources[name] = validated(self.source, rest.pop(name), name)
        return ParsedRequest(sources, rest)

    async def _form(self) -> ParsedRequest:
        most = len(self.names) * (self.most + FORM_OVERHEAD) + JSON_OVERHEAD
        sources: dict[str, bytes | ImageSource] = {}
        rest: dict[str, str] = {}
        stream = chunks(self.request, most, self.account)
        kind = self.request.headers["content-type"]
        async for part in parts(stream, kind, most_parts=MAX_FIELDS + len(self.names), most_bytes=self.most):
            name = self.names[0] if part.name == "file" and len(self.names) == 1 else part.name
            if name in sources or name in rest:
                raise BadInput(f"the form has {part.name!r} twice")
            if name in self.names:
                sources[name] = part.data
            else:
                rest[name] = field_text(part)
        if missing := [name for name in self.names if name not in sources]:
            wanted = "file" if self.names == ("image",) else missing[0]
            raise BadInput(f"the form lacks the part {wanted!r}, with the image's bytes")
        return ParsedRequest(sources, rest, typed=False)


async def small_json(request: Request, here: AppState) -> Json:
    """A JSON object without images; raises HttpError (415) for another type."""
    kind = media_type(request)
    if kind != "application/json":
        raise refuse(kind, "application/json")
    async with here.memory.account() as account:
        data = await whole(request, JSON_OVERHEAD, account)
        return read_object(data)


def field_text(part: Part) -> str:
    """The text of a form's field; raises BadInput for a file where none belongs, or for too much text."""
    if part.filename is not None:
        raise BadInput(f"the form has a file in {part.name!r}, which takes none")
    if len(part.data) > JSON_OVERHEAD:
        raise BadInput(f"the form's field {part.name!r} has more than {JSON_OVERHEAD:,} bytes")
    return part.text()


def decoded(text: str) -> bytes:
    """Bytes written in base64, with or without padding and line breaks; raises BadInput."""
    compact = "".join(text.split())
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("image.base64 is not base64 (RFC 4648, section 4)") from None


def validated(model: type[M], value: Any, place: str = "", *, strict: bool | None = None) -> M:
    """A model of a JSON value; raises BadInput naming every fault and its place, and repeating nothing of it."""
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise BadInput(
            told([{**fault, "loc": (*([place] if place else []), *fault["loc"])} for fault in faults])
        ) from None
