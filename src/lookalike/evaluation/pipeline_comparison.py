"""What a change of pipelines changes: the gallery's own images are searched for by the old and by the new one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Protocol, TypeAlias

from lookalike.errors import ImageRejected, LookalikeError, Unavailable
from lookalike.evaluation.runner import edited_copies
from lookalike.interfaces import GalleryAPI
from lookalike.pipeline import Calibration
from lookalike.pipeline_change import OVERLAP, ComparedHit, ComparedQuery, PipelineChange
from lookalike.results import ImageFeatures, Query, SearchOptions, StoredImage
from lookalike.types import Answer, FeatureSpec, Hit, Record

DEPTH = 50
"""Hits among which copies are counted."""
BATCH = 32
"""Queries that are searched for together."""

Queried: TypeAlias = tuple[str | None, str | None, Query]
"""Key of an image of the gallery, name of an edit, and what is searched for."""


class SampledGallery(GalleryAPI, Protocol):
    """A gallery whose images can be sampled."""

    def sample(self, n: int, *, tenant: str, seed: int = 0) -> list[Record]:
        """See `Gallery.sample`."""

    def pipeline_calibrations(self, *names: str) -> dict[str, Calibration]:
        """See `Gallery.pipeline_calibrations`."""

    def feature_specs(self) -> dict[FeatureSpec, bool]:
        """See `Gallery.feature_specs`."""


def is_copy(hit: ComparedHit) -> bool:
    """Whether a hit is within the copy threshold of the pipeline, or the same file."""
    return hit.evidence in ("exact", "copy")


def compare_pipelines(
    gallery: SampledGallery,
    old: str,
    new: str,
    *,
    sample: int = 200,
    edits: Sequence[str] = (),
    live: Sequence[ImageFeatures] = (),
    tenant: str,
    seed: int = 0,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> PipelineChange:
    """Search for a sample of a gallery's images by two of its pipelines, each alone, and compare what they find.

    Images are searched for by their stored features, and copies of them as files; nothing is changed.

    Args:
        gallery: The gallery.
        old: Name of one pipeline.
        new: Name of the other one, which may be shadow.
        sample: Number of images.
        edits: Names of edits; a copy of each image with a file is made by each (`lookalike.evaluation.EDITS`).
        live: Features of queries of users, by both pipelines (`Gallery.live_queries`), to search for as well.
        tenant: Owner of the images.
        seed: Of the choice and of the edits.
        step: Called with the number of queries done, and of those that there are at most.

    Raises:
        UnsupportedQuery: There is no such pipeline.
        Unavailable: The engine of a pipeline does not answer.
    """
    calibrations = gallery.pipeline_calibrations(old, new)
    sizes = {spec.name: spec.width * spec.dtype.itemsize for spec in gallery.feature_specs()}
    skipped: dict[str, str] = {}
    compared: list[ComparedQuery] = []
    records = gallery.sample(sample, tenant=tenant, seed=seed)
    total = len(records) * (1 + len(edits)) + len(live)
    queries = chain(_queries(records, edits, seed, skipped), ((None, None, query) for query in live))
    while batch := list(islice(queries, BATCH)):
        compared += _compare(gallery, old, new, batch, tenant, skipped)
        step(len(compared), total)
    return PipelineChange(
        old,
        new,
        len(records),
        len(live),
        compared,
        (sizes.get(old, 0), sizes.get(new, 0)),
        (calibrations[old].threshold, calibrations[new].threshold),
        skipped,
    )


def _queries(records: Sequence[Record], edits: Sequence[str], seed: int, skipped: dict[str, str]) -> Iterator[Queried]:
    for record in records:
        yield record.key, None, StoredImage(record.key)
        if not edits or record.path is None:
            continue
        try:
            copies = edited_copies(record.key, record.path, edits, seed)
        except ImageRejected as error:
            skipped[record.key] = str(error)
            continue
        for edit, copy in zip(edits, copies, strict=True):
            yield record.key, edit, copy


def _compare(
    gallery: GalleryAPI, old: str, new: str, batch: Sequence[Queried], tenant: str, skipped: dict[str, str]
) -> list[ComparedQuery]:
    answers = [_search(gallery, name, [query for *_, query in batch], tenant) for name in (old, new)]
    compared = []
    for (key, edit, _), before, after in zip(batch, *answers, strict=True):
        if isinstance(before, LookalikeError) or isinstance(after, LookalikeError):
            failed = before if isinstance(before, LookalikeError) else after
            skipped[key or "a live query"] = str(failed)
            continue
        took = before.took_ms.get(old, 0.0), after.took_ms.get(new, 0.0)
        compared.append(_compared(key, edit, before.hits, after.hits, took))
    return compared


def _compared(
    key: str | None, edit: str | None, before: Sequence[Hit], after: Sequence[Hit], took: tuple[float, float]
) -> ComparedQuery:
    old, new = ([_kept(hit) for hit in hits if hit.key != key] for hits in (before, after))
    copies_old, copies_new = ({hit.key for hit in hits if is_copy(hit)} for hits in (old, new))
    first_old, first_new = (bool(hits) and hits[0].key == key for hits in (before, after))
    return ComparedQuery(
        key,
        edit,
        tuple(old[:OVERLAP]),
        tuple(new[:OVERLAP]),
        tuple(hit for hit in new if is_copy(hit) and hit.key not in copies_old),
        tuple(hit for hit in old if is_copy(hit) and hit.key not in copies_new),
        (first_old, first_new),
        took,
    )


def _kept(hit: Hit) -> ComparedHit:
    return ComparedHit(hit.key, hit.evidence, float(hit.distance), hit.pipeline)


def _search(gallery: GalleryAPI, pipeline: str, queries: Sequence[Query], tenant: str) -> list[Answer | LookalikeError]:
    options: SearchOptions = {"k": DEPTH + 1, "pipelines": [pipeline], "tenant": tenant, "verify": False}
    answers: list[Answer | LookalikeError] = []
    for _, answer in gallery.search_many([_by(pipeline, query) for query in queries], **options):
        if isinstance(answer, Answer) and answer.failed:
            raise Unavailable(f"the pipeline {pipeline} cannot be compared: {next(iter(answer.failed.values()))}")
        answers.append(answer)
    return answers


def _by(pipeline: str, query: Query) -> Query:
    """A query, of which features are those of one pipeline only."""
    if not isinstance(query, ImageFeatures):
        return query
    return ImageFeatures({pipeline: query.features[pipeline]}, query.fingerprints, query.name)
