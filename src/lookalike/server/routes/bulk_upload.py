"""Many images in one request, each answered by a line as it becomes durable, while the rest still comes in."""

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lookalike.errors import BadInput, ImageRejected, NotFound, Unavailable
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.memory_budget import MemoryLease
from lookalike.server.problem_responses import problem_for, rejection_reason, request_id_of
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
    ImageSource,
    Json,
    RequestModel,
    ResponseModel,
    documented_responses,
    rejection_error,
)
from lookalike.types import Item, Outcome, OutcomeKind

router = APIRouter(prefix="/v1", tags=["images"])
MAX_IMAGES = 10_000
"""Images of one request; their outcomes wait in memory for a caller that reads them only at the end."""
BATCH_SIZE = 64
"""Images written at once."""
BATCH_BYTES = 32 * 1024 * 1024
MAX_BATCH_DELAY = 0.2
"""Seconds that an image waits for others to be written with."""
QUEUE_TIMEOUT = 120.0
"""A group waits so long for a thread: its caller is being answered already."""
NDJSON = "application/x-ndjson"


class BatchItem(RequestModel):
    """One line of a batch in NDJSON."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"key": "1.jpg", "image": {"url": "https://images.example/1.jpg"}, "attributes": {"album": "Alps"}}
            ]
        }
    )

    key: str = Field(min_length=1)
    image: ImageSource
    attributes: Json | None = None


class BatchLine(ResponseModel):
    """What became of one image; it is durable. A last line with `error` alone says why a batch broke off."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"key": "1.jpg", "outcome": "added", "reason": None, "sequence": 17}]}
    )

    key: str
    outcome: OutcomeKind
    reason: str | None
    sequence: int | None


@dataclass(frozen=True, slots=True)
class PendingImage:
    """An image on its way, with the bytes that it holds of the server's memory."""

    item: Item | Outcome
    nbytes: int


class BulkUploadResponse(Response):
    """Reads the request while it answers it: nobody else may read the request's body."""

    def __init__(self, request: Request, state: AppState, caller: Caller) -> None:
        super().__init__(status_code=200, media_type=NDJSON)
        del self.headers["content-length"]
        self._request = request
        self._state = state
        self._caller = caller
        self._pending: asyncio.Queue[PendingImage | None] = asyncio.Queue(BATCH_SIZE)
        self._read_error: Exception | None = None
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with self._state.memory.lease() as account:
            working = asyncio.gather(self._read(account), self._write(account))
            working.add_done_callback(lambda _: self._lines.put_nowait(None))
            try:
                while (line := await self._lines.get()) is not None:
                    await send({"type": "http.response.body", "body": line, "more_body": True})
                await working
            except ClientDisconnect:
                return
            except Exception as error:  # noqa: BLE001 - the response has started, so its last line reports the error
                line = _json_line({"error": problem_for(error, request_id_of(self._request))})
                await send({"type": "http.response.body", "body": line, "more_body": True})
            finally:
                working.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _read(self, account: MemoryLease) -> None:
        """Read images ahead, a group of them at most; then the sender is held up."""
        try:
            async for coming in read_images(self._request, self._state, self._caller, account):
                await self._pending.put(coming)
        except Exception as error:  # noqa: BLE001 - images read before the error are written first
            self._read_error = error
        await self._pending.put(None)

    async def _write(self, account: MemoryLease) -> None:
        goes_on = True
        while goes_on:
            group, goes_on = await self._next_batch()
            items = [coming.item for coming in group]
            for outcome in await self._add(items) if items else ():
                self._state.metrics.count_write(outcome.outcome)
                if outcome.outcome == "rejected":
                    self._state.metrics.count_rejection(rejection_reason(rejection_error(outcome.reason or "")))
                told = {"key": outcome.key, "outcome": outcome.outcome, "reason": outcome.reason}
                self._lines.put_nowait(_json_line(told | {"sequence": outcome.sequence}))
            account.release(sum(coming.nbytes for coming in group))
        if self._read_error is not None:
            raise self._read_error

    async def _next_batch(self) -> tuple[list[PendingImage], bool]:
        """The next images to write, and whether more may follow; the first waits at most `MAX_BATCH_DELAY`."""
        group: list[PendingImage] = []
        coming = await self._pending.get()
        until = time.monotonic() + MAX_BATCH_DELAY
        while coming is not None:
            group.append(coming)
            left = until - time.monotonic()
            if len(group) >= BATCH_SIZE or sum(c.nbytes for c in group) >= BATCH_BYTES or left <= 0:
                return group, True
            try:
                async with asyncio.timeout(left):
                    coming = await self._pending.get()
            except TimeoutError:
                return group, True
        return group, False

    async def _add(self, items: Sequence[Item | Outcome]) -> list[Outcome]:
        add = functools.partial(self._state.gallery.add_iter, items, tenant=self._caller.tenant)
        return await self._state.executor.run(lambda: list(add()), timeout=QUEUE_TIMEOUT)


@router.post(
    "/images:batch",
    operation_id="putImages",
    summary="Add many images",
    response_class=Response,
    responses=documented_responses(
        also={200: {"description": "A line an image.", "content": {NDJSON: {"schema": {"type": "string"}}}}}
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                NDJSON: {
                    "schema": {"type": "string"},
                    "example": '{"key": "1.jpg", "image": {"url": "https://images.example/1.jpg"}}\n',
                },
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                            "attributes": {"type": "string", "description": "A JSON object, for the files after it."},
                        },
                    }
                },
            },
        }
    },
)
async def put_images(
    request: Request, state: State, caller: Annotated[Caller, Depends(require_scope("write"))]
) -> Response:
    """A form of files, each under its file name, or lines of JSON (`BatchItem`).

    The answer is NDJSON, a line (`BatchLine`) an image as it becomes durable, in that order; what is no image is
    rejected in its line and stops nothing. At most 10,000 images a request.
    """
    state.executor.check_capacity()
    if media_type(request) not in ("multipart/form-data", NDJSON, "application/jsonl"):
        raise unsupported_media_type(media_type(request), "multipart/form-data", NDJSON)
    return BulkUploadResponse(request, state, caller)


async def read_images(
    request: Request, state: AppState, caller: Caller, account: MemoryLease
) -> AsyncIterator[PendingImage]:
    """The images of a batch as they come in; raises BadInput for too many of them."""
    count = 0
    source = _read_form if media_type(request) == "multipart/form-data" else _read_lines
    async for coming in source(request, state, caller, account):
        count += 1
        if count > MAX_IMAGES:
            raise BadInput(f"a batch has at most {MAX_IMAGES:,} images; send the rest in another one")
        yield coming


async def _read_form(
    request: Request, state: AppState, caller: Caller, account: MemoryLease
) -> AsyncIterator[PendingImage]:
    attributes = None
    most = state.gallery.limits.max_bytes
    stream = read_chunks(request, _max_body_bytes(caller, state), account)
    async for part in read_parts(
        stream, request.headers["content-type"], max_parts=2 * MAX_IMAGES, max_part_bytes=most
    ):
        if part.name == "attributes":
            attributes = parse_attributes(field_text(part))
            account.release(len(part.data))
        else:
            yield await _read_part(part, attributes, state, caller)


async def _read_part(part: Part, attributes: Mapping[str, Any] | None, state: AppState, caller: Caller) -> PendingImage:
    """The image of a form's part; one with more pixels than the caller may send is rejected by itself."""
    key, most = _key_of(part), caller.limits.pixels
    if most is not None:
        try:
            await state.executor.run(lambda: check_pixels(part.data, most), timeout=QUEUE_TIMEOUT)
        except ImageRejected as error:
            return PendingImage(Outcome(key, None, "rejected", f"{error.reason}: {error}"), len(part.data))
    return PendingImage(Item(key, part.data, attributes), len(part.data))


def _key_of(part: Part) -> str:
    if part.name != "file" or not part.filename:
        raise BadInput(f"a batch's form has parts `file`, each with a file name, and `attributes`; not {part.name!r}")
    return part.filename


async def _read_lines(
    request: Request, state: AppState, caller: Caller, account: MemoryLease
) -> AsyncIterator[PendingImage]:
    longest = state.gallery.limits.max_bytes * 4 // 3 + JSON_OVERHEAD
    reader = RequestReader(request, state, caller, account)
    async for line in split_lines(read_chunks(request, _max_body_bytes(caller, state), account), longest):
        if line.strip():
            yield await _read_line(reader, line)


async def split_lines(stream: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
    """The lines of a body; raises ImageRejected ("too_many_bytes") for one that is too long."""
    rest = bytearray()
    async for chunk in stream:
        rest += chunk
        if b"\n" in chunk:
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in whole:
                yield line
        if len(rest) > longest:
            raise ImageRejected("too_many_bytes", f"a line of the batch has more than {longest:,} bytes")
    yield bytes(rest)


async def _read_line(reader: RequestReader, line: bytes) -> PendingImage:
    """The image of a line; one that cannot be had is rejected by itself."""
    item = validate(BatchItem, await reader.state.executor.run(lambda: parse_object(line), timeout=QUEUE_TIMEOUT))
    try:
        image = await reader.image(item.image)
    except (BadInput, NotFound, Unavailable) as error:
        word = error.reason if isinstance(error, ImageRejected) else "unreadable"
        return PendingImage(Outcome(item.key, None, "rejected", f"{word}: {error}"), len(line))
    assert isinstance(image, bytes)
    fetched = 0 if item.image.url is None else len(image)
    return PendingImage(Item(item.key, image, item.attributes), len(line) + fetched)


def _max_body_bytes(caller: Caller, state: AppState) -> int:
    """A batch may be as large as the caller's requests, or else as many of the largest images as it may have."""
    return caller.limits.body_bytes or state.gallery.limits.max_bytes * MAX_IMAGES


def _json_line(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
