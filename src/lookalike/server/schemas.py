"""Parts of requests that several routes read, their documentation, and how responses are written."""

from collections.abc import Mapping
from typing import Annotated, Any, Self, get_args

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json

from lookalike.errors import BadInput, ImageRejected, Reason
from lookalike.problem_details import MEDIA_TYPE
from lookalike.wire import WireObject

Json = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]
FILTER_EXAMPLE: Json = {"album": "Alps", "year": {"gte": 2019, "lt": 2021}, "tag": {"in": ["a", "b"]}}
REASONS: tuple[Reason, ...] = get_args(Reason)


class RequestModel(BaseModel):
    """Base of request bodies: exactly these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ImageSource(RequestModel):
    """An image source: its bytes in base64, or a URL to fetch it from."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    base64: str | None = Field(None, min_length=1, description="The file's bytes (RFC 4648, 4).")
    url: str | None = Field(None, min_length=1, max_length=8192, description="http(s), at a public address.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 or all(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self


class QuerySource(ImageSource):
    """An image source: as `ImageSource`, or the key of a stored image."""

    key: str | None = Field(None, min_length=1, description="The key of a stored image.")


Key = Annotated[
    str,
    Path(
        description="The image's key, percent-encoded: a slash is %2F.",
        examples=["IMG_1.jpg", "alps%2FIMG_1.jpg"],
        min_length=1,
    ),
]


def answer(body: WireObject, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An object as a response in JSON."""
    return Response(to_json(body, inf_nan_mode="null"), status, headers, "application/json")


def problems(*more: int, also: Responses | None = None) -> Responses:
    """A route's documented responses: `also` its own, and problems, by default and for the statuses `more`."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    documented: Responses = {
        "default": {"description": "What went wrong, as a problem (RFC 9457).", "content": content}
    }
    documented.update({status: {"description": "A problem (RFC 9457).", "content": content} for status in more})
    return documented | (also or {})


def json_body(model: str) -> dict[str, Any]:
    """A route's documentation of its JSON body, by the model's name; `openapi` adds the model."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}
    return {"requestBody": {"required": True, "content": content}}


def rejection(reason: str) -> BadInput:
    """The error of a rejected outcome's reason, which is written `word: message`."""
    word, _, message = reason.partition(": ")
    known = next((one for one in REASONS if one == word), None)
    return BadInput(reason) if known is None else ImageRejected(known, message)
