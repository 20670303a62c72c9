"""Two images side by side."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict

from lookalike.errors import BadInput
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.requests.images import RequestReader
from lookalike.server.schemas import QuerySource, RequestModel, answer, problems
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
    summary="Say how alike two images are, and who says so",
    response_model=Comparison,
    responses=problems(),
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
async def compare(request: Request, here: State, caller: Reads) -> Response:
    """Neither of the two need be in the gallery; each may be a file, a URL, or the key of a stored image."""
    here.work.admit()
    async with here.memory.account() as account:
        reader = RequestReader(request, here, caller, account, names=("a", "b"), source=QuerySource)
        given = await reader.read()
        if given.rest:
            raise BadInput(f"unknown field {next(iter(given.rest))!r}; a comparison takes only `a` and `b`")
        a, b = [await reader.image(given.sources[name]) for name in ("a", "b")]
        found = await here.work.run(lambda: here.service.compare(a, b, tenant=caller.tenant))
    return answer(Comparison.of(found))
