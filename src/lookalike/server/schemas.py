"""Pydantic models shared by routes, and helpers for responses and OpenAPI."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Self, get_args
from urllib.parse import quote

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lookalike.errors import BadInput, ImageRejected, Reason
from lookalike.problem_details import MEDIA_TYPE
from lookalike.results import MAX_RESULTS
from lookalike.types import Evidence, Hit, Record

Json = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]
FILTER_EXAMPLE: Json = {"album": "Alps", "year": {"gte": 2019, "lt": 2021}, "tag": {"in": ["a", "b"]}}
REASONS: tuple[Reason, ...] = get_args(Reason)
SHA = "6fe9c1e2b3d0f3a4a5b6c7d8e9f00112233445566778899aabbccddeeff00112"


class RequestModel(BaseModel):
    """What a caller sends: exactly these members, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ResponseModel(BaseModel):
    """What the service answers."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:lookalike:error:image-rejected",
                    "title": "The image cannot be accepted",
                    "status": 422,
                    "detail": "Not an image: unknown file signature. Supported formats: JPEG, PNG, ...",
                    "reason": "not_an_image",
                    "instance": "5f0c3d5e6b0e4e6f9a7f6f1f0c9f7a51",
                }
            ]
        },
    )

    type: str = Field(description="`urn:lookalike:error:` and the kind of error in kebab case.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this very request, and what to do.")
    instance: str | None = Field(None, description="The request's id, as in `X-Request-Id` and the server's log.")
    reason: str | None = Field(None, description="Why an image was rejected, in one word.")
    sequence: int | None = Field(None, description="Where an image stands that has changed meanwhile.")


class Image(ResponseModel):
    """An image of the gallery."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "alps/IMG_1.jpg",
                    "width": 4032,
                    "height": 3024,
                    "format": "JPEG",
                    "bytes": 2481937,
                    "sha256": SHA,
                    "border": {"left": 0, "top": 0, "right": 0, "bottom": 0},
                    "attributes": {"album": "Alps", "year": 2019},
                    "created": "2026-01-31T09:30:00.250000Z",
                    "updated": "2026-01-31T09:30:00.250000Z",
                    "sequence": 17,
                    "thumbnail": "/v1/images/alps%2FIMG_1.jpg/thumbnail",
                }
            ]
        }
    )

    key: str
    width: int = Field(description="Pixels, as a viewer shows the image.")
    height: int
    format: str
    bytes: int
    sha256: str
    border: dict[str, int] = Field(
        description="Pixels cut from each side before looking at it: left, top, right, bottom."
    )
    attributes: Json
    created: str = Field(description="RFC 3339, UTC.")
    updated: str
    sequence: int = Field(description="The number of the image's last change.")
    thumbnail: str = Field(description="Where its small image is.")

    @classmethod
    def of(cls, record: Record) -> Self:
        """The same of the catalog's record."""
        return cls.model_construct(
            key=record.key,
            width=record.width,
            height=record.height,
            format=record.format,
            bytes=record.nbytes,
            sha256=record.sha256.hex(),
            border=asdict(record.border),
            attributes=dict(record.attributes),
            created=rfc3339(record.created),
            updated=rfc3339(record.updated),
            sequence=record.sequence,
            thumbnail=thumbnail_url(record.key),
        )


class ImageSource(RequestModel):
    """Where an image is: its bytes in base64, or a URL to fetch it from."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    base64: str | None = Field(None, min_length=1, description="The file's bytes (RFC 4648, 4).")
    url: str | None = Field(None, min_length=1, max_length=8192, description="http(s), at a public address.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 or all(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError(f"exactly one of {', '.join(type(self).model_fields)} must be given")
        return self


class QuerySource(ImageSource):
    """Where an image is: as `ImageSource` says, or the key of one in the gallery."""

    key: str | None = Field(None, min_length=1, description="The key of an image of the gallery.")


class HitModel(ResponseModel):
    """One hit: which image, and why it is believed to be one."""

    key: str
    evidence: Evidence = Field(description="`exact`: same bytes or pixels; `copy`: an edited copy; `similar`.")
    distance: float = Field(description="0..1, smaller is more similar, as measured by `pipeline`.")
    pipeline: str = Field(description="Who says so; sha256 or pixels for an exact hit.")
    attributes: Json
    width: int = Field(description="Pixels, as a viewer shows the image.")
    height: int
    thumbnail: str
    tenant: str | None = Field(None, description="Whose image it is, where all tenants were searched.")

    @classmethod
    def of(cls, hit: Hit, tenant: str | None = None) -> "HitModel":
        """The same of the service's hit."""
        return cls.model_construct(
            key=hit.key,
            evidence=hit.evidence,
            distance=hit.distance,
            pipeline=hit.pipeline,
            attributes=dict(hit.attributes),
            width=hit.width,
            height=hit.height,
            thumbnail=thumbnail_url(hit.key),
            tenant=tenant,
        )


class SearchAnswer(ResponseModel):
    """The hits, best first, and what this answer rests on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hits": [
                        {
                            "key": "alps/IMG_1.jpg",
                            "evidence": "copy",
                            "distance": 0.03125,
                            "pipeline": "phash",
                            "attributes": {"album": "Alps"},
                            "width": 4032,
                            "height": 3024,
                            "thumbnail": "/v1/images/alps%2FIMG_1.jpg/thumbnail",
                            "tenant": None,
                        }
                    ],
                    "page": 1,
                    "page_size": 10,
                    "more": False,
                    "next": None,
                    "exact_within": {"phash": 1.0, "vgg16": -1.0},
                    "failed": {},
                    "sequence": 17,
                    "took_ms": {"decode": 4.1, "phash": 0.6, "vgg16": 22.5},
                    "preview": None,
                }
            ]
        }
    )

    hits: list[HitModel]
    page: int
    page_size: int
    more: bool
    next: str | None = Field(
        description=f"The cursor to go on with; none where there is no more, or {MAX_RESULTS:,} hits are reached."
    )
    exact_within: dict[str, float] = Field(
        description="By pipeline, the distance up to which no image was missed; -1: no promise."
    )
    failed: dict[str, str] = Field(description="Pipelines whose engine was down: right hits, but some may be missing.")
    sequence: int = Field(description="The last change that the answer has seen.")
    took_ms: dict[str, float] = Field(description="Milliseconds by stage.")
    preview: str | None = Field(
        None,
        description="The query image itself, small, where it was asked for: a JPEG in base64.",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/jpeg"},
    )


Key = Annotated[
    str,
    Path(
        description="The image's key, percent-encoded: a slash is %2F.",
        examples=["IMG_1.jpg", "alps%2FIMG_1.jpg"],
        min_length=1,
    ),
]


def rfc3339(seconds: float) -> str:
    """Format a time by RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def thumbnail_url(key: str) -> str:
    """Path of an image's thumbnail."""
    return f"/v1/images/{quote(key, safe='')}/thumbnail"


def json_response(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A model as a JSON response."""
    return Response(model.model_dump_json(by_alias=True), status, headers, "application/json")


def documented_responses(*statuses: int, also: Responses | None = None) -> Responses:
    """OpenAPI responses of a route: problems by default and for `statuses`, and its own ones (`also`)."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    documented: Responses = {"default": {"description": "A problem (RFC 9457).", "content": content}}
    documented.update({status: {"description": "A problem (RFC 9457).", "content": content} for status in statuses})
    return documented | (also or {})


def json_body(model: str) -> dict[str, Any]:
    """OpenAPI of a JSON body by its model's name; `openapi` adds the model."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}
    return {"requestBody": {"required": True, "content": content}}


def rejection_error(reason: str) -> BadInput:
    """The error for a rejected outcome's reason, `word: message`."""
    word, _, message = reason.partition(": ")
    known = next((reason for reason in REASONS if reason == word), None)
    return BadInput(reason) if known is None else ImageRejected(known, message)
