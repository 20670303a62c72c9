"""Evaluation of a gallery: edited copies of its images are searched for, with and without their originals in it."""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Unpack

from PIL import Image

from lookalike.errors import ImageRejected, LookalikeError, Unavailable
from lookalike.evaluation.edits import apply
from lookalike.evaluation.measurement import EVALUATED_HITS, Confidence, QueryResult, Sample, ScoredHit, Search
from lookalike.gallery_calibration import DENSITY_RANK, measure_of
from lookalike.imaging import decode, read_bytes
from lookalike.interfaces import GalleryAPI
from lookalike.results import Failure, Query, SearchOptions, StoredImage
from lookalike.types import Answer, Hit, Record

SEARCH_DEPTH = 2 * EVALUATED_HITS
"""Hits fetched for a query, so that enough are left without its original and the copies of it in the gallery."""
VERIFIED_FOR_HARD = 4
"""Images whose neighbours are verified for one hard image."""
BATCH_COPIES = 32
"""Copies that are searched for together, at least: networks encode batches faster."""
MAX_SIDE = 1600
"""Pixels from which an original is reduced before it is edited: edits of 50-megapixel images would take minutes."""


class EvaluatedGallery(GalleryAPI, Protocol):
    """A gallery that can also be searched as if images were not in it."""

    def search_without(
        self, queries: Sequence[tuple[bytes, Collection[str]]], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """See `Gallery.search_without`."""


@dataclass(frozen=True, slots=True)
class Original:
    """An image to make copies of: its key in the gallery, or its name outside; its file; how it was chosen.

    `edits` are those of its copies; None for all of the runner's.
    """

    name: str
    source: str | Path
    sample: Sample = "random"
    edits: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Copies:
    """The edited copies of one image, as files, in the order of the edits."""

    original: Original
    edits: Sequence[str]
    files: list[bytes]

    def pairs(self) -> Iterator[tuple[str, bytes]]:
        """Each edit with its file."""
        return zip(self.edits, self.files, strict=True)


@dataclass(frozen=True, slots=True)
class _Found:
    """The hits of one answer, and its radius."""

    hits: tuple[ScoredHit, ...]
    radius: float | None

    def without_original(self) -> "_Found":
        """The same of a gallery without the original; for searches of one pipeline by distance."""
        others = tuple(hit for hit in self.hits if not hit.right)
        distances = sorted(hit.distance for hit in others)
        radius = self.radius if len(distances) < DENSITY_RANK else distances[DENSITY_RANK - 1]
        return _Found(others, radius)


@dataclass(slots=True)
class Runner:
    """Searches `gallery` for edited copies of images; never changes it.

    Args:
        gallery: The gallery.
        tenant: Whose images are searched.
        confidence: Orders hits of different queries.
        searches: The ways to search.
        edits: Names of edits; see `lookalike.evaluation.EDITS`.
        seed: Of the edits.
        others: Images that are not in the gallery, to paste copies into.
        groups: Group by key: images of one group are the same image. Without it those are the same whose bytes or
            pixels are equal, and those that a comparison of pixels calls copies of the unedited image.
    """

    gallery: EvaluatedGallery
    tenant: str
    confidence: Confidence
    searches: Sequence[Search]
    edits: Sequence[str]
    seed: int = 0
    others: Sequence[Image.Image] = ()
    groups: Mapping[str, str] | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by name of the images that could not be evaluated."""

    def run(self, originals: Iterable[Original]) -> Iterator[list[QueryResult]]:
        """Yield the results of each image, of all edits and searches; those of an image that is `skipped` are empty."""
        batch: list[_Copies] = []
        for original in originals:
            edits = self.edits if original.edits is None else original.edits
            try:
                batch.append(_Copies(original, edits, self.copies(original, edits)))
            except ImageRejected as error:
                self.skipped[original.name] = str(error)
                yield []
            if sum(len(of.files) for of in batch) >= BATCH_COPIES:
                yield from self._evaluate(batch)
                batch = []
        yield from self._evaluate(batch)

    def copies(self, original: Original, edits: Sequence[str]) -> list[bytes]:
        """Return the edited copies of an image, the same in each call; raises ImageRejected."""
        return edited_copies(original.name, original.source, edits, self.seed, others=self.others)

    def hard_originals(self, records: Sequence[Record], n: int) -> list[Original]:
        """Return the n images whose nearest neighbour that is no copy of them is the likeliest to be called one.

        They are searched for by their stored features. Neighbours of the nearest are verified, which leaves out those
        that are the same image.
        """
        sources = {record.key: record.path for record in records if record.path is not None}
        nearest = self._by_nearest(sources, verify=False)
        nearest = self._by_nearest(nearest[: n * VERIFIED_FOR_HARD], verify=True)
        return [Original(key, str(sources[key]), "hard") for key in nearest[:n]]

    def _by_nearest(self, keys: Iterable[str], *, verify: bool) -> list[str]:
        """Images in the order of their surest hit that is not the same image, the surest first."""
        surest: list[tuple[float, str]] = []
        for key, hits in self._stored(list(keys), verify=verify):
            false = [self.confidence(hit) for hit in hits if not self._is_same(key, hit)]
            if false:
                surest.append((-max(false), key))
        return [key for _, key in sorted(surest)]

    def _evaluate(self, batch: Sequence[_Copies]) -> list[list[QueryResult]]:
        same = [self._copies_in_gallery(of.original) for of in batch]
        copies = [(of, edit, file, keys) for of, keys in zip(batch, same, strict=True) for edit, file in of.pairs()]
        results: dict[str, list[QueryResult]] = {of.original.name: [] for of in batch}
        for search in self.searches if copies else ():
            options = self._options(search)
            answers = self.gallery.search_many([file for _, _, file, _ in copies], **options)
            with_original = [self._found(answer, keys) for (*_, keys), (_, answer) in zip(copies, answers, strict=True)]
            without = [found.without_original() for found in with_original]
            if search.options.get("verify", True):  # what is verified depends on what was found before
                answers = self.gallery.search_without([(file, keys) for _, _, file, keys in copies], **options)
                without = [self._found(answer, set()) for _, answer in answers]
            for (of, edit, *_), found, others in zip(copies, with_original, without, strict=True):
                result = QueryResult(
                    search.name,
                    edit,
                    of.original.name,
                    of.original.sample,
                    found.hits,
                    others.hits,
                    found.radius,
                    others.radius,
                )
                results[of.original.name].append(result)
        return list(results.values())

    def _found(self, answer: Answer | LookalikeError, same: Collection[str]) -> "_Found":
        hits = tuple(self._score(hit, hit.key in same) for hit in _hits(answer))
        return _Found(hits, answer.radius if isinstance(answer, Answer) else None)

    def _copies_in_gallery(self, original: Original) -> set[str]:
        """The keys under which the gallery has this very image; empty for one outside of it."""
        if original.sample == "outside":
            return set()
        if self.groups is not None:
            group = self.groups.get(original.name)
            return {original.name} | {key for key, other in self.groups.items() if group is not None and other == group}
        [(_, hits)] = self._stored([original.name], verify=True)
        return {original.name} | {hit.key for hit in hits if _is_proven(hit)}

    def _is_same(self, key: str, hit: Hit) -> bool:
        if hit.key == key or (self.groups is None and _is_proven(hit)):
            return True
        return self.groups is not None and key in self.groups and self.groups.get(hit.key) == self.groups[key]

    def _stored(self, keys: Sequence[str], *, verify: bool) -> Iterator[tuple[str, tuple[Hit, ...]]]:
        """Search for images of the gallery by their stored features; an image that has none is skipped."""
        queries = [StoredImage(key) for key in keys]
        for query, answer in self.gallery.search_many(queries, k=SEARCH_DEPTH, tenant=self.tenant, verify=verify):
            assert isinstance(query, StoredImage)
            if isinstance(answer, LookalikeError):
                self.skipped[query.key] = str(answer)
                yield query.key, ()
            else:
                yield query.key, _hits(answer)

    def _options(self, search: Search) -> SearchOptions:
        options = search.options.copy()
        options.update({"k": SEARCH_DEPTH, "tenant": self.tenant})
        return options

    def _score(self, hit: Hit, right: bool) -> ScoredHit:
        score = self.confidence(hit)
        measure, value = measure_of(hit.evidence, hit.pipeline, hit.distance, hit.verification)
        return ScoredHit(hit.key, hit.path, hit.evidence, hit.distance, hit.pipeline, score, right, measure, value)


def edited_copies(
    name: str, source: str | Path, edits: Sequence[str], seed: int, *, others: Sequence[Image.Image] = ()
) -> list[bytes]:
    """Return copies of an image, one by each edit, the same in each call with its name and seed; raises ImageRejected.

    Args:
        name: The image's key, or its name.
        source: Its file.
        edits: Names of edits; see `lookalike.evaluation.EDITS`.
        seed: Of the edits.
        others: Images to paste copies into.
    """
    image = Image.fromarray(decode(read_bytes(source), box=(MAX_SIDE, MAX_SIDE)).rgb)
    number = random.Random(f"{seed} {name}").randrange(2**31)
    return [apply(edit, image, number, others=others) for edit in edits]


def _is_proven(hit: Hit) -> bool:
    """Whether a hit of an unedited image is the same image, by digest or by a comparison of pixels."""
    return hit.evidence == "exact" or (hit.evidence == "copy" and hit.verified)


def _hits(answer: Answer | LookalikeError) -> tuple[Hit, ...]:
    """The hits of an answer; raises its error, or Unavailable where a pipeline failed: figures would be wrong."""
    if isinstance(answer, LookalikeError):
        raise answer
    for pipeline, why in answer.failed.items():
        raise Unavailable(f"the pipeline {pipeline} cannot be evaluated: {why}")
    return answer.hits


def outside_images(gallery: GalleryAPI, paths: Sequence[Path], *, tenant: str) -> list[Path]:
    """Return those of these images that the gallery does not have."""
    found = gallery.search_many(paths, k=1, tenant=tenant)
    answers = [(path, _hits(answer)) for path, (_, answer) in zip(paths, found, strict=True)]
    return [path for path, hits in answers if not any(hit.evidence == "exact" for hit in hits)]
