"""Clusters of copies, and pairs that a person said are none."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ConfigDict, Field

from lookalike.results import Cluster
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.pagination import encode_cursor, key_in
from lookalike.server.requests.images import small_json, validated
from lookalike.server.schemas import Image, RequestModel, ResponseModel, answer, json_body, problems

router = APIRouter(prefix="/v1", tags=["duplicates"])
Writes = Annotated[Caller, Depends(require_scope("write"))]
MAX_CLUSTERS = 100
MAX_JUDGED = 100
"""Images judged in one request: every pair of them is one row."""


class ClusterModel(ResponseModel):
    """Images that are copies of one another."""

    id: str = Field(description="Stays the same as long as the same images belong to it.")
    evidence: Literal["exact", "copy"] = Field(description="`exact` where all have the same bytes or pixels.")
    distance: float = Field(description="The largest (0..1) over which two of them were linked.")
    images: list[Image]

    @classmethod
    def of(cls, found: Cluster) -> "ClusterModel":
        """The same of the service's cluster."""
        return cls(
            id=found.id,
            evidence="exact" if found.evidence == "exact" else "copy",
            distance=found.distance,
            images=[Image.of(image) for image in found.images],
        )


class ClusterList(ResponseModel):
    """Clusters, in the order of their lowest keys."""

    clusters: list[ClusterModel]
    next: str | None = Field(description="The cursor to go on with; a page may be short, even empty, and yet go on.")


class NotAMatch(RequestModel):
    """Images of which no two are copies of each other."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keys": ["alps/IMG_1.jpg", "alps/IMG_2.jpg"]}]})

    keys: list[str] = Field(min_length=2, max_length=MAX_JUDGED)


@router.get(
    "/duplicates",
    operation_id="listDuplicates",
    summary="Find the images that are copies of one another",
    response_model=ClusterList,
    responses=problems(),
)
async def list_duplicates(
    here: State,
    caller: Annotated[Caller, Depends(require_scope("read"))],
    limit: Annotated[int, Query(ge=1, le=MAX_CLUSTERS)] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    pipelines: Annotated[list[str] | None, Query(max_length=32, description="Ask these pipelines alone.")] = None,
) -> Response:
    """Found while you wait, some seconds a page; for a whole large gallery there is the job `duplicates`."""
    after = key_in(cursor)

    def found() -> ClusterList:
        page = here.service.duplicates_page(tenant=caller.tenant, pipelines=pipelines, after=after, limit=limit)
        goes_on = None if page.after is None else encode_cursor(page.after)
        return ClusterList(clusters=[ClusterModel.of(cluster) for cluster in page.clusters], next=goes_on)

    return answer(await here.work.run(found))


@router.post(
    "/duplicates:not-a-match",
    operation_id="markNotAMatch",
    summary="Say that images are no copies of each other",
    status_code=204,
    response_class=Response,
    responses=problems(404),
    openapi_extra=json_body("NotAMatch"),
)
async def mark(request: Request, here: State, caller: Writes) -> Response:
    """It is remembered by their bytes, for every pair of them, also when they are added again."""
    keys = validated(NotAMatch, await small_json(request, here)).keys
    await here.work.run(lambda: here.service.not_a_match(keys, tenant=caller.tenant))
    return Response(status_code=204)


@router.delete(
    "/duplicates:not-a-match",
    operation_id="unmarkNotAMatch",
    summary="Take that back",
    status_code=204,
    response_class=Response,
    responses=problems(404),
    openapi_extra=json_body("NotAMatch"),
)
async def unmark(request: Request, here: State, caller: Writes) -> Response:
    """For every pair of these images."""
    keys = validated(NotAMatch, await small_json(request, here)).keys
    await here.work.run(lambda: here.service.not_a_match_undo(keys, tenant=caller.tenant))
    return Response(status_code=204)
