"""Searching: digest, then each generation, merged by image into one ranking that pages cannot disturb."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lookalike.catalog import Catalog
from lookalike.errors import ImageRejected, Unavailable, UnsupportedQuery
from lookalike.gallery.queries import PreparedQuery, encode_queries
from lookalike.imaging import prepare
from lookalike.pipeline import Pipeline, Ranked
from lookalike.types import NO_GUARANTEE, Answer, Evidence, Hit, Record, ResolvedFilter

MAX_RESULTS = 10_000
"""The deepest result that can be asked for: page x page size."""
CONFIRM = 4
"""The best copies; those of the query's own size are decoded to see whether they are it, pixel for pixel."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What is asked of every query of a batch.

    `threshold` drops hits farther than this (0..1); `fresh` has all that was flushed seen, also by lagging copies.
    """

    k: int = 10
    page: int = 1
    tenant: int | None = None
    filter: ResolvedFilter | None = None
    threshold: float | None = None
    orientations: bool = True
    fresh: bool = False

    @property
    def depth(self) -> int:
        """How many results must be known to give this page."""
        return self.k * self.page

    @property
    def candidates(self) -> int:
        """How many are looked at: one more tells whether there are more, and `CONFIRM` must not depend on the page."""
        return max(self.depth, CONFIRM) + 1

    def check(self) -> None:
        """Refuse what cannot be answered."""
        if self.k < 1 or self.page < 1:
            raise UnsupportedQuery(f"k and page count from 1, not k={self.k}, page={self.page}")
        if self.depth > MAX_RESULTS:
            raise UnsupportedQuery(
                f"page {self.page} of {self.k} reaches result {self.depth}; no more than {MAX_RESULTS} can be paged "
                "through: narrow the search by a filter or a threshold"
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UnsupportedQuery(f"a threshold lies in 0..1, not {self.threshold}")


@dataclass(slots=True)
class Candidate:
    """What speaks best for one image: its rank (lower is better), evidence, distance and who says so."""

    rank: tuple[int, float]
    evidence: Evidence
    distance: float
    pipeline: str


@dataclass(slots=True)
class StageTimer:
    """Milliseconds by stage, of a whole batch."""

    ms: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def mark(self, stage: str) -> None:
        """Book the time since the last mark."""
        now = time.perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._since) * 1000
        self._since = now

    def each(self, n: int) -> dict[str, float]:
        """The share of one query of n."""
        return {stage: round(ms / n, 3) for stage, ms in self.ms.items()}


class Searcher:
    """Answers batches of prepared queries from a catalog and pipelines that are in step with it.

    The last pipeline ranks everything; those before it speak only for the copies they recognise, for beyond its
    threshold a hash says nothing. Hits are ordered by what they prove: digests first, then copies, then the rest,
    and within these by how rarely unrelated images come so close. Each pipeline's order is kept by that rule, so
    the first n of k results are the same for every k: pages are stable and complete (where the index is exact).
    """

    def __init__(self, catalog: Catalog, pipelines: Sequence[Pipeline]) -> None:
        self._catalog = catalog
        self._pipelines = pipelines

    def answer(
        self, queries: Sequence[PreparedQuery], request: SearchRequest, sequence: int, stages: StageTimer
    ) -> list[Answer]:
        """One answer a query, for a request already checked; `sequence` is the change that the indexes have reached."""
        exact = self._digests(queries, request)
        stages.mark("digest")
        found: list[dict[int, Candidate]] = [{} for _ in queries]
        exact_within, failed = self._ranked(queries, request, found, stages)
        engine_filter = request.filter is not None and request.filter.engine_filter
        for of_query, same in zip(found, exact, strict=True):
            # a filter in an engine's own words is known to the engine alone: what it did not find may not pass it
            of_query.update({i: one for i, one in same.items() if not engine_filter or i in of_query})
        records = self._catalog.records(_top_ids(found, request))
        for query, of_query in zip(queries, found, strict=True):
            self._confirm(query, of_query, records)
        ranked = [_rank(of_query, records, request) for of_query in found]
        stages.mark("merge")
        first, end = request.depth - request.k, request.depth
        return [
            Answer(
                hits=tuple(hits[first:end]),
                page=request.page,
                page_size=request.k,
                more=len(hits) > end,
                exact_within=exact_within,
                sequence=sequence,
                took_ms=stages.each(len(queries)),
                failed=failed,
            )
            for hits in ranked
        ]

    def _digests(self, queries: Sequence[PreparedQuery], request: SearchRequest) -> list[dict[int, Candidate]]:
        """The same bytes, or the same pixels, by equality in the catalog."""
        found: list[dict[int, Candidate]] = [{} for _ in queries]
        conditions = () if request.filter is None else request.filter.conditions
        kinds: tuple[Literal["pixels", "sha256"], ...] = ("pixels", "sha256")
        for kind in kinds:  # the stronger one last, so that it is the one named
            digests = [getattr(query.prepared, kind) for query in queries]
            wanted = [digest for digest in digests if digest is not None]
            same = self._catalog.by_digest(
                kind, request.tenant, wanted, conditions=conditions, limit=request.candidates
            )
            for digest, of_query in zip(digests, found, strict=True):
                for record in same.get(digest, ()):
                    of_query[record.id] = Candidate((0, 0.0), "exact", 0.0, kind)
        return found

    def _ranked(
        self,
        queries: Sequence[PreparedQuery],
        request: SearchRequest,
        found: list[dict[int, Candidate]],
        stages: StageTimer,
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Ask every pipeline, and keep for each image what speaks best for it.

        Gives how far each is exact, and why some could not be asked; raises Unavailable where none could.
        """
        exact_within: dict[str, float] = {}
        failed: dict[str, Unavailable] = {}
        for at, pipeline in enumerate(self._pipelines):
            limits = [request.threshold] if request.threshold is not None else []
            if pipeline is not self._pipelines[-1]:
                limits.append(pipeline.calibration.threshold)
            try:
                ranked = pipeline.search_views(
                    encode_queries(queries, at, pipeline, orientations=request.orientations),
                    request.candidates,
                    tenant=request.tenant,
                    filter=request.filter,
                    max_distance=min(limits, default=None),
                    fresh=request.fresh,
                )
            except Unavailable as error:
                failed[pipeline.name], exact_within[pipeline.name] = error, NO_GUARANTEE
                stages.mark(pipeline.name)
                continue
            exact_within[pipeline.name] = min((r.exact_within for r in ranked), default=1.0)
            for of_query, matches in zip(found, ranked, strict=True):
                _merge(of_query, pipeline, matches)
            stages.mark(pipeline.name)
        if len(failed) == len(self._pipelines):
            raise next(iter(failed.values()))
        return exact_within, {name: str(error) for name, error in failed.items()}

    def _confirm(self, query: PreparedQuery, found: dict[int, Candidate], records: Mapping[int, Record]) -> None:
        """Copies of the query's size may be it pixel for pixel; where no digest can tell, their files are decoded."""
        size = (query.prepared.width, query.prepared.height)
        pixels = query.prepared.pixels
        copies = (i for i, f in found.items() if f.evidence == "copy" and i in records)
        for i in sorted(copies, key=lambda i: (found[i].rank, i))[:CONFIRM]:
            record = records[i]
            if (record.width, record.height) != size or (record.pixels and query.prepared.pixels):
                continue
            stored = record.pixels or _pixels_of_file(record)
            if stored is None:
                continue
            pixels = pixels or pixels_of(query.source, query.prepared.sha256)
            if stored == pixels:
                found[i] = Candidate((0, 0.0), "exact", 0.0, "pixels")


def _merge(found: dict[int, Candidate], pipeline: Pipeline, matches: Ranked) -> None:
    calibration = pipeline.calibration
    for i, distance in zip(matches.ids.tolist(), matches.distances.tolist(), strict=True):
        copy = distance <= calibration.threshold
        rank = (1 if copy else 2, calibration.rarity(distance))
        if i not in found or rank < found[i].rank:
            found[i] = Candidate(rank, "copy" if copy else "similar", distance, pipeline.name)


def _top_ids(found: Sequence[dict[int, Candidate]], request: SearchRequest) -> list[int]:
    """The ids whose records are needed: those that can stand on the page or before it, and one that tells of more."""
    wanted: set[int] = set()
    for of_query in found:
        best = sorted(of_query, key=lambda i: (of_query[i].rank, i))
        wanted.update(best[: request.candidates])
    return list(wanted)


def _rank(found: dict[int, Candidate], records: Mapping[int, Record], request: SearchRequest) -> list[Hit]:
    """Hits in their final order; an image that was deleted while we searched has no record and is left out."""
    order = sorted((i for i in found if i in records), key=lambda i: (found[i].rank, i))
    all_tenants = request.tenant is None
    return [_hit(found[i], records[i], all_tenants=all_tenants) for i in order[: request.depth + 1]]


def _hit(found: Candidate, record: Record, *, all_tenants: bool) -> Hit:
    return Hit(
        key=record.key,
        path=record.path,
        evidence=found.evidence,
        distance=round(found.distance, 6),
        pipeline=found.pipeline,
        attributes=record.attributes,
        width=record.width,
        height=record.height,
        id=record.id,
        tenant=record.tenant if all_tenants else None,
    )


def pixels_of(source: Path | bytes | None, sha256: bytes) -> bytes | None:
    """The digest of an image's pixels; none where it can no longer be read, or is not `sha256` any more."""
    if source is None:
        return None
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        whole = prepare(data, (), want_pixels=True)
    except (OSError, ImageRejected):
        return None
    return whole.pixels if whole.sha256 == sha256 else None


def _pixels_of_file(record: Record) -> bytes | None:
    """The same of a stored image, from its file if that is still the one we know."""
    return None if record.path is None else pixels_of(Path(record.path), record.sha256)
