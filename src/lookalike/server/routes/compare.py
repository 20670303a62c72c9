"""Comparison of two images."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field

from lookalike.errors import BadInput
from lookalike.results import Comparison
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.requests.images import RequestReader
from lookalike.server.schemas import QuerySource, RequestModel, ResponseModel, documented_responses, json_response
from lookalike.types import Evidence

router = APIRouter(prefix="/v1", tags=["search"])
Reads = Annotated[Caller, Depends(require_scope("read"))]


class CompareRequest(RequestModel):
    """Two images, from wherever they come."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"a": {"key": "alps/IMG_1.jpg"}, "b": {"url": "https://images.example/copy.jpg"}}]
        }
    )

    a: QuerySource
    b: QuerySource


class MeasuredModel(ResponseModel):
    """What one pipeline says of the two."""

    name: str
    distance: float | None = Field(description="0..1; none where an image is too plain for this pipeline.")
    copy_: bool = Field(alias="copy", serialization_alias="copy", description="Whether it takes them for copies.")
    threshold: float = Field(description="The distance up to which it does.")
    rarity: float | None = Field(description="Log10 of the share of unrelated images that come so close.")


class ComparisonModel(ResponseModel):
    """The verdict on two images, and what it rests on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "same_bytes": False,
                    "same_pixels": False,
                    "evidence": "copy",
                    "pipelines": [
                        {"name": "phash", "distance": 0.03125, "copy": True, "threshold": 0.125, "rarity": -6.1}
                    ],
                }
            ]
        }
    )

    same_bytes: bool
    same_pixels: bool
    evidence: Evidence
    pipelines: list[MeasuredModel]

    @classmethod
    def of(cls, found: Comparison) -> "ComparisonModel":
        """The same of the service's comparison."""
        measured = [
            MeasuredModel(name=m.pipeline, distance=m.distance, copy=m.is_copy, threshold=m.threshold, rarity=m.rarity)
            for m in found.pipelines
        ]
        return cls(
            same_bytes=found.same_bytes,
            same_pixels=found.same_pixels,
            evidence=found.evidence,
            pipelines=measured,
        )


@router.post(
    "/compare",
    operation_id="compare",
    summary="Compare two images",
    response_model=ComparisonModel,
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
    return json_response(ComparisonModel.of(comparison))
