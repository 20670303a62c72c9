"""The objects of clusters of duplicates, and of clean-ups of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from lookalike import results
from lookalike.wire.images import Image
from lookalike.wire.objects import WireObject, convert, doc


@dataclass(frozen=True, slots=True)
class Cluster(WireObject):
    """An image and its copies: each further image is a copy of the first."""

    id: str = field(metadata=doc("Stays the same as long as the same images belong to it."))
    evidence: Literal["exact", "copy"] = field(metadata=doc("`exact` where all have the same bytes or pixels."))
    distance: float = field(metadata=doc("The largest (0..1) from the first image."))
    images: list[Image]
    same: list[int] = field(
        default_factory=list,
        metadata=doc("A number for each image: those with the same number have the same bytes or pixels."),
    )

    @classmethod
    def of(cls, cluster: results.Cluster, *, show_path: bool = False) -> "Cluster":
        """The object of a cluster, with the paths of its files or without."""
        numbers = {image.id: n for n, part in enumerate(cluster.exact_parts) for image in part}
        return cls(
            id=cluster.id,
            evidence="exact" if cluster.evidence == "exact" else "copy",
            distance=cluster.distance,
            images=[Image.of(image, show_path=show_path) for image in cluster.images],
            same=[numbers[image.id] for image in cluster.images],
        )


@dataclass(frozen=True, slots=True)
class ClusterList(WireObject):
    """Clusters, in the order of their lowest keys."""

    clusters: list[Cluster]
    next: str | None = field(
        metadata=doc("The cursor of the next page; a page may be short, even empty, and not the last.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupImage(Image):
    """An image of a cluster, and what a clean-up does with it."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        **(Image.EXAMPLE or {}),
        "mark": "remove",
        "reason": "fewer pixels",
        "frees": 2481937,
    }

    mark: results.Mark = field(
        metadata=doc("`keep`; `remove`; `skip`: left alone although it is not the one kept, for the reason given.")
    )
    reason: str = field(metadata=doc("Why, in a few words."))
    frees: int = field(metadata=doc("Bytes that its removal frees."))

    @classmethod
    def of_planned(cls, planned: results.CleanupImage) -> "CleanupImage":
        """The object of a planned image."""
        image = Image.of(planned.image, show_path=True)
        own = {f.name: getattr(image, f.name) for f in fields(image)}
        return cls(**own, mark=planned.mark, reason=planned.reason, frees=planned.frees)


@dataclass(frozen=True, slots=True)
class CleanupGroup(WireObject):
    """A cluster with a mark for each image; the first image is the one that the others are checked against."""

    id: str = field(metadata=doc("As that of the cluster."))
    evidence: Literal["exact", "copy"] = field(metadata=doc("`exact` where all have the same bytes or pixels."))
    distance: float = field(metadata=doc("The largest (0..1) by which two of them were linked."))
    frees: int = field(metadata=doc("Bytes."))
    images: list[CleanupImage]

    @classmethod
    def of(cls, group: results.CleanupGroup) -> "CleanupGroup":
        """The object of a group."""
        images = [CleanupImage.of_planned(image) for image in group.images]
        return convert(cls, group, evidence="exact" if group.evidence == "exact" else "copy", images=images)


@dataclass(frozen=True, slots=True)
class CleanupPlan(WireObject):
    """What a clean-up would do. Nothing was changed."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "plan": "0f8fad5bd9cb469fa16570867728950e",
        "to": "trash",
        "groups": [],
        "removed": 0,
        "frees": 0,
        "skipped": {"read-only: make it writable to have it removed": 2},
        "out_of_scope": 0,
    }

    plan: str = field(metadata=doc("Names the plan when it is applied; the server keeps the latest few."))
    to: str
    groups: list[CleanupGroup]
    removed: int = field(metadata=doc("Images to remove."))
    frees: int = field(metadata=doc("Bytes."))
    skipped: dict[str, int] = field(metadata=doc("By reason, images left alone although they are not the ones kept."))
    out_of_scope: int = field(metadata=doc("Images of clusters that the options exclude."))


@dataclass(frozen=True, slots=True)
class CleanupOutcome(WireObject):
    """What became of an image that was to be removed."""

    key: str
    outcome: results.CleanupOutcomeKind = field(
        metadata=doc("`replaced` by a link to the kept file, or `failed`: the file was not touched.")
    )
    reason: str | None
    frees: int = field(metadata=doc("Bytes that were freed."))


@dataclass(frozen=True, slots=True)
class CleanupReport(WireObject):
    """What a clean-up did."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "run": "20260131-093000-250000-0f8fad",
        "to": "trash",
        "frees": 48213,
        "outcomes": [{"key": "copy.jpg", "outcome": "removed", "reason": "fewer pixels", "frees": 48213}],
        "skipped": {},
    }

    run: str = field(metadata=doc("Names the clean-up when it is undone."))
    to: str
    frees: int = field(metadata=doc("Bytes of the removed files."))
    outcomes: list[CleanupOutcome]
    skipped: dict[str, int] = field(metadata=doc("By reason, images left alone although they are not the ones kept."))


@dataclass(frozen=True, slots=True)
class UndoOutcome(WireObject):
    """What became of an image whose removal was undone."""

    key: str
    outcome: results.UndoOutcomeKind = field(
        metadata=doc("`unchanged`: its file was there; `lost`: it was deleted, or is not in the trash.")
    )
    reason: str | None


@dataclass(frozen=True, slots=True)
class UndoReport(WireObject):
    """What undoing a clean-up did."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "run": "20260131-093000-250000-0f8fad",
        "outcomes": [{"key": "copy.jpg", "outcome": "restored", "reason": None}],
    }

    run: str = field(metadata=doc("The clean-up that was undone."))
    outcomes: list[UndoOutcome]
