"""Request models shared by routes, and helpers for responses and OpenAPI."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json

from lookalike.problem_details import MEDIA_TYPE
from lookalike.wire.objects import WireObject

Json = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]
BINARY: Json = {"type": "string", "format": "binary"}
IMAGE_BODY: Json = {"schema": {**BINARY, "minLength": 1}}
FILTER_EXAMPLE: Json = {"album": "Alps", "year": {"gte": 2019, "lt": 2021}, "tag": {"in": ["a", "b"]}}


class RequestModel(BaseModel):
    """Base of request bodies: exactly these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True)


def example_config(*examples: Json, **schema: Any) -> ConfigDict:
    """A model's configuration with examples and further members of its JSON schema."""
    return ConfigDict(json_schema_extra={"examples": list(examples), **schema})


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


class FeatureSource(RequestModel):
    """A feature that was made elsewhere: a hash or a vector, and the fingerprint of its encoder."""

    hex: str | None = Field(None, min_length=2, max_length=4096, description="A hash in hexadecimal digits.")
    base64: str | None = Field(
        None, min_length=1, max_length=65_536, description="A vector of length 1: numbers of 32 bits, little-endian."
    )
    fingerprint: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="That of the encoder, as `lookalike encode` prints it. A vector needs one; that of a hash is "
        "checked where it is given.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.hex is not None and self.base64 is not None:
            raise ValueError("give hex or base64, not both")
        return self


KEY_EXAMPLES = ["IMG_1.jpg", "alps%2FIMG_1.jpg"]
Key = Annotated[
    str, Path(description="The image's key, percent-encoded: a slash is %2F.", examples=KEY_EXAMPLES, min_length=1)
]


def json_response(body: WireObject, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An object as a JSON response."""
    return Response(to_json(body, inf_nan_mode="null"), status, headers, "application/json")


def documented_responses(*statuses: int, also: Responses | None = None) -> Responses:
    """OpenAPI responses of a route: problems by default and for `statuses`, and its own ones (`also`)."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    documented: Responses = {"default": {"description": "A problem (RFC 9457).", "content": content}}
    documented.update({status: {"description": "A problem (RFC 9457).", "content": content} for status in statuses})
    return documented | (also or {})


def request_body(content: Json, **members: Any) -> Json:
    """OpenAPI of a request body by media type; `members` are further ones of the body."""
    return {"requestBody": {"required": True, **members, "content": content}}


def json_schema(model: str) -> Json:
    """OpenAPI of JSON by its model's name; `openapi` adds the model."""
    return {"schema": {"$ref": f"#/components/schemas/{model}"}}


def json_body(model: str) -> Json:
    """OpenAPI of a JSON body."""
    return request_body({"application/json": json_schema(model)})


def form_schema(*required: str, **properties: Json) -> Json:
    """OpenAPI of a multipart form."""
    return {"schema": {"type": "object", "required": list(required), "properties": properties}}
