"""What a change of pipelines changes: the gallery's own images are searched for by the old and by the new one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from lookalike.errors import ImageRejected, LookalikeError, Unavailable
from lookalike.evaluation.runner import edited_copies
from lookalike.interfaces import GalleryAPI
from lookalike.results import SearchOptions, StoredImage
from lookalike.types import Answer, FeatureSpec, Hit, Record

OVERLAP = 10
"""Hits of each that are compared: overlap@10."""
DEPTH = 50
"""Hits among which copies are counted."""
BATCH = 32
"""Queries that are searched for together."""

Queried: TypeAlias = StoredImage | bytes


class SampledGallery(GalleryAPI, Protocol):
    """A gallery whose images can be sampled."""

    def sample(self, n: int, *, tenant: str, seed: int = 0) -> list[Record]:
        """See `Gallery.sample`."""

    def feature_specs(self) -> dict[FeatureSpec, bool]:
        """See `Gallery.feature_specs`."""


@dataclass(frozen=True, slots=True)
class ComparedQuery:
    """One query by both pipelines: the image, its `edit` (None: as it is stored), and the hits but for the image.

    `found` says of the old and the new one whether the image itself was the first hit.
    """

    image: str
    path: str | None
    edit: str | None
    old: tuple[Hit, ...]
    new: tuple[Hit, ...]
    found: tuple[bool, bool]
    took_ms: tuple[float, float]

    @property
    def overlap(self) -> float:
        """Share of the first ten hits that both have."""
        a, b = ({hit.key for hit in hits[:OVERLAP]} for hits in (self.old, self.new))
        return len(a & b) / max(len(a), len(b), 1)

    @property
    def gained(self) -> tuple[Hit, ...]:
        """The copies that only the new one has."""
        known = {hit.key for hit in self.old if is_copy(hit)}
        return tuple(hit for hit in self.new if is_copy(hit) and hit.key not in known)

    @property
    def lost(self) -> tuple[Hit, ...]:
        """The copies that only the old one has."""
        known = {hit.key for hit in self.new if is_copy(hit)}
        return tuple(hit for hit in self.old if is_copy(hit) and hit.key not in known)


@dataclass(frozen=True, slots=True)
class PipelineChange:
    """The comparison of a gallery's old and new pipeline.

    `bytes_per_image` are of the features in each; `skipped` are reasons by image.
    """

    old: str
    new: str
    images: int
    queries: Sequence[ComparedQuery]
    bytes_per_image: tuple[int, int]
    skipped: Mapping[str, str]

    @property
    def overlap(self) -> float:
        """Mean share of the first ten hits that both have."""
        return float(np.mean([query.overlap for query in self.queries])) if self.queries else 0.0

    @property
    def gained(self) -> int:
        """Number of copies that only the new one has."""
        return sum(len(query.gained) for query in self.queries)

    @property
    def lost(self) -> int:
        """Number of copies that only the old one has."""
        return sum(len(query.lost) for query in self.queries)

    def found(self) -> tuple[float, float]:
        """Share of edited copies whose original is the first hit, of each; NaN where there are none."""
        edited = [query.found for query in self.queries if query.edit is not None]
        if not edited:
            return float("nan"), float("nan")
        return float(np.mean([old for old, _ in edited])), float(np.mean([new for _, new in edited]))

    def median_ms(self) -> tuple[float, float]:
        """Median milliseconds of a search in each, encoding of edited copies included."""
        if not self.queries:
            return float("nan"), float("nan")
        old, new = (np.median(times) for times in zip(*(query.took_ms for query in self.queries), strict=True))
        return float(old), float(new)

    def as_json(self) -> dict[str, object]:
        """The figures, and each query's, as JSON."""
        found, took = self.found(), self.median_ms()
        return {
            "old": self.old,
            "new": self.new,
            "images": self.images,
            "queries": len(self.queries),
            "overlap_at_10": self.overlap,
            "copies_gained": self.gained,
            "copies_lost": self.lost,
            "original_first": [None if np.isnan(share) else share for share in found],
            "median_ms": [None if np.isnan(ms) else ms for ms in took],
            "feature_bytes_per_image": list(self.bytes_per_image),
            "skipped": dict(self.skipped),
            "by_query": [
                {
                    "image": query.image,
                    "edit": query.edit,
                    "overlap_at_10": query.overlap,
                    "gained": [hit.key for hit in query.gained],
                    "lost": [hit.key for hit in query.lost],
                }
                for query in self.queries
            ],
        }


def is_copy(hit: Hit) -> bool:
    """Whether a hit is within the copy threshold of the pipeline, or the same file."""
    return hit.evidence in ("exact", "copy")


def compare_pipelines(
    gallery: SampledGallery,
    old: str,
    new: str,
    *,
    sample: int = 200,
    edits: Sequence[str] = (),
    tenant: str,
    seed: int = 0,
) -> PipelineChange:
    """Search for a sample of a gallery's images by two of its pipelines, each alone, and compare what they find.

    Images are searched for by their stored features, and copies of them as files; nothing is changed.

    Args:
        gallery: The gallery.
        old: Name of one pipeline.
        new: Name of the other one, which may be shadow.
        sample: Number of images.
        edits: Names of edits; a copy of each image with a file is made by each (`lookalike.evaluation.EDITS`).
        tenant: Owner of the images.
        seed: Of the choice and of the edits.

    Raises:
        UnsupportedQuery: There is no such pipeline.
        Unavailable: The engine of a pipeline does not answer.
    """
    sizes = {spec.name: spec.width * spec.dtype.itemsize for spec in gallery.feature_specs()}
    skipped: dict[str, str] = {}
    compared: list[ComparedQuery] = []
    records = gallery.sample(sample, tenant=tenant, seed=seed)
    batch: list[tuple[Record, str | None, Queried]] = []
    for query in _queries(records, edits, seed, skipped):
        batch.append(query)
        if len(batch) == BATCH:
            compared += _compare(gallery, old, new, batch, tenant, skipped)
            batch = []
    compared += _compare(gallery, old, new, batch, tenant, skipped)
    return PipelineChange(old, new, len(records), compared, (sizes.get(old, 0), sizes.get(new, 0)), skipped)


def _queries(
    records: Sequence[Record], edits: Sequence[str], seed: int, skipped: dict[str, str]
) -> Iterator[tuple[Record, str | None, Queried]]:
    for record in records:
        yield record, None, StoredImage(record.key)
        if not edits or record.path is None:
            continue
        try:
            copies = edited_copies(record.key, record.path, edits, seed)
        except ImageRejected as error:
            skipped[record.key] = str(error)
            continue
        for edit, copy in zip(edits, copies, strict=True):
            yield record, edit, copy


def _compare(
    gallery: GalleryAPI,
    old: str,
    new: str,
    batch: Sequence[tuple[Record, str | None, Queried]],
    tenant: str,
    skipped: dict[str, str],
) -> list[ComparedQuery]:
    answers = [_search(gallery, name, [query for *_, query in batch], tenant) for name in (old, new)]
    compared = []
    for (record, edit, _), before, after in zip(batch, *answers, strict=True):
        if isinstance(before, LookalikeError):
            skipped[record.key] = str(before)
            continue
        if isinstance(after, LookalikeError):
            skipped[record.key] = str(after)
            continue
        hits = [tuple(hit for hit in answer.hits if hit.key != record.key) for answer in (before, after)]
        first = [bool(answer.hits) and answer.hits[0].key == record.key for answer in (before, after)]
        took = before.took_ms.get(old, 0.0), after.took_ms.get(new, 0.0)
        compared.append(ComparedQuery(record.key, record.path, edit, hits[0], hits[1], (first[0], first[1]), took))
    return compared


def _search(
    gallery: GalleryAPI, pipeline: str, queries: Sequence[Queried], tenant: str
) -> list[Answer | LookalikeError]:
    options: SearchOptions = {"k": DEPTH + 1, "pipelines": [pipeline], "tenant": tenant, "verify": False}
    answers: list[Answer | LookalikeError] = []
    for _, answer in gallery.search_many(queries, **options):
        if isinstance(answer, Answer) and answer.failed:
            raise Unavailable(f"the pipeline {pipeline} cannot be compared: {next(iter(answer.failed.values()))}")
        answers.append(answer)
    return answers
