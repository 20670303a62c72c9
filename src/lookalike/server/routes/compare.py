"""Comparison of two images."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict

from lookalike.errors import BadInput
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.requests.images import RequestReader
from lookalike.server.schemas import QuerySource, RequestModel, documented_responses, json_response
from lookalike.wire import Comparison

router = APIRouter(prefix="/v1", tags=["search"])
Reads = Annotated[Caller, Depends(require_scope("read"))]


class CompareRequest(RequestModel):
    """Two images, each from any source."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"a": {"key": "alps/IMG_1.jpg"}, "b": {"url": "https://images.example/copy.jpg"}}]
        }
    )

    a: QuerySource
    b: QuerySource


@router.post(
    "/compare",
    operation_id="compare",
    summary="Compare two images",
    response_model=Comparison,
    responses=documented_responses(),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": CompareRequest.model_json_schema(ref_template="#/components/schemas/{model}")
                },
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["a", "b"],
                        "properties": {name: {"type": "string", "format": "binary"} for name in ("a", "b")},
                    }
                },
            },
        }
    },
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
