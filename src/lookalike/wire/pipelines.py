"""The objects of the pipelines of a gallery."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lookalike import results
from lookalike.results import PipelineState
from lookalike.wire.objects import WireObject, convert, doc, rfc3339


@dataclass(frozen=True, slots=True)
class Pipeline(WireObject):
    """A pipeline of the gallery, which may be changed while it serves."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "name": "vgg16-copy",
        "state": "shadow",
        "ranks": False,
        "index": "hnsw",
        "missing": 1204,
        "failed": {"gone": {"JPEG": 3}},
        "created": "2026-01-31T09:30:00.250000Z",
        "promoted": None,
    }

    name: str
    state: PipelineState = field(
        metadata=doc(
            "An active one answers searches; a shadow one gets the features of new images, and answers only where a "
            "search names it; one that is being dropped is deleted."
        )
    )
    ranks: bool = field(metadata=doc("Whether it ranks what is only similar: the last active one."))
    index: str = field(metadata=doc("Address of its index; empty for the default one, or for a caller of one tenant."))
    missing: int | None = field(
        metadata=doc("Images of all tenants without its features; null for a caller bound to one.")
    )
    failed: dict[str, dict[str, int]] = field(
        metadata=doc(
            "Those of them that a backfill could not encode, by format: `no_original` (added as bytes), `gone`, "
            "`changed`, `unreadable`."
        )
    )
    created: str | None = field(metadata=doc("RFC 3339, UTC; null for one that the gallery began with."))
    promoted: str | None

    @classmethod
    def of(cls, pipeline: results.GalleryPipeline, *, any_tenant: bool = True) -> "Pipeline":
        """The object of a pipeline."""
        return convert(
            cls,
            pipeline,
            index=pipeline.index if any_tenant else "",
            missing=pipeline.missing if any_tenant else None,
            failed={kind: dict(formats) for kind, formats in pipeline.failed.items()} if any_tenant else {},
            created=None if pipeline.created is None else rfc3339(pipeline.created),
            promoted=None if pipeline.promoted is None else rfc3339(pipeline.promoted),
        )


@dataclass(frozen=True, slots=True)
class PipelineList(WireObject):
    """Pipelines in order of precedence."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {"pipelines": [Pipeline.EXAMPLE]}

    pipelines: list[Pipeline]
