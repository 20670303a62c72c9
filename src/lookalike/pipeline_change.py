"""The comparison of two pipelines of a gallery, and its JSON: what a job stores, and the client reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from lookalike.types import Evidence

OVERLAP = 10
"""Hits of each that are compared: overlap@10."""


@dataclass(frozen=True, slots=True)
class ComparedHit:
    """What is kept of a hit."""

    key: str
    evidence: Evidence
    distance: float
    pipeline: str


@dataclass(frozen=True, slots=True)
class ComparedQuery:
    """One query by both pipelines: the image, its `edit` (None: as it is stored), and the first ten hits but for it.

    `image` is None for a live query, of which only features are known. `found` says of the old and the new pipeline
    whether the image itself was the first hit. `gained` are the copies that only the new one has, `lost` those that
    only the old one has.
    """

    image: str | None
    edit: str | None
    old: tuple[ComparedHit, ...]
    new: tuple[ComparedHit, ...]
    gained: tuple[ComparedHit, ...]
    lost: tuple[ComparedHit, ...]
    found: tuple[bool, bool]
    took_ms: tuple[float, float]

    @property
    def overlap(self) -> float:
        """Share of the first ten hits that both have."""
        a, b = ({hit.key for hit in hits} for hits in (self.old, self.new))
        return len(a & b) / max(len(a), len(b), 1)


@dataclass(frozen=True, slots=True)
class PipelineChange:
    """The comparison of a gallery's old and new pipeline.

    `images` of the gallery were searched for, and `live` queries. `bytes_per_image` are of the features in each,
    `thresholds` the copy thresholds; `skipped` are reasons by image.
    """

    old: str
    new: str
    images: int
    live: int
    queries: Sequence[ComparedQuery]
    bytes_per_image: tuple[int, int]
    thresholds: tuple[float, float]
    skipped: Mapping[str, str]

    @property
    def overlap(self) -> float:
        """Mean share of the first ten hits that both have."""
        return fmean(query.overlap for query in self.queries) if self.queries else 0.0

    @property
    def gained(self) -> int:
        """Number of copies that only the new one has."""
        return sum(len(query.gained) for query in self.queries)

    @property
    def lost(self) -> int:
        """Number of copies that only the old one has."""
        return sum(len(query.lost) for query in self.queries)

    def found(self) -> tuple[float, float] | None:
        """Share of edited copies whose original is the first hit, of each; None where there are none."""
        edited = [query.found for query in self.queries if query.edit is not None]
        return (fmean(old for old, _ in edited), fmean(new for _, new in edited)) if edited else None

    def median_ms(self) -> tuple[float, float] | None:
        """Median milliseconds of a search in each, encoding of edited copies included."""
        took = [query.took_ms for query in self.queries]
        return (median(old for old, _ in took), median(new for _, new in took)) if took else None

    def as_json(self) -> dict[str, Any]:
        """The figures, and each query's, as JSON; the inverse of `of_json`."""
        found, took = self.found(), self.median_ms()
        return {
            "old": self.old,
            "new": self.new,
            "images": self.images,
            "live": self.live,
            "queries": len(self.queries),
            "overlap_at_10": self.overlap,
            "copies_gained": self.gained,
            "copies_lost": self.lost,
            "original_first": [None, None] if found is None else list(found),
            "median_ms": [None, None] if took is None else list(took),
            "feature_bytes_per_image": list(self.bytes_per_image),
            "copy_thresholds": list(self.thresholds),
            "skipped": dict(self.skipped),
            "by_query": [_query_json(query) for query in self.queries],
        }

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "PipelineChange":
        """The comparison of which `as_json` made this."""
        return cls(
            stored["old"],
            stored["new"],
            stored["images"],
            stored["live"],
            [_query_of(query) for query in stored["by_query"]],
            _pair(stored["feature_bytes_per_image"]),
            _pair(stored["copy_thresholds"]),
            stored["skipped"],
        )


def _query_json(query: ComparedQuery) -> dict[str, Any]:
    return {
        "image": query.image,
        "edit": query.edit,
        "overlap_at_10": query.overlap,
        "gained": [hit.key for hit in query.gained],
        "lost": [hit.key for hit in query.lost],
        "original_first": list(query.found),
        "took_ms": list(query.took_ms),
        "hits": {name: [asdict(hit) for hit in getattr(query, name)] for name in ("old", "new", "gained", "lost")},
    }


def _query_of(stored: Mapping[str, Any]) -> ComparedQuery:
    hits = {name: _hits_of(found) for name, found in stored["hits"].items()}
    found, took = _pair(stored["original_first"]), _pair(stored["took_ms"])
    return ComparedQuery(stored["image"], stored["edit"], **hits, found=found, took_ms=took)


def _hits_of(stored: Iterable[Mapping[str, Any]]) -> tuple[ComparedHit, ...]:
    return tuple(ComparedHit(**hit) for hit in stored)


def _pair(values: Sequence[Any]) -> tuple[Any, Any]:
    old, new = values
    return old, new
