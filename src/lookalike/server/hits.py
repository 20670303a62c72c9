"""What a search answers."""

from pydantic import ConfigDict, Field

from lookalike.results import MAX_RESULTS
from lookalike.server.schemas import Json, ResponseModel, thumbnail_url
from lookalike.types import Evidence, Hit


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
