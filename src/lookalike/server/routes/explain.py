"""What an image and one of the gallery have in common."""

from fastapi import APIRouter, Request, Response
from pydantic import Field

from lookalike.server.app_state import State
from lookalike.server.auth import Reads
from lookalike.server.requests.images import RequestReader, validate
from lookalike.server.schemas import (
    BINARY,
    QuerySource,
    RequestModel,
    documented_responses,
    example_config,
    form_schema,
    json_response,
    json_schema,
    request_body,
)
from lookalike.wire.explanation import Explanation

router = APIRouter(prefix="/v1", tags=["search"])


class ExplainRequest(RequestModel):
    """An image, and one of the gallery."""

    model_config = example_config({"image": {"url": "https://images.example/copy.jpg"}, "key": "alps/IMG_1.jpg"})

    image: QuerySource | None = None
    key: str = Field(description="The image of the gallery.")


@router.post(
    "/explain",
    operation_id="explain",
    summary="Explain what two images have in common",
    response_model=Explanation,
    responses=documented_responses(404),
    openapi_extra=request_body(
        {
            "application/json": json_schema("ExplainRequest"),
            "multipart/form-data": form_schema("file", "key", file=BINARY, key={"type": "string"}),
        }
    ),
)
async def explain(request: Request, state: State, caller: Reads) -> Response:
    """The comparison, the hashes bit by bit, the calibration curves, and both images, aligned."""
    state.executor.check_capacity()
    async with state.memory.lease() as lease:
        reader = RequestReader(request, state, caller, lease, source=QuerySource)
        parsed = await reader.read()
        key = validate(ExplainRequest, dict(parsed.fields)).key
        image = await reader.image(parsed.sources["image"])
        found = await state.executor.run(lambda: state.gallery.explain(image, key, tenant=caller.tenant))
    return json_response(Explanation.of(found))
