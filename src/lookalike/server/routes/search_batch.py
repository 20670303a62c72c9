"""Search by many images in one request."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from lookalike.errors import BadInput, LookalikeError, NotFound, Unavailable
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, Reads
from lookalike.server.load_limits import MemoryLease
from lookalike.server.problem_responses import problem_for, request_id_of
from lookalike.server.requests.body import JSON_OVERHEAD, media_type, parse_object, read_body, unsupported_media_type
from lookalike.server.requests.images import QueryImage, RequestReader, validate
from lookalike.server.requests.search_options import JsonOptions, QueryOptions, search_options_of, searched_tenant
from lookalike.server.schemas import (
    FILTER_EXAMPLE,
    QuerySource,
    documented_responses,
    example_config,
    json_body,
)
from lookalike.types import Answer
from lookalike.wire.search import SearchAnswer, SearchBatchAnswer

router = APIRouter(prefix="/v1", tags=["search"])
MAX_QUERIES = 64
"""Images of one request."""
MAX_BYTES = 256 * 1024 * 1024
"""Bytes of one request."""
GROUP = 8
"""Images searched at once; their answers are sent before the next ones are searched, so that no client times out."""
QUEUE_TIMEOUT = 120.0
"""Seconds that a later group waits for a thread; long, because the response has already started."""


class SearchBatchRequest(JsonOptions, QueryOptions):
    """A search by several images, with the same options for all."""

    model_config = example_config(
        {"images": [{"key": "alps/IMG_1.jpg"}, {"key": "alps/IMG_2.jpg"}], "k": 5, "filter": FILTER_EXAMPLE},
    )

    images: list[QuerySource] = Field(min_length=1, max_length=MAX_QUERIES)


@dataclass(frozen=True, slots=True)
class SearchBatch:
    """A checked request, and what reads its images."""

    state: AppState
    reader: RequestReader
    options: SearchBatchRequest
    tenant: str | None
    request_id: str

    async def search(self, sources: Sequence[QuerySource], timeout: float | None) -> list[dict[str, Any]]:
        """The objects of the answers to some images, in their order; an image that cannot be read has an error."""
        found: list[QueryImage | Exception] = []
        for source in sources:
            try:
                found.append(await self.reader.image(source))
            except (BadInput, NotFound, Unavailable) as error:
                found.append(error)
        images = [image for image in found if not isinstance(image, Exception)]
        answers = iter(await self.state.executor.run(lambda: self._answers(images), timeout=timeout))
        return [self._object(image if isinstance(image, Exception) else next(answers)) for image in found]

    def _answers(self, images: Sequence[QueryImage]) -> list[Answer | LookalikeError]:
        options = search_options_of(self.options, self.options, self.tenant, k=self.options.k)
        options["page"] = self.options.page
        answered = self.state.gallery.search_many(images, **options)
        answers: list[Answer | LookalikeError] = [answer for _, answer in answered]
        for image in images:
            self.state.live_queries.offer(self.tenant, image)
        return answers

    def _object(self, answer: Answer | Exception) -> dict[str, Any]:
        if isinstance(answer, Answer):
            self.state.metrics.observe_stages(answer.took_ms)
            return {"answer": SearchAnswer.of(answer), "error": None}
        return {"answer": None, "error": problem_for(answer, self.request_id)}


class SearchBatchResponse(StreamingResponse):
    """Sends the answers as they are found, and releases the request's memory, also where the client is gone."""

    def __init__(self, batch: SearchBatch, first: list[dict[str, Any]], lease: MemoryLease) -> None:
        super().__init__(_body(batch, first), media_type="application/json")
        self._lease = lease

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._lease.release()


@router.post(
    "/search:batch",
    operation_id="searchBatch",
    summary="Search by several images",
    response_model=SearchBatchAnswer,
    responses=documented_responses(),
    openapi_extra=json_body("SearchBatchRequest"),
)
async def search_batch(request: Request, state: State, caller: Reads) -> Response:
    """Up to 64 images, each answered as by a search of its own; one that cannot be searched does not affect others.

    The response is sent as the answers are found. After its start, an error of the whole request is the last answers'.
    """
    state.executor.check_capacity()
    lease = MemoryLease(state.memory)
    try:
        batch = await _read(request, state, caller, lease)
        first = await batch.search(batch.options.images[:GROUP], None)
    except BaseException:
        lease.release()
        raise
    return SearchBatchResponse(batch, first, lease)


async def _read(request: Request, state: AppState, caller: Caller, lease: MemoryLease) -> SearchBatch:
    if media_type(request) != "application/json":
        raise unsupported_media_type(media_type(request), "application/json")
    data = await read_body(request, MAX_BYTES + JSON_OVERHEAD, lease)
    options = validate(SearchBatchRequest, await state.executor.run(lambda: parse_object(data)))
    reader = RequestReader(request, state, caller, lease, source=QuerySource)
    return SearchBatch(state, reader, options, searched_tenant(options, caller), request_id_of(request))


async def _body(batch: SearchBatch, first: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    """The response's JSON, a group of answers at a time."""
    yield b'{"answers":[' + _joined(first)
    images = batch.options.images
    for start in range(GROUP, len(images), GROUP):
        group = images[start : start + GROUP]
        try:
            answers = await batch.search(group, QUEUE_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the response has started: each image of the group reports it
            answers = [{"answer": None, "error": problem_for(error, batch.request_id)} for _ in group]
        yield b"," + _joined(answers)
    yield b"]}"


def _joined(answers: Sequence[dict[str, Any]]) -> bytes:
    return b",".join(to_json(answer, inf_nan_mode="null") for answer in answers)
