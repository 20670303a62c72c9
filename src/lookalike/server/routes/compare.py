"""Comparison of two images."""

from fastapi import APIRouter, Request, Response

from lookalike.errors import BadInput
from lookalike.server.app_state import State
from lookalike.server.auth import Reads
from lookalike.server.requests.images import RequestReader
from lookalike.server.schemas import (
    BINARY,
    QuerySource,
    RequestModel,
    documented_responses,
    example_config,
    form_schema,
    json_response,
    request_body,
)
from lookalike.wire.comparison import Comparison

router = APIRouter(prefix="/v1", tags=["search"])


class CompareRequest(RequestModel):
    """Two images, each from any source."""

    model_config = example_config({"a": {"key": "alps/IMG_1.jpg"}, "b": {"url": "https://images.example/copy.jpg"}})

    a: QuerySource
    b: QuerySource


@router.post(
    "/compare",
    operation_id="compare",
    summary="Compare two images",
    response_model=Comparison,
    responses=documented_responses(),
    openapi_extra=request_body(
        {
            "application/json": {
                "schema": CompareRequest.model_json_schema(ref_template="#/components/schemas/{model}")
            },
            "multipart/form-data": form_schema("a", "b", a=BINARY, b=BINARY),
        }
    ),
)
async def compare(request: Request, state: State, caller: Reads) -> Response:
    """Each image is a file, a URL, or the key of a stored image; neither has to be in the gallery."""
    state.executor.check_capacity()
    async with state.memory.lease() as lease:
        reader = RequestReader(request, state, caller, lease, names=("a", "b"), source=QuerySource)
        parsed = await reader.read()
        if parsed.fields:
            raise BadInput(f"unknown field {next(iter(parsed.fields))!r}; a comparison takes a and b only")
        a, b = [await reader.image(parsed.sources[name]) for name in ("a", "b")]
        comparison = await state.executor.run(lambda: state.gallery.compare(a, b, tenant=caller.tenant))
    return json_response(Comparison.of(comparison))
