"""Many images at once: listing them, and deleting them by keys or by a filter."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ConfigDict, Field, model_validator

from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.pagination import encode_cursor, key_in
from lookalike.server.requests.body import read_object
from lookalike.server.requests.images import small_json, validated
from lookalike.server.schemas import FILTER_EXAMPLE, Json, RequestModel, answer, json_body, problems
from lookalike.wire import MAX_REPORTED_KEYS, DeleteResult, Image, ImageList

router = APIRouter(prefix="/v1", tags=["images"])
Reads = Annotated[Caller, Depends(require_scope("read"))]
Writes = Annotated[Caller, Depends(require_scope("write"))]
MAX_LISTED = 1000
MAX_KEYS = 10_000
"""Keys in one deletion."""


class DeleteJson(RequestModel):
    """Which images to delete: by keys, or all that match a filter."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"keys": ["alps/IMG_1.jpg"]}, {"filter": FILTER_EXAMPLE}],
            "minProperties": 1,
            "maxProperties": 1,
        }
    )

    keys: list[str] | None = Field(None, min_length=1, max_length=MAX_KEYS)
    filter: Json | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> "DeleteJson":
        if (self.keys is None) == (self.filter is None):
            raise ValueError("give exactly one of keys and filter")
        return self


@router.get("/images", operation_id="listImages", summary="List images", response_model=ImageList, responses=problems())
async def list_images(
    here: State,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    filter: Annotated[
        str | None, Query(description="A filter on attributes, as JSON.", examples=['{"album": "Alps"}'])
    ] = None,
    prefix: Annotated[
        str,
        Query(
            description="Those whose keys begin so, as it is written: case counts, and no character is a wildcard.",
            examples=["alps/"],
        ),
    ] = "",
) -> Response:
    """In the order of their keys."""
    after, conditions = key_in(cursor), None if filter is None else read_object(filter)

    def listed() -> ImageList:
        found = here.service.ls(tenant=caller.tenant, after=after, limit=limit + 1, filter=conditions, prefix=prefix)
        page = found[:limit]
        goes_on = encode_cursor(page[-1].key) if len(found) > limit else None
        total = count_of(here, caller.tenant) if after is None and not filter and not prefix else None
        return ImageList(images=[Image.of(record) for record in page], next=goes_on, total=total)

    return answer(await here.work.run(listed))


@router.post(
    "/images:delete",
    operation_id="deleteImages",
    summary="Delete many images",
    response_model=DeleteResult,
    responses=problems(),
    openapi_extra=json_body("DeleteJson"),
)
async def delete_images(request: Request, here: State, caller: Writes) -> Response:
    """In one transaction: all of them, or, on an error, none."""
    wanted = validated(DeleteJson, await small_json(request, here))

    def delete() -> DeleteResult:
        if wanted.keys is not None:
            gone = here.service.remove(wanted.keys, tenant=caller.tenant)
        else:
            gone = here.service.remove_by_filter(wanted.filter or {}, tenant=caller.tenant).keys
        sequence = here.service.catalog.changes.last_sequence()
        return DeleteResult(deleted=len(gone), keys=gone[:MAX_REPORTED_KEYS], sequence=sequence)

    return answer(await here.work.run(delete))


def count_of(here: AppState, tenant: str) -> int:
    """How many images a tenant has."""
    tenant_id = here.service.catalog.tenants.find(tenant)
    return 0 if tenant_id is None else here.service.catalog.images.count(tenant_id)
