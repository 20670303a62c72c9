"""Images: put, get, patch, delete, list, bulk delete, thumbnails, and the files as they are.

Requests may be conditional: an image's ETag is the sequence number of its last change.
"""

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field, model_validator

from lookalike.catalog.built_in_attributes import KEY, SORTS, check_sort
from lookalike.errors import BadInput, NotFound
from lookalike.gallery.thumbnails import MAX_SIDE, MIN_SIDE
from lookalike.imaging.thumbnails import SIDE
from lookalike.results import Precondition
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, Reads, Writes
from lookalike.server.local_files import allows_local_files, require_local_files
from lookalike.server.pagination import decode_key_cursor, encode_cursor
from lookalike.server.requests.body import parse_attributes, parse_object
from lookalike.server.requests.images import ParsedRequest, RequestReader, decode_key, read_json_object, validate
from lookalike.server.schemas import (
    BINARY,
    FILTER_EXAMPLE,
    IMAGE_BODY,
    ImageSource,
    Json,
    Key,
    RequestModel,
    Responses,
    documented_responses,
    example_config,
    form_schema,
    json_body,
    json_response,
    json_schema,
    request_body,
)
from lookalike.wire.images import MAX_REPORTED_KEYS, DeleteResult, Image, ImageList, Outcome
from lookalike.wire.objects import convert

router = APIRouter(prefix="/v1", tags=["images"])
MAX_PAGE = 1000
MAX_KEYS = 10_000
"""Keys in one bulk deletion."""
JPEG: Responses = {200: {"description": "A JPEG.", "content": {"image/jpeg": {"schema": BINARY}}}}
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
"""By Pillow's name of the format; browsers show all but TIFF and, most of them, HEIC."""
OTHER_TYPE = "application/octet-stream"
IMAGE: Responses = {200: {"description": "The file.", "content": {"image/*": {"schema": BINARY}}}}
CACHE_SECONDS = 300
"""Seconds for which a browser reuses a thumbnail without revalidation."""
_TAG = re.compile(r'\s*(?:W/)?"(\d{1,18})"\s*')


class PutJson(RequestModel):
    """An image to add, and its attributes."""

    model_config = example_config({"image": {"url": "https://images.example/1.jpg"}, "attributes": {"album": "Alps"}})

    image: ImageSource
    attributes: Json | None = Field(
        None, description="Stored with the image; by default an existing image keeps its own."
    )


class PatchJson(RequestModel):
    """Attributes to change."""

    model_config = example_config({"attributes": {"album": "Alps"}, "merge": True})

    attributes: Json
    merge: bool = Field(default=True, description="Merge into the old ones, by name; otherwise replace them.")


class DeleteJson(RequestModel):
    """Which images to delete: by keys, or all that match a filter."""

    model_config = example_config(
        {"keys": ["alps/IMG_1.jpg"]}, {"filter": FILTER_EXAMPLE}, minProperties=1, maxProperties=1
    )

    keys: list[str] | None = Field(None, min_length=1, max_length=MAX_KEYS)
    filter: Json | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> "DeleteJson":
        if len(self.model_fields_set) != 1 or (self.keys is None and self.filter is None):
            raise ValueError("give exactly one of keys and filter")
        return self


@router.put(
    "/images/{key}",
    operation_id="putImage",
    summary="Add or replace an image",
    response_model=Outcome,
    responses=documented_responses(412, 422, also={201: {"model": Outcome, "description": "The image was added."}}),
    openapi_extra=request_body(
        {
            "image/*": IMAGE_BODY,
            "application/octet-stream": IMAGE_BODY,
            "multipart/form-data": form_schema(
                "file", file=BINARY, attributes={"type": "string", "description": "A JSON object"}
            ),
            "application/json": json_schema("PutJson"),
        }
    ),
)
async def put_image(
    key: Key,
    request: Request,
    state: State,
    caller: Writes,
    attributes: Annotated[str | None, Query(description="A JSON object; for a body that is the image.")] = None,
    x_attributes: Annotated[str | None, Header(description="The same as a header.")] = None,
    exif: Annotated[bool, Query(description="Store what EXIF data say: capture time, camera, position.")] = True,
    if_match: Annotated[str | None, Header(description='Precondition: the image\'s ETag, such as "17".')] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only if the image does not exist.")] = None,
) -> Response:
    """Responds when the image is durable. Idempotent: the same bytes again change nothing."""
    name = decode_key(key)
    expected = parse_precondition(if_match, if_none_match)
    state.executor.check_capacity()
    async with state.memory.lease() as lease:
        reader = RequestReader(request, state, caller, lease)
        parsed = await reader.read()
        values = attributes_of(parsed, x_attributes if x_attributes is not None else attributes)
        image = await reader.image(parsed.sources["image"])
        assert isinstance(image, bytes)
        outcome = await state.executor.run(
            lambda: state.gallery.put(
                name, image, attributes=values, tenant=caller.tenant, expected=expected, exif=exif
            )
        )
    state.metrics.count_write(outcome.outcome)
    status = HTTPStatus.CREATED if outcome.outcome == "added" else HTTPStatus.OK
    return json_response(convert(Outcome, outcome), status, {"ETag": f'"{outcome.sequence}"'})


def attributes_of(parsed: ParsedRequest, outside_body: str | None) -> Mapping[str, Any] | None:
    """The attributes in the body, or else in a header or the query string; raises BadInput for unknown fields."""
    if unknown := sorted(parsed.fields.keys() - {"attributes"}):
        raise BadInput(f"unknown field {unknown[0]!r}; only attributes may accompany an image")
    attributes = parsed.fields.get("attributes")
    if attributes is None:
        return parse_attributes(outside_body)
    if isinstance(attributes, str) and not parsed.is_json:
        return parse_attributes(attributes)
    if not isinstance(attributes, dict):
        raise BadInput("attributes must be a JSON object")
    return attributes


@router.get(
    "/images/{key}",
    operation_id="getImage",
    summary="Get an image's record",
    response_model=Image,
    responses=documented_responses(404, also={304: {"description": "Not modified."}}),
)
async def get_image(
    key: Key,
    request: Request,
    state: State,
    caller: Reads,
    if_none_match: Annotated[str | None, Header(description='A known ETag, such as "17".')] = None,
) -> Response:
    """The ETag is the sequence number of the image's last change."""
    record = await state.executor.run(lambda: state.gallery.get(decode_key(key), tenant=caller.tenant))
    headers = {"ETag": f'"{record.sequence}"', "Cache-Control": "no-cache"}
    shown = Image.of(record, show_path=allows_local_files(request, state))
    return not_modified(if_none_match, headers) or json_response(shown, headers=headers)


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
    if_match: Annotated[str | None, Header(description='Precondition: the image\'s ETag, such as "17".')] = None,
) -> Response:
    """Merges into the old attributes by name, or replaces them."""
    name, expected = decode_key(key), parse_if_match(if_match)
    patch = validate(PatchJson, await read_json_object(request, state))
    record = await state.executor.run(
        lambda: state.gallery.set_attributes(
            name, patch.attributes, merge=patch.merge, tenant=caller.tenant, expected=expected
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
    if_match: Annotated[str | None, Header(description='Precondition: the image\'s ETag, such as "17".')] = None,
) -> Response:
    """Permanent; the file that the image was added from is not deleted."""
    name, expected = decode_key(key), parse_if_match(if_match)
    is_deleted = await state.executor.run(lambda: state.gallery.remove(name, tenant=caller.tenant, expected=expected))
    if not is_deleted:
        raise NotFound(f"no image {name!r}")
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(
    "/images/{key}/thumbnail",
    operation_id="getThumbnail",
    summary="Get an image's thumbnail",
    response_class=Response,
    responses=documented_responses(404, also=JPEG | {304: {"description": "Not modified."}}),
)
async def get_thumbnail(
    key: Key,
    state: State,
    caller: Reads,
    size: Annotated[int, Query(ge=MIN_SIDE, le=MAX_SIDE, description="Maximum pixels of the longer side.")] = SIDE,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Upright, in sRGB, no larger than the image."""
    name = decode_key(key)
    data = await state.executor.run(lambda: state.gallery.get_thumbnail(name, tenant=caller.tenant, size=size))
    etag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": f"private, max-age={CACHE_SECONDS}"}
    return not_modified(if_none_match, headers) or Response(data, headers=headers, media_type="image/jpeg")


@router.get(
    "/images",
    operation_id="listImages",
    summary="List images",
    response_model=ImageList,
    responses=documented_responses(),
)
async def list_images(
    request: Request,
    state: State,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
    filter: Annotated[
        str | None, Query(description="A filter on attributes, as JSON.", examples=['{"album": "Alps"}'])
    ] = None,
    prefix: Annotated[
        str, Query(description="Key prefix: case-sensitive, without wildcards.", examples=["alps/"])
    ] = "",
    contains: Annotated[
        str, Query(description="A part of the key: ignores case, without wildcards.", examples=["img_12"])
    ] = "",
    sort: Annotated[
        str,
        Query(
            description="`key`, or a built-in attribute; `-` before it reverses the order. Without it come last.",
            examples=["-exif.captured"],
            json_schema_extra={"enum": [*SORTS, *(f"-{name}" for name in SORTS if name != KEY)]},
        ),
    ] = KEY,
) -> Response:
    """Ordered by key, or by what `sort` names."""
    check_sort(sort)
    after, conditions = decode_key_cursor(cursor), None if filter is None else parse_object(filter)
    show_path = allows_local_files(request, state)

    def list_page() -> ImageList:
        records = state.gallery.ls(
            tenant=caller.tenant,
            after=after,
            limit=limit + 1,
            filter=conditions,
            prefix=prefix,
            contains=contains,
            sort=sort,
        )
        page = records[:limit]
        next_cursor = encode_cursor(page[-1].key) if len(records) > limit else None
        total = None
        if after is None and not (filter or prefix or contains):
            tenant_id = state.gallery.catalog.tenants.find(caller.tenant)
            total = 0 if tenant_id is None else state.gallery.catalog.images.count(tenant_id)
        return ImageList(
            images=[Image.of(record, show_path=show_path) for record in page], next=next_cursor, total=total
        )

    return json_response(await state.executor.run(list_page))


@router.post(
    "/images:delete",
    operation_id="deleteImages",
    summary="Delete many images",
    response_model=DeleteResult,
    responses=documented_responses(),
    openapi_extra=json_body("DeleteJson"),
)
async def delete_images(request: Request, state: State, caller: Writes) -> Response:
    """In one transaction: all or, on an error, none."""
    selection = validate(DeleteJson, await read_json_object(request, state))

    def delete() -> DeleteResult:
        if selection.keys is not None:
            deleted = state.gallery.remove(selection.keys, tenant=caller.tenant)
        else:
            deleted = state.gallery.remove_by_filter(selection.filter or {}, tenant=caller.tenant).keys
        sequence = state.gallery.catalog.changes.last_sequence()
        return DeleteResult(deleted=len(deleted), keys=deleted[:MAX_REPORTED_KEYS], sequence=sequence)

    return json_response(await state.executor.run(delete))


@router.get(
    "/images/{key}/original",
    operation_id="getOriginal",
    summary="Get an image's file",
    response_class=Response,
    responses=documented_responses(404, 422, also=IMAGE | {304: {"description": "Not modified."}}),
)
async def get_original(
    key: Key,
    state: State,
    caller: Annotated[Caller, Depends(require_local_files("read"))],
    jpeg: Annotated[
        bool, Query(description="A JPEG of the image in full size, for programs that do not read the file's format.")
    ] = False,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The file that the image was added from, unchanged. On the server's own machine, or where the operator allows."""
    name = decode_key(key)
    record = await state.executor.run(lambda: state.gallery.get(name, tenant=caller.tenant))
    etag = record.sha256.hex() + ("-jpeg" if jpeg else "")
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if (known := not_modified(if_none_match, headers)) is not None:
        return known
    data = await state.executor.run(lambda: state.gallery.get_original(name, tenant=caller.tenant, as_jpeg=jpeg))
    file_name = quote(record.key.rsplit("/", 1)[-1] + (".jpg" if jpeg else ""), safe="")
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{file_name}"
    kind = MEDIA_TYPES.get("JPEG" if jpeg else record.format, OTHER_TYPE)
    return Response(data, headers=headers, media_type=kind)


def not_modified(if_none_match: str | None, headers: Mapping[str, str]) -> Response | None:
    """The answer 304 where the header If-None-Match names the ETag of these headers, else None (RFC 9110, 13.1.2)."""
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if "*" not in known and headers["ETag"] not in known:
        return None
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=dict(headers))


def parse_precondition(if_match: str | None, if_none_match: str | None) -> Precondition:
    """The precondition of a write; raises BadInput for invalid headers."""
    if if_match is not None and if_none_match is not None:
        raise BadInput("If-Match and If-None-Match cannot be combined")
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise BadInput("If-None-Match of a write must be *")
        return "absent"
    return parse_if_match(if_match)


def parse_if_match(if_match: str | None) -> int | None:
    """The sequence number of an If-Match header."""
    if if_match is None:
        return None
    matches = [match for tag in if_match.split(",") if (match := _TAG.fullmatch(tag)) is not None]
    if len(matches) != 1:
        raise BadInput('If-Match must be one ETag of this server, such as "17"')
    return int(matches[0][1])
