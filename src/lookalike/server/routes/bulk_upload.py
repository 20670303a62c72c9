"""Streaming bulk upload: many images in one request, with one outcome per image as it becomes durable."""

import asyncio
import functools
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol, get_args

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lookalike.errors import BadInput, ImageRejected, NotFound, Reason, Unavailable
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, Writes
from lookalike.server.load_limits import MemoryLease
from lookalike.server.problem_responses import problem_for, request_id_of
from lookalike.server.requests.body import (
    JSON_OVERHEAD,
    check_pixels,
    media_type,
    parse_attributes,
    parse_object,
    read_chunks,
    unsupported_media_type,
)
from lookalike.server.requests.images import RequestReader, field_text, validate
from lookalike.server.requests.multipart import Part, read_parts
from lookalike.server.schemas import (
    BINARY,
    ImageSource,
    Json,
    RequestModel,
    documented_responses,
    example_config,
    form_schema,
    request_body,
)
from lookalike.types import Item, Outcome
from lookalike.wire.images import Outcome as OutcomeObject
from lookalike.wire.images import OutcomeList
from lookalike.wire.objects import convert, to_dict

router = APIRouter(prefix="/v1", tags=["images"])
MAX_IMAGES = 10_000
"""Images per request; the outcomes are kept in memory for clients that read the response only at the end."""
BATCH_SIZE = 64
"""Images written in one transaction."""
BATCH_BYTES = 32 * 1024 * 1024
MAX_BATCH_DELAY = 0.2
"""Seconds that an image waits for others of its batch."""
QUEUE_TIMEOUT = 120.0
"""Seconds that a batch waits for a thread; long, because the response has already started."""
NDJSON = "application/x-ndjson"


class BatchItem(RequestModel):
    """One line of a batch in NDJSON."""

    model_config = example_config(
        {"key": "1.jpg", "image": {"url": "https://images.example/1.jpg"}, "attributes": {"album": "Alps"}}
    )

    key: str = Field(min_length=1)
    image: ImageSource
    attributes: Json | None = None


class Framing(Protocol):
    """How the outcomes stand in the response."""

    media_type: str

    def of(self, outcome: Outcome) -> bytes:
        """The bytes of the next outcome."""

    def end(self, failure: dict[str, Any] | None) -> bytes:
        """The bytes after the last outcome; `failure` is the problem of the whole request."""


class Lines:
    """Lines of JSON: one an outcome, and a last one for a failure."""

    media_type = NDJSON

    def of(self, outcome: Outcome) -> bytes:
        return _json(outcome) + b"\n"

    def end(self, failure: dict[str, Any] | None) -> bytes:
        return b"" if failure is None else _dumps({"error": failure}) + b"\n"


class Document:
    """One JSON object, `OutcomeList`, which arrives outcome by outcome."""

    media_type = "application/json"

    def __init__(self) -> None:
        self._is_empty = True

    def of(self, outcome: Outcome) -> bytes:
        before = b'{"outcomes":[\n' if self._is_empty else b",\n"
        self._is_empty = False
        return before + _json(outcome)

    def end(self, failure: dict[str, Any] | None) -> bytes:
        before = b'{"outcomes":[' if self._is_empty else b""
        return before + b'\n],"error":' + _dumps(failure) + b"}\n"


def framing_of(request: Request) -> Framing:
    """Lines where `Accept` names them, or for a request of lines that names no JSON object; else one object."""
    accepted = request.headers.get("accept", "")
    if NDJSON in accepted:
        return Lines()
    is_form = media_type(request) == "multipart/form-data"
    return Document() if is_form or Document.media_type in accepted else Lines()


@dataclass(frozen=True, slots=True)
class PendingImage:
    """An image that was read and not written yet, with its bytes of the memory budget."""

    item: Item | Outcome
    nbytes: int


class BulkUploadResponse(Response):
    """Reads the request body while it sends the response."""

    def __init__(
        self,
        request: Request,
        state: AppState,
        caller: Caller,
        framing: "Framing",
        *,
        exif: bool,
        attributes: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(status_code=200, media_type=framing.media_type, headers={"Vary": "Accept"})
        del self.headers["content-length"]
        self._framing = framing
        self._request = request
        self._state = state
        self._caller = caller
        self._exif = exif
        self._attributes = attributes
        self._pending: asyncio.Queue[PendingImage | None] = asyncio.Queue(BATCH_SIZE)
        self._read_error: Exception | None = None
        self._outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        failure: dict[str, Any] | None = None
        async with self._state.memory.lease() as lease:
            tasks = asyncio.gather(self._read(lease), self._write(lease))
            tasks.add_done_callback(lambda _: self._outcomes.put_nowait(None))
            try:
                while (outcome := await self._outcomes.get()) is not None:
                    await send({"type": "http.response.body", "body": self._framing.of(outcome), "more_body": True})
                await tasks
            except ClientDisconnect:
                return
            except Exception as error:  # noqa: BLE001 - the response has started, so its end reports the error
                failure = problem_for(error, request_id_of(self._request))
            finally:
                tasks.cancel()
        await send({"type": "http.response.body", "body": self._framing.end(failure)})

    async def _read(self, lease: MemoryLease) -> None:
        """Read ahead at most one batch of images; then the client is throttled."""
        try:
            reader = RequestReader(self._request, self._state, self._caller, lease)
            async for image in read_images(reader):
                item = image.item
                if self._attributes is not None and isinstance(item, Item) and item.attributes is None:
                    image = replace(image, item=replace(item, attributes=self._attributes))
                await self._pending.put(image)
        except Exception as error:  # noqa: BLE001 - images read before the error are written first
            self._read_error = error
        await self._pending.put(None)

    async def _write(self, lease: MemoryLease) -> None:
        has_more = True
        while has_more:
            batch, has_more = await self._next_batch()
            items = [image.item for image in batch]
            for outcome in await self._add(items) if items else ():
                self._state.metrics.count_write(outcome.outcome)
                if outcome.outcome == "rejected":
                    reason = (outcome.reason or "").partition(": ")[0]
                    self._state.metrics.count_rejection(reason if reason in get_args(Reason) else "bad-input")
                self._outcomes.put_nowait(outcome)
            lease.release(sum(image.nbytes for image in batch))
        if self._read_error is not None:
            raise self._read_error

    async def _next_batch(self) -> tuple[list[PendingImage], bool]:
        """The next images to write, and whether more may follow; the first waits at most `MAX_BATCH_DELAY`."""
        batch: list[PendingImage] = []
        image = await self._pending.get()
        deadline = time.monotonic() + MAX_BATCH_DELAY
        while image is not None:
            batch.append(image)
            remaining = deadline - time.monotonic()
            if len(batch) >= BATCH_SIZE or sum(i.nbytes for i in batch) >= BATCH_BYTES or remaining <= 0:
                return batch, True
            try:
                async with asyncio.timeout(remaining):
                    image = await self._pending.get()
            except TimeoutError:
                return batch, True
        return batch, False

    async def _add(self, items: Sequence[Item | Outcome]) -> list[Outcome]:
        add = functools.partial(self._state.gallery.add_iter, items, tenant=self._caller.tenant, exif=self._exif)
        outcomes = await self._state.executor.run(lambda: list(add()), timeout=QUEUE_TIMEOUT)
        by_key: dict[str, deque[Outcome]] = {}  # what is rejected comes before what is written
        for outcome in outcomes:
            by_key.setdefault(outcome.key, deque()).append(outcome)
        return [by_key[item.key].popleft() for item in items]


@router.post(
    "/images:batch",
    operation_id="putImages",
    summary="Add many images",
    response_model=OutcomeList,
    responses=documented_responses(
        also={200: {"description": "The outcomes.", "content": {NDJSON: {"schema": {"type": "string"}}}}}
    ),
    openapi_extra=request_body(
        {
            NDJSON: {
                "schema": {"type": "string"},
                "example": '{"key": "1.jpg", "image": {"url": "https://images.example/1.jpg"}}\n',
            },
            "multipart/form-data": form_schema(
                "file",
                file={"type": "array", "items": BINARY},
                attributes={"type": "string", "description": "A JSON object, for the files after it."},
            ),
        }
    ),
)
async def put_images(
    request: Request,
    state: State,
    caller: Writes,
    exif: Annotated[bool, Query(description="Store what EXIF data say: capture time, camera, position.")] = True,
    attributes: Annotated[
        str | None, Query(description="A JSON object, for images without attributes of their own.")
    ] = None,
) -> Response:
    """A form with files, each stored under its file name, or lines of JSON (`BatchItem`). At most 10,000 images.

    Each outcome is sent as its image becomes durable, in the order of the request; an invalid image is rejected and
    does not affect others. The response to a form is one JSON object, that to lines is lines (`Outcome`), with a last
    line `{"error": {problem}}` where the whole request failed; `Accept` chooses.
    """
    state.executor.check_capacity()
    if media_type(request) not in ("multipart/form-data", NDJSON, "application/jsonl"):
        raise unsupported_media_type(media_type(request), "multipart/form-data", NDJSON)
    given = None if attributes is None else parse_attributes(attributes)
    return BulkUploadResponse(request, state, caller, framing_of(request), exif=exif, attributes=given)


async def read_images(reader: RequestReader) -> AsyncIterator[PendingImage]:
    """The images of a batch as they arrive; raises BadInput above `MAX_IMAGES`."""
    count = 0
    max_bytes = reader.caller.limits.body_bytes or reader.max_bytes * MAX_IMAGES
    stream = read_chunks(reader.request, max_bytes, reader.lease)
    source = _read_form if media_type(reader.request) == "multipart/form-data" else _read_lines
    async for image in source(reader, stream):
        count += 1
        if count > MAX_IMAGES:
            raise BadInput(f"a batch has at most {MAX_IMAGES:,} images; send the rest in another request")
        yield image


async def _read_form(reader: RequestReader, stream: AsyncIterator[bytes]) -> AsyncIterator[PendingImage]:
    attributes = None
    kind = reader.request.headers["content-type"]
    async for part in read_parts(stream, kind, max_parts=2 * MAX_IMAGES, max_part_bytes=reader.max_bytes):
        if part.name == "attributes":
            attributes = parse_attributes(field_text(part))
            reader.lease.release(len(part.data))
        else:
            yield await _read_part(reader, part, attributes)


async def _read_part(reader: RequestReader, part: Part, attributes: Mapping[str, Any] | None) -> PendingImage:
    """The image of a form part; rejected if it exceeds the caller's pixel limit."""
    if part.name != "file" or not part.filename:
        raise BadInput(f"unexpected form part {part.name!r}; expected `file` with a file name, or `attributes`")
    max_pixels = reader.caller.limits.pixels
    if max_pixels is not None:
        try:
            await reader.state.executor.run(lambda: check_pixels(part.data, max_pixels), timeout=QUEUE_TIMEOUT)
        except ImageRejected as error:
            return PendingImage(Outcome(part.filename, None, "rejected", f"{error.reason}: {error}"), len(part.data))
    return PendingImage(Item(part.filename, part.data, attributes), len(part.data))


async def _read_lines(reader: RequestReader, stream: AsyncIterator[bytes]) -> AsyncIterator[PendingImage]:
    async for line in split_lines(stream, reader.max_bytes * 4 // 3 + JSON_OVERHEAD):
        if line.strip():
            yield await _read_line(reader, line)


async def split_lines(stream: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """The lines of a body; raises ImageRejected ("too_many_bytes") for one that is too long."""
    rest = bytearray()
    async for chunk in stream:
        rest += chunk
        if b"\n" in chunk:
            *complete, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in complete:
                yield line
        if len(rest) > max_bytes:
            raise ImageRejected("too_many_bytes", f"a line of the batch exceeds the limit of {max_bytes:,} bytes")
    yield bytes(rest)


async def _read_line(reader: RequestReader, line: bytes) -> PendingImage:
    """The image of a line; rejected if it cannot be read or fetched."""
    item = validate(BatchItem, await reader.state.executor.run(lambda: parse_object(line), timeout=QUEUE_TIMEOUT))
    try:
        image = await reader.image(item.image)
    except (BadInput, NotFound, Unavailable) as error:
        reason = error.reason if isinstance(error, ImageRejected) else "unreadable"
        return PendingImage(Outcome(item.key, None, "rejected", f"{reason}: {error}"), len(line))
    assert isinstance(image, bytes)
    fetched = 0 if item.image.url is None else len(image)
    return PendingImage(Item(item.key, image, item.attributes), len(line) + fetched)


def _json(outcome: Outcome) -> bytes:
    return _dumps(to_dict(convert(OutcomeObject, outcome)))


def _dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace")
