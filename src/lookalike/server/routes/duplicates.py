"""Duplicate clusters, and feedback that images are not duplicates."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from lookalike.server.app_state import State
from lookalike.server.auth import Reads, Writes
from lookalike.server.local_files import allows_local_files
from lookalike.server.pagination import decode_key_cursor, encode_cursor
from lookalike.server.requests.images import read_json_object, validate
from lookalike.server.schemas import RequestModel, documented_responses, example_config, json_body, json_response
from lookalike.wire.duplicates import Cluster, ClusterList

router = APIRouter(prefix="/v1", tags=["duplicates"])
MAX_CLUSTERS = 5000
SHORT_PAGE = 100
"""Clusters up to which a page is to come soon."""
SHORT_PAGE_SECONDS = 2.0
LONG_PAGE_SECONDS = 20.0
"""A page begins with a join of all images, so that few long pages cost less than many short ones."""
MAX_MARKED = 100
"""Images in one request: every pair of them is one row."""


class NotAMatch(RequestModel):
    """Images of which no two are copies of each other."""

    model_config = example_config({"keys": ["alps/IMG_1.jpg", "alps/IMG_2.jpg"]})

    keys: list[str] = Field(min_length=2, max_length=MAX_MARKED)


@router.get(
    "/duplicates",
    operation_id="listDuplicates",
    summary="List duplicate clusters",
    response_model=ClusterList,
    responses=documented_responses(),
)
async def list_duplicates(
    request: Request,
    state: State,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=MAX_CLUSTERS)] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
    pipelines: Annotated[list[str] | None, Query(max_length=32, description="Use these pipelines only.")] = None,
) -> Response:
    """Computed on request, some seconds per page; for a whole large gallery, use the job `duplicates`."""
    seconds = SHORT_PAGE_SECONDS if limit <= SHORT_PAGE else LONG_PAGE_SECONDS
    after, show_path = decode_key_cursor(cursor), allows_local_files(request, state)

    def list_page() -> ClusterList:
        page = state.gallery.duplicates_page(
            tenant=caller.tenant, pipelines=pipelines, after=after, limit=limit, seconds=seconds
        )
        next_cursor = None if page.after is None else encode_cursor(page.after)
        if show_path:  # otherwise no clean-up can be planned
            state.cleanup_plans.add_clusters(caller.tenant, page.clusters)
        clusters = [Cluster.of(cluster, show_path=show_path) for cluster in page.clusters]
        return ClusterList(clusters=clusters, next=next_cursor)

    return json_response(await state.executor.run(list_page))


@router.post(
    "/duplicates:not-a-match",
    operation_id="markNotAMatch",
    summary="Mark images as not duplicates",
    status_code=204,
    response_class=Response,
    responses=documented_responses(404),
    openapi_extra=json_body("NotAMatch"),
)
async def mark(request: Request, state: State, caller: Writes) -> Response:
    """Stored for every pair by the images' bytes, so that it survives deleting and adding them again."""
    keys = validate(NotAMatch, await read_json_object(request, state)).keys
    await state.executor.run(lambda: state.gallery.not_a_match(keys, tenant=caller.tenant))
    return Response(status_code=204)


@router.delete(
    "/duplicates:not-a-match",
    operation_id="unmarkNotAMatch",
    summary="Undo marking images as not duplicates",
    status_code=204,
    response_class=Response,
    responses=documented_responses(404),
    openapi_extra=json_body("NotAMatch"),
)
async def unmark(request: Request, state: State, caller: Writes) -> Response:
    """For every pair of the images."""
    keys = validate(NotAMatch, await read_json_object(request, state)).keys
    await state.executor.run(lambda: state.gallery.not_a_match_undo(keys, tenant=caller.tenant))
    return Response(status_code=204)
