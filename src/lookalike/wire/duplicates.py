"""The objects of clusters of duplicates."""

from dataclasses import dataclass, field
from typing import Literal

from lookalike import results
from lookalike.wire.images import Image
from lookalike.wire.objects import WireObject, doc


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
