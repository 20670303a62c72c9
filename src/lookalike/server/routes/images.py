"""Images of the gallery: put, get, change and delete."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ConfigDict, Field

from lookalike import types
from lookalike.errors import BadInput, NotFound
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.preconditions import expected_of, key_of, number_in, tags_in
from lookalike.server.requests.body import read_attributes
from lookalike.server.requests.images import ParsedRequest, RequestReader, small_json, validated
from lookalike.server.schemas import ImageSource, Json, Key, RequestModel, answer, json_body, problems
from lookalike.wire import Image, Outcome

router = APIRouter(prefix="/v1", tags=["images"])
Reads = Annotated[Caller, Depends(require_scope("read"))]
Writes = Annotated[Caller, Depends(require_scope("write"))]


class PutJson(RequestModel):
    """An image to add, and its attributes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"image": {"url": "https://images.example/1.jpg"}, "attributes": {"album": "Alps"}}]
        }
    )

    image: ImageSource
    attributes: Json | None = Field(
        None, description="Stored with the image; if left out, an existing image keeps its own."
    )


class PatchJson(RequestModel):
    """Attributes to change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"album": "Alps"}, "merge": True}]})

    attributes: Json
    merge: bool = Field(default=True, description="Merge into the old ones, by name; otherwise replace them.")


BINARY: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}


@router.put(
    "/images/{key}",
    operation_id="putImage",
    summary="Add an image, or bring it up to date",
    response_model=Outcome,
    responses=problems(412, 422, also={201: {"model": Outcome, "description": "A new image."}}),
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
    here: State,
    caller: Writes,
    attributes: Annotated[str | None, Query(description="A JSON object, where the body is the image.")] = None,
    x_attributes: Annotated[str | None, Header(description="The same, in a header.")] = None,
    if_match: Annotated[str | None, Header(description='Only if the image stands there: "17".')] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only if there is none yet.")] = None,
) -> Response:
    """The answer comes when the image is durable. Putting the same again changes nothing."""
    name = key_of(key)
    expected = expected_of(if_match, if_none_match)
    here.work.admit()
    async with here.memory.account() as account:
        reader = RequestReader(request, here, caller, account)
        given = await reader.read()
        kept = attributes_in(given, x_attributes if x_attributes is not None else attributes)
        image = await reader.image(given.sources["image"])
        assert isinstance(image, bytes)
        written = await here.work.run(
            lambda: here.service.put(name, image, attributes=kept, tenant=caller.tenant, expected=expected)
        )
    here.metrics.written(written.outcome)
    return put_answer(written)


def attributes_in(given: ParsedRequest, beside: str | None) -> Mapping[str, Any] | None:
    """The attributes of a body, or those beside it; raises BadInput for members that mean nothing here."""
    if extra := sorted(given.rest.keys() - {"attributes"}):
        raise BadInput(f"unknown field {extra[0]!r}; an image takes only `attributes`")
    inside = given.rest.get("attributes")
    if inside is None:
        return read_attributes(beside)
    if isinstance(inside, str) and not given.typed:
        return read_attributes(inside)
    if not isinstance(inside, dict):
        raise BadInput("attributes must be a JSON object")
    return inside


def put_answer(written: types.Outcome) -> Response:
    """The answer to a put."""
    status = HTTPStatus.CREATED if written.outcome == "added" else HTTPStatus.OK
    return answer(Outcome.of(written), status, {"ETag": f'"{written.sequence}"'})


@router.get(
    "/images/{key}",
    operation_id="getImage",
    summary="What is known of an image",
    response_model=Image,
    responses=problems(404, also={304: {"description": "It has not changed."}}),
)
async def get_image(
    key: Key,
    here: State,
    caller: Reads,
    if_none_match: Annotated[str | None, Header(description='Only if it no longer stands at "17".')] = None,
) -> Response:
    """Its ETag is the number of its last change."""
    record = await here.work.run(lambda: here.service.get(key_of(key), tenant=caller.tenant))
    headers = {"ETag": f'"{record.sequence}"', "Cache-Control": "no-cache"}
    if if_none_match is not None and (if_none_match.strip() == "*" or record.sequence in tags_in(if_none_match)):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return answer(Image.of(record), headers=headers)


@router.patch(
    "/images/{key}",
    operation_id="patchImage",
    summary="Change an image's attributes",
    response_model=Image,
    responses=problems(404, 412),
    openapi_extra=json_body("PatchJson"),
)
async def patch_image(
    key: Key,
    request: Request,
    here: State,
    caller: Writes,
    if_match: Annotated[str | None, Header(description='Only if the image stands there: "17".')] = None,
) -> Response:
    """Merged into the old attributes by name, or put in their place."""
    name, expected = key_of(key), number_in(if_match)
    wanted = validated(PatchJson, await small_json(request, here))
    record = await here.work.run(
        lambda: here.service.set_attributes(
            name, wanted.attributes, merge=wanted.merge, tenant=caller.tenant, expected=expected
        )
    )
    return answer(Image.of(record), headers={"ETag": f'"{record.sequence}"'})


@router.delete(
    "/images/{key}",
    operation_id="deleteImage",
    summary="Delete an image",
    status_code=204,
    response_class=Response,
    responses=problems(404, 412),
)
async def delete_image(
    key: Key,
    here: State,
    caller: Writes,
    if_match: Annotated[str | None, Header(description='Only if the image stands there: "17".')] = None,
) -> Response:
    """For good; where it came from a file, the file is not touched."""
    name, expected = key_of(key), number_in(if_match)
    gone = await here.work.run(lambda: here.service.remove(name, tenant=caller.tenant, expected=expected))
    if not gone:
        raise NotFound(f"there is no image {name!r}")
    return Response(status_code=HTTPStatus.NO_CONTENT)
