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

from lookalike import wire
from lookalike.errors import BadInput, ImageRejected, NotFound, Unavailable
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.executor import MemoryLease
from lookalike.server.problem_responses import problem_for, reason_of, request_id_of
from lookalike.server.requests.body import JSON_OVERHEAD, chunks, media_type, read_attributes, read_object, refuse
from lookalike.server.requests.images import RequestReader, field_text, validated
from lookalike.server.requests.multipart import Part, parts
from lookalike.server.requests.pixels import check_pixels
from lookalike.server.schemas import ImageSource, Json, RequestModel, problems, rejection
from lookalike.types import Item, Outcome

router = APIRouter(prefix="/v1", tags=["images"])
MAX_IMAGES = 10_000
"""Images of one request; their outcomes wait in memory for a caller that reads them only at the end."""
GROUP = 64
"""Images written at once."""
GROUP_BYTES = 32 * 1024 * 1024
MAX_BATCH_DELAY = 0.2
"""Seconds that an image waits for others to be written with."""
TURN_SECONDS = 120.0
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


@dataclass(frozen=True, slots=True)
class PendingImage:
    """An image on its way, with the bytes that it holds of the server's memory."""

    item: Item | Outcome
    nbytes: int


class BulkUploadResponse(Response):
    """Reads the request while it answers it: nobody else may read the request's body."""

    def __init__(self, request: Request, here: AppState, caller: Caller) -> None:
        super().__init__(status_code=200, media_type=NDJSON)
        del self.headers["content-length"]
        self._request = request
        self._here = here
        self._caller = caller
        self._coming: asyncio.Queue[PendingImage | None] = asyncio.Queue(GROUP)
        self._broken: Exception | None = None
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with self._here.memory.account() as account:
            working = asyncio.gather(self._read(account), self._write(account))
            working.add_done_callback(lambda _: self._lines.put_nowait(None))
            try:
                while (line := await self._lines.get()) is not None:
                    await send({"type": "http.response.body", "body": line, "more_body": True})
                await working
            except ClientDisconnect:
                return
            except Exception as error:  # noqa: BLE001 - the answer has begun, so its last line tells of it
                line = _line({"error": problem_for(error, request_id_of(self._request))})
                await send({"type": "http.response.body", "body": line, "more_body": True})
            finally:
                working.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _read(self, account: MemoryLease) -> None:
        """Read images ahead, a group of them at most; then the sender is held up."""
        try:
            async for coming in images_of(self._request, self._here, self._caller, account):
                await self._coming.put(coming)
        except Exception as error:  # noqa: BLE001 - what came before is written first
            self._broken = error
        await self._coming.put(None)

    async def _write(self, account: MemoryLease) -> None:
        goes_on = True
        while goes_on:
            group, goes_on = await self._group()
            items = [coming.item for coming in group]
            for outcome in await self._written(items) if items else ():
                self._here.metrics.written(outcome.outcome)
                if outcome.outcome == "rejected":
                    self._here.metrics.rejected(reason_of(rejection(outcome.reason or "")))
                self._lines.put_nowait(_line(wire.to_dict(wire.Outcome.of(outcome))))
            account.give_back(sum(coming.nbytes for coming in group))
        if self._broken is not None:
            raise self._broken

    async def _group(self) -> tuple[list[PendingImage], bool]:
        """The next images to write, and whether more may follow; the first waits at most `MAX_BATCH_DELAY`."""
        group: list[PendingImage] = []
        coming = await self._coming.get()
        until = time.monotonic() + MAX_BATCH_DELAY
        while coming is not None:
            group.append(coming)
            left = until - time.monotonic()
            if len(group) >= GROUP or sum(c.nbytes for c in group) >= GROUP_BYTES or left <= 0:
                return group, True
            try:
                async with asyncio.timeout(left):
                    coming = await self._coming.get()
            except TimeoutError:
                return group, True
        return group, False

    async def _written(self, items: Sequence[Item | Outcome]) -> list[Outcome]:
        here, tenant = self._here, self._caller.tenant
        add = functools.partial(here.service.add_iter, items, tenant=tenant)
        return await here.work.run(lambda: list(add()), patience=TURN_SECONDS)


@router.post(
    "/images:batch",
    operation_id="putImages",
    summary="Add many images",
    response_class=Response,
    responses=problems(
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
    request: Request, here: State, caller: Annotated[Caller, Depends(require_scope("write"))]
) -> Response:
    """A form of files, each under its file name, or lines of JSON (`BatchItem`).

    The response is NDJSON, a line (`Outcome`) an image as it becomes durable, in that order; what is no image is
    rejected in its line and stops nothing. At most 10,000 images a request.
    """
    here.work.admit()
    if media_type(request) not in ("multipart/form-data", NDJSON, "application/jsonl"):
        raise refuse(media_type(request), "multipart/form-data", NDJSON)
    return BulkUploadResponse(request, here, caller)


async def images_of(
    request: Request, here: AppState, caller: Caller, account: MemoryLease
) -> AsyncIterator[PendingImage]:
    """The images of a batch as they come in; raises BadInput for too many of them."""
    count = 0
    source = _of_form if media_type(request) == "multipart/form-data" else _of_lines
    async for coming in source(request, here, caller, account):
        count += 1
        if count > MAX_IMAGES:
            raise BadInput(f"a batch has at most {MAX_IMAGES:,} images; send the rest in another request")
        yield coming


async def _of_form(
    request: Request, here: AppState, caller: Caller, account: MemoryLease
) -> AsyncIterator[PendingImage]:
    attributes = None
    most = here.service.limits.max_bytes
    stream = chunks(request, _most_bytes(caller, here), account)
    async for part in parts(stream, request.headers["content-type"], most_parts=2 * MAX_IMAGES, most_bytes=most):
        if part.name == "attributes":
            attributes = read_attributes(field_text(part))
            account.give_back(len(part.data))
        else:
            yield await _of_part(part, attributes, here, caller)


async def _of_part(part: Part, attributes: Mapping[str, Any] | None, here: AppState, caller: Caller) -> PendingImage:
    """The image of a form's part; one with more pixels than the caller may send is rejected by itself."""
    key, most = _key_of(part), caller.limits.pixels
    if most is not None:
        try:
            await here.work.run(lambda: check_pixels(part.data, most), patience=TURN_SECONDS)
        except ImageRejected as error:
            return PendingImage(Outcome(key, None, "rejected", f"{error.reason}: {error}"), len(part.data))
    return PendingImage(Item(key, part.data, attributes), len(part.data))


def _key_of(part: Part) -> str:
    if part.name != "file" or not part.filename:
        raise BadInput(
            f"unexpected form part {part.name!r}: a batch takes `file`, each with a file name, and `attributes`"
        )
    return part.filename


async def _of_lines(
    request: Request, here: AppState, caller: Caller, account: MemoryLease
) -> AsyncIterator[PendingImage]:
    longest = here.service.limits.max_bytes * 4 // 3 + JSON_OVERHEAD
    reader = RequestReader(request, here, caller, account)
    async for line in lines(chunks(request, _most_bytes(caller, here), account), longest):
        if line.strip():
            yield await _coming(reader, line)


async def lines(stream: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
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


async def _coming(reader: RequestReader, line: bytes) -> PendingImage:
    """The image of a line; one that cannot be had is rejected by itself."""
    item = validated(BatchItem, await reader.context.work.run(lambda: read_object(line), patience=TURN_SECONDS))
    try:
        image = await reader.image(item.image)
    except (BadInput, NotFound, Unavailable) as error:
        word = error.reason if isinstance(error, ImageRejected) else "unreadable"
        return PendingImage(Outcome(item.key, None, "rejected", f"{word}: {error}"), len(line))
    assert isinstance(image, bytes)
    fetched = 0 if item.image.url is None else len(image)
    return PendingImage(Item(item.key, image, item.attributes), len(line) + fetched)


def _most_bytes(caller: Caller, here: AppState) -> int:
    """A batch may be as large as the caller's requests, or else as many of the largest images as it may have."""
    return caller.limits.body_bytes or here.service.limits.max_bytes * MAX_IMAGES


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
