"""Two images: their comparison, an explanation of it, and why the one is not found by the other."""

from fastapi import APIRouter, Request, Response
from pydantic import Field

from lookalike.errors import BadInput
from lookalike.results import MAX_RESULTS, SearchOptions
from lookalike.server.app_state import State
from lookalike.server.auth import Reads
from lookalike.server.requests.images import RequestReader, validate
from lookalike.server.requests.search_options import parse_option_texts
from lookalike.server.schemas import (
    BINARY,
    Json,
    QuerySource,
    RequestModel,
    documented_responses,
    example_config,
    form_schema,
    json_response,
    json_schema,
    request_body,
)
from lookalike.wire.comparison import Comparison
from lookalike.wire.explanation import Diagnosis, Explanation
from lookalike.wire.objects import convert

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


class WhyNotRequest(RequestModel):
    """A search, and the image that it should find."""

    model_config = example_config({"image": {"url": "https://images.example/copy.jpg"}, "key": "alps/IMG_1.jpg"})

    image: QuerySource | None = None
    key: str = Field(description="The image that should be found.")
    k: int = Field(10, ge=1, le=MAX_RESULTS, description="Hits of the search.")
    threshold: float | None = Field(None, ge=0, le=1, description="The largest distance of a hit.")
    pipelines: list[str] | None = Field(None, max_length=32, description="Search these pipelines only.")
    filter: Json | None = Field(None, description="A filter on attributes.")


@router.post(
    "/why-not",
    operation_id="whyNot",
    summary="Explain why an image is not found",
    response_model=Diagnosis,
    responses=documented_responses(404),
    openapi_extra=request_body(
        {
            "application/json": json_schema("WhyNotRequest"),
            "multipart/form-data": form_schema(
                "file", "key", file=BINARY, key={"type": "string"}, filter={"type": "string", "description": "JSON"}
            ),
        }
    ),
)
async def why_not(request: Request, state: State, caller: Reads) -> Response:
    """Every step of the search is checked for one image: digest, filter, distances, ranks, verification."""
    state.executor.check_capacity()
    async with state.memory.lease() as lease:
        reader = RequestReader(request, state, caller, lease, source=QuerySource)
        parsed = await reader.read()
        fields = dict(parsed.fields) if parsed.is_json else parse_option_texts(parsed.fields)
        asked = validate(WhyNotRequest, fields, strict=parsed.is_json)
        image = await reader.image(parsed.sources["image"])
        options = SearchOptions(
            k=asked.k,
            tenant=caller.tenant,
            threshold=asked.threshold,
            pipelines=asked.pipelines,
            filter=asked.filter,
        )
        found = await state.executor.run(lambda: state.gallery.why_not(image, asked.key, **options))
    return json_response(convert(Diagnosis, found))
