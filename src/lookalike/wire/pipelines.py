"""The objects of the pipelines of a gallery."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lookalike import results
from lookalike.results import OtherIndexState, PipelineState
from lookalike.wire.objects import WireObject, convert, doc, rfc3339


@dataclass(frozen=True, slots=True)
class OtherIndex(WireObject):
    """An index of a pipeline beside the one that answers searches."""

    state: OtherIndexState = field(
        metadata=doc(
            "The one that the pipeline is moved to is being built, the one that answered before is kept; or it is "
            "being deleted."
        )
    )
    address: str = field(metadata=doc("What it runs on; empty for a caller of one tenant."))


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
        "other_index": {"state": "building", "address": "milvus://10.0.0.5:19530"},
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
    other_index: OtherIndex | None

    @classmethod
    def of(cls, pipeline: results.GalleryPipeline, *, any_tenant: bool = True) -> "Pipeline":
        """The object of a pipeline."""
        other = pipeline.other_index
        return convert(
            cls,
            pipeline,
            index=pipeline.index if any_tenant else "",
            missing=pipeline.missing if any_tenant else None,
            failed={kind: dict(formats) for kind, formats in pipeline.failed.items()} if any_tenant else {},
            created=None if pipeline.created is None else rfc3339(pipeline.created),
            promoted=None if pipeline.promoted is None else rfc3339(pipeline.promoted),
            other_index=None if other is None else OtherIndex(other.state, other.address if any_tenant else ""),
        )


@dataclass(frozen=True, slots=True)
class IndexComparison(WireObject):
    """What searches for stored features found in the old and in the new index of a pipeline."""

    queries: int
    overlap: float = field(metadata=doc("Share of the old one's first ten hits that the new one has, or nearer ones."))
    copies: int = field(metadata=doc("Those of them that are within the copy threshold."))
    copies_overlap: float = field(metadata=doc("The same share of these."))
    unfound: int = field(metadata=doc("Images that the new one does not find by their own features."))
    missing_rows: int = field(metadata=doc("Rows that the new one lacks."))


@dataclass(frozen=True, slots=True)
class IndexMove(WireObject):
    """The result of moving the index of a pipeline, of a job `move_index`."""

    pipeline: str
    before: str = field(metadata=doc("What the old index runs on."))
    after: str = field(metadata=doc("What the new one runs on."))
    rows: int = field(metadata=doc("Of the new one."))
    moved: bool = field(metadata=doc("False where it was there already."))
    kept: bool = field(metadata=doc("Whether the old one is still there."))
    comparison: IndexComparison | None

    @classmethod
    def of(cls, move: results.IndexMove) -> "IndexMove":
        """The object of a move."""
        return convert(cls, move)


@dataclass(frozen=True, slots=True)
class DroppedIndex(WireObject):
    """An index that was deleted."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {"dropped": "elasticsearch://10.0.0.5:9200"}

    dropped: str = field(metadata=doc("What it ran on."))


@dataclass(frozen=True, slots=True)
class PipelineList(WireObject):
    """Pipelines in order of precedence."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {"pipelines": [Pipeline.EXAMPLE]}

    pipelines: list[Pipeline]
