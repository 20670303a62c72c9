"""Images of the gallery: put, get, change, delete, list; many deletions at once; thumbnails."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ConfigDict, Field, model_validator

from lookalike.errors import BadInput, NotFound
from lookalike.gallery.thumbnails import MAX_SIDE, MIN_SIDE
from lookalike.imaging.thumbnails import SIDE
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.pagination import decode_key_cursor, encode_cursor
from lookalike.server.preconditions import decode_key, parse_etags, parse_if_match, parse_precondition
from lookalike.server.requests.body import parse_attributes, parse_object
from lookalike.server.requests.images import ParsedRequest, RequestReader, read_json_object, validate
from lookalike.server.schemas import (
    FILTER_EXAMPLE,
    Image,
    ImageSource,
    Json,
    Key,
    RequestModel,
    ResponseModel,
    Responses,
    documented_responses,
    json_body,
    json_response,
)
from lookalike.types import Outcome, OutcomeKind

router = APIRouter(prefix="/v1", tags=["images"])
Reads = Annotated[Caller, Depends(require_scope("read"))]
Writes = Annotated[Caller, Depends(require_scope("write"))]
MAX_PAGE = 1000
MAX_KEYS = 10_000
"""Keys in one deletion."""
MAX_REPORTED_KEYS = 1000
"""Deleted keys that an answer names."""
JPEG: Responses = {
    200: {"description": "A JPEG.", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
CACHE_SECONDS = 300
"""How long a browser shows a thumbnail without asking again."""


class PutJson(RequestModel):
    """An image to add, and what is kept with it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"image": {"url": "https://images.example/1.jpg"}, "attributes": {"album": "Alps"}}]
        }
    )

    image: ImageSource
    attributes: Json | None = Field(None, description="Kept with the image; left out, those there are stay.")


class PutResult(ResponseModel):
    """What became of an image. It is durable."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"key": "alps/IMG_1.jpg", "outcome": "added", "reason": None, "sequence": 17}]}
    )

    key: str
    outcome: OutcomeKind
    reason: str | None = Field(description="Names the image that it is a duplicate of.")
    sequence: int = Field(description="The image's last change; a search with this `min_sequence` sees it.")


class PatchJson(RequestModel):
    """Attributes to change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"album": "Alps"}, "merge": True}]})

    attributes: Json
    merge: bool = Field(default=True, description="Into the old ones, by name; otherwise instead of them.")


class ImageList(ResponseModel):
    """Images in the order of their keys."""

    images: list[Image]
    next: str | None = Field(description="The cursor to go on with; none at the end.")
    total: int | None = Field(
        None, description="How many there are; told on the first page, without a filter and a prefix."
    )


class DeleteJson(RequestModel):
    """Which images to delete: by keys, or all that a filter describes."""

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
            raise ValueError("exactly one of keys and filter must be given")
        return self


class DeleteResult(ResponseModel):
    """What was deleted, durably. Unknown keys are passed over."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"deleted": 1, "keys": ["alps/IMG_1.jpg"], "sequence": 18}]}
    )

    deleted: int
    keys: list[str] = Field(description=f"Those deleted, the first {MAX_REPORTED_KEYS:,}.")
    sequence: int = Field(description="The catalog's last change; a search with this `min_sequence` sees it.")


BINARY: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}


@router.put(
    "/images/{key}",
    operation_id="putImage",
    summary="Add an image, or bring it up to date",
    response_model=PutResult,
    responses=documented_responses(412, 422, also={201: {"model": PutResult, "description": "A new image."}}),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "image/*": BINARY,
                "application/octet-stream": BINARY,
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            "attributes": {"type": "string", "description": "A JSON object"},
                        },
                    }
                },
                "application/json": {"schema": {"$ref": "#/components/schemas/PutJson"}},
            },
        }
    },
)
async def put_image(
    key: Key,
    request: Request,
    state: State,
    caller: Writes,
    attributes: Annotated[str | None, Query(description="A JSON object, where the body is the image.")] = None,
    x_attributes: Annotated[str | None, Header(description="The same, in a header.")] = None,
    if_match: Annotated[str | None, Header(description='Only if the image stands there: "17".')] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only if there is none yet.")] = None,
) -> Response:
    """The answer comes when the image is durable. Putting the same again changes nothing."""
    name = decode_key(key)
    expected = parse_precondition(if_match, if_none_match)
    state.executor.check_capacity()
    async with state.memory.lease() as account:
        reader = RequestReader(request, state, caller, account)
        given = await reader.read()
        kept = attributes_of(given, x_attributes if x_attributes is not None else attributes)
        image = await reader.image(given.sources["image"])
        assert isinstance(image, bytes)
        written = await state.executor.run(
            lambda: state.gallery.put(name, image, attributes=kept, tenant=caller.tenant, expected=expected)
        )
    state.metrics.count_write(written.outcome)
    return put_response(written)


def attributes_of(given: ParsedRequest, beside: str | None) -> Mapping[str, Any] | None:
    """The attributes of a body, or those beside it; raises BadInput for members that mean nothing here."""
    if extra := sorted(given.fields.keys() - {"attributes"}):
        raise BadInput(f"an image comes with attributes, and with no {extra[0]!r}")
    inside = given.fields.get("attributes")
    if inside is None:
        return parse_attributes(beside)
    if isinstance(inside, str) and not given.is_json:
        return parse_attributes(inside)
    if not isinstance(inside, dict):
        raise BadInput("attributes must be a JSON object")
    return inside


def put_response(written: Outcome) -> Response:
    """The answer to a put."""
    sequence = written.sequence or 0
    told = PutResult(key=written.key, outcome=written.outcome, reason=written.reason, sequence=sequence)
    status = HTTPStatus.CREATED if written.outcome == "added" else HTTPStatus.OK
    return json_response(told, status, {"ETag": f'"{sequence}"'})


@router.get(
    "/images/{key}",
    operation_id="getImage",
    summary="What is known of an image",
    response_model=Image,
    responses=documented_responses(404, also={304: {"description": "It has not changed."}}),
)
async def get_image(
    key: Key,
    state: State,
    caller: Reads,
    if_none_match: Annotated[str | None, Header(description='Only if it no longer stands at "17".')] = None,
) -> Response:
    """Its ETag is the number of its last change."""
    record = await state.executor.run(lambda: state.gallery.get(decode_key(key), tenant=caller.tenant))
    headers = {"ETag": f'"{record.sequence}"', "Cache-Control": "no-cache"}
    if if_none_match is not None and (if_none_match.strip() == "*" or record.sequence in parse_etags(if_none_match)):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return json_response(Image.of(record), headers=headers)


@router.patch(
    "/images/{key}",
    operation_id="patchImage",
    summary="Change an image's attributes",
    response_model=Image,
    responses=documented_responses(404, 412),
    openapi_extra=json_body("PatchJson"),
)
async def patch_image(
    key: Key,
    request: Request,
    state: State,
    caller: Writes,
    if_match: Annotated[str | None, Header(description='Only if the image stands there: "17".')] = None,
) -> Response:
    """Merged into the old attributes by name, or put in their place."""
    name, expected = decode_key(key), parse_if_match(if_match)
    wanted = validate(PatchJson, await read_json_object(request, state))
    record = await state.executor.run(
        lambda: state.gallery.set_attributes(
            name, wanted.attributes, merge=wanted.merge, tenant=caller.tenant, expected=expected
        )
    )
    return json_response(Image.of(record), headers={"ETag": f'"{record.sequence}"'})


@router.delete(
    "/images/{key}",
    operation_id="deleteImage",
    summary="Delete an image",
    status_code=204,
    response_class=Response,
    responses=documented_responses(404, 412),
)
async def delete_image(
    key: Key,
    state: State,
    caller: Writes,
    if_match: Annotated[str | None, Header(description='Only if the image stands there: "17".')] = None,
) -> Response:
    """For good; where it came from a file, the file is not touched."""
    name, expected = decode_key(key), parse_if_match(if_match)
    gone = await state.executor.run(lambda: state.gallery.remove(name, tenant=caller.tenant, expected=expected))
    if not gone:
        raise NotFound(f"there is no image {name!r}")
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(
    "/images/{key}/thumbnail",
    operation_id="getThumbnail",
    summary="An image, small",
    response_class=Response,
    responses=documented_responses(404, also=JPEG | {304: {"description": "It has not changed."}}),
)
async def get_thumbnail(
    key: Key,
    state: State,
    caller: Annotated[Caller, Depends(require_scope("read"))],
    size: Annotated[int, Query(ge=MIN_SIDE, le=MAX_SIDE, description="Pixels of the longer side, at most.")] = SIDE,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Upright, in sRGB, no larger than the image itself."""
    name = decode_key(key)
    data = await state.executor.run(lambda: state.gallery.get_thumbnail(name, tenant=caller.tenant, size=size))
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={CACHE_SECONDS}"}
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(data, headers=headers, media_type="image/jpeg")


@router.get(
    "/images",
    operation_id="listImages",
    summary="List images",
    response_model=ImageList,
    responses=documented_responses(),
)
async def list_images(
    state: State,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
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
    after, conditions = decode_key_cursor(cursor), None if filter is None else parse_object(filter)

    def listed() -> ImageList:
        found = state.gallery.ls(tenant=caller.tenant, after=after, limit=limit + 1, filter=conditions, prefix=prefix)
        page = found[:limit]
        goes_on = encode_cursor(page[-1].key) if len(found) > limit else None
        total = count_images(state, caller.tenant) if after is None and not filter and not prefix else None
        return ImageList(images=[Image.of(record) for record in page], next=goes_on, total=total)

    return json_response(await state.executor.run(listed))


@router.post(
    "/images:delete",
    operation_id="deleteImages",
    summary="Delete many images",
    response_model=DeleteResult,
    responses=documented_responses(),
    openapi_extra=json_body("DeleteJson"),
)
async def delete_images(request: Request, state: State, caller: Writes) -> Response:
    """In one transaction: all of them, or, on an error, none."""
    wanted = validate(DeleteJson, await read_json_object(request, state))

    def delete() -> DeleteResult:
        if wanted.keys is not None:
            gone = state.gallery.remove(wanted.keys, tenant=caller.tenant)
        else:
            gone = state.gallery.remove_by_filter(wanted.filter or {}, tenant=caller.tenant).keys
        sequence = state.gallery.catalog.sequence()
        return DeleteResult(deleted=len(gone), keys=gone[:MAX_REPORTED_KEYS], sequence=sequence)

    return json_response(await state.executor.run(delete))


def count_images(state: AppState, tenant: str) -> int:
    """How many images a tenant has."""
    tenant_id = state.gallery.catalog.tenant_id(tenant)
    return 0 if tenant_id is None else state.gallery.catalog.count(tenant_id)
