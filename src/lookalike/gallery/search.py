"""Search: queries in batches, digest matches, the matches of each pipeline, and verification of the best."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Literal

import numpy as np

from lookalike import imaging
from lookalike.catalog import Catalog
from lookalike.errors import ImageRejected, Unavailable, UnsupportedQuery
from lookalike.gallery.encode import AUTO_MS, encode_parts, encode_queries, encode_whole, encode_windows
from lookalike.gallery.index_sync import OpenPipeline, ensure_fresh
from lookalike.gallery.presence import FilePresence
from lookalike.gallery.probabilities import CalibrationReader, HitProbabilities
from lookalike.gallery.queries import QUERY_BATCH, PreparedQuery, QueryReader, kind_of, read_features
from lookalike.gallery.ranking import Candidate, exact_match, has_copy, merge, rank
from lookalike.gallery.recall_meter import RecallMeter
from lookalike.gallery.stored_sides import ComparedImage
from lookalike.gallery.verification import DEFAULT_BUDGET_MS, MAX_SIMILAR_VERIFIED, CandidateVerifier, ToVerify
from lookalike.gallery_calibration import DENSITY_RANK
from lookalike.imaging.windows import WINDOW_COUNT
from lookalike.pipeline import Pipeline, Ranked
from lookalike.results import MAX_RESULTS, Deep, Failure, Query, SearchOptions
from lookalike.types import (
    NO_GUARANTEE,
    Answer,
    EncodedViews,
    Pixels,
    Record,
    ResolvedFilter,
    VerificationReport,
)
from lookalike.verification import Small

VERIFIED_DEPTH = 64
"""Candidates among which those to verify are chosen, whatever page was requested; deeper pages choose among theirs."""
MAX_CONFIRMED = 4
"""Best copies that are considered for a comparison of pixels, for which those of the query's size are decoded."""
NOT_COMPARED = "the image shows one color or a plain gradient, of which a feature says nothing"
"""Why a pipeline compared nothing with a query."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Options of a batch of queries, resolved against the catalog.

    `threshold` drops hits farther than this (0..1); `probabilities` judges hits, and drops those that are not sure
    enough, if the gallery was calibrated; `fresh` searches everything flushed, also on lagging replicas;
    `verify` compares the pixels of the best candidates with the query's, for at most about `verify_ms` milliseconds;
    `deep` also searches with windows of the query where no copy was verified ("auto": if that takes
    about a second at most). `excluded` are ids that are no hits, by the digest of the query's bytes.
    """

    k: int = 10
    page: int = 1
    tenant: int | None = None
    filter: ResolvedFilter | None = None
    threshold: float | None = None
    orientations: bool = True
    fresh: bool = False
    verify: bool = True
    verify_ms: float = DEFAULT_BUDGET_MS
    deep: Deep = False
    probabilities: HitProbabilities | None = None
    excluded: Mapping[bytes, frozenset[int]] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Number of results up to the end of this page."""
        return self.k * self.page

    @property
    def candidates(self) -> int:
        """Candidates to fetch: one more shows whether a page follows; those verified must not depend on the page."""
        excluded = max(map(len, self.excluded.values()), default=0)
        return max(self.depth, VERIFIED_DEPTH if self.verify else max(MAX_CONFIRMED, DENSITY_RANK)) + 1 + excluded

    def check(self) -> None:
        """Raise UnsupportedQuery for options that are out of range."""
        if self.k < 1 or self.page < 1:
            raise UnsupportedQuery(f"k and page must be at least 1, not k={self.k}, page={self.page}")
        if self.depth > MAX_RESULTS:
            raise UnsupportedQuery(
                f"page {self.page} of {self.k} reaches result {self.depth}; no more than {MAX_RESULTS} can be paged "
                "through: narrow the search by a filter or a threshold"
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UnsupportedQuery(f"the threshold must be in 0..1, not {self.threshold}")
        if self.verify_ms < 0:
            raise UnsupportedQuery(f"verify_ms must be 0 or more milliseconds, not {self.verify_ms}")


@dataclass(slots=True)
class StageTimer:
    """Milliseconds by stage, of a whole batch."""

    ms: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def mark(self, stage: str) -> None:
        """Add the time since the last mark to a stage."""
        now = time.perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._since) * 1000
        self._since = now

    def each(self, n: int) -> dict[str, float]:
        return {stage: round(ms / n, 3) for stage, ms in self.ms.items()}


@dataclass(frozen=True, slots=True)
class SearchRun:
    """Answers the queries of one search in their order.

    `known` are the names of the gallery's pipelines, `opened` those that are searched, `windowed` those of windows of
    stored images; `options` are the caller's.
    """

    catalog: Catalog
    verifier: CandidateVerifier
    calibrations: CalibrationReader
    recall_meter: RecallMeter | None
    known: Sequence[str]
    opened: Sequence[OpenPipeline]
    windowed: Sequence[OpenPipeline]
    reader: QueryReader
    options: SearchOptions

    def answers(self, queries: Iterable[Query], request: SearchRequest) -> Iterator[tuple[Query, Answer | Failure]]:
        """Yield each query with its answer or error; runs of images, stored images and features are batched apart."""
        for kind, run in groupby(queries, kind_of):
            if isinstance(kind, tuple):
                yield from self._answer_features(run, kind, request)
                continue
            read = (self.reader.read_stored if kind == "stored" else self.reader.read_images)(run)
            yield from self._answer_run(read, self.opened, request)

    def _answer_features(
        self,
        queries: Iterable[Query],
        names: tuple[str, ...],
        request: SearchRequest,
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """Answer queries by features of these pipelines; there are no pixels to compare."""
        chosen = [o for o in self.opened if o.pipeline.name in names]
        pipelines, max_false = [o.pipeline for o in chosen], self.options.get("max_false")
        probabilities = self.calibrations.probabilities(request.tenant, pipelines, max_false, verify=False)
        request = replace(request, verify=False, probabilities=probabilities)
        read = read_features(queries, pipelines, self.known, self.options.get("pipelines") or ())
        if request.deep is True:
            reason = "deep searches with parts of an image, and the query has features only; leave it out"
            read = ((query, UnsupportedQuery(reason)) for query in queries)
        yield from self._answer_run(read, chosen, request)

    def _answer_run(
        self,
        read: Iterator[tuple[Query, PreparedQuery | Failure]],
        opened: Sequence[OpenPipeline],
        request: SearchRequest,
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        pipelines = [o.pipeline for o in opened]
        windowed = self.windowed if request.verify else ()
        searcher = Searcher(
            self.catalog,
            pipelines,
            self.verifier,
            self.reader,
            recall_meter=self.recall_meter,
            windowed=[o.pipeline for o in windowed],
        )
        first = "decode"
        stages = StageTimer()
        while batch := list(islice(read, QUERY_BATCH)):
            prepared = [result for _, result in batch if isinstance(result, PreparedQuery)]
            if prepared and prepared[0].rows is not None:
                first = "look_up"
            stages.mark(first)
            sequence = ensure_fresh([*opened, *windowed], self.options.get("min_sequence")) if prepared else 0
            stages.mark("follow")
            found = searcher.answer(prepared, request, sequence, stages) if prepared else []
            presence = FilePresence(lambda: self.catalog.roots.of_tenant(None))
            answers = map(presence.mark_answer, found)
            for query, result in batch:
                yield query, next(answers) if isinstance(result, PreparedQuery) else result
            stages = StageTimer()


class Searcher:
    """Answers batches of prepared queries from a catalog and pipelines that are up to date with it.

    The last pipeline ranks everything; earlier ones contribute only matches within their copy threshold, beyond which
    the distance of hashes carries no information. Hits are ordered by evidence (exact, copy, similar), and within that
    by false-match rate, the lowest over the pipelines. That is a minimum of functions that rise with each pipeline's
    distance, so the first n of k results are the same for every k: pages are stable and complete (if the index is
    exact).

    """

    def __init__(
        self,
        catalog: Catalog,
        pipelines: Sequence[Pipeline],
        verifier: CandidateVerifier,
        reader: QueryReader,
        *,
        recall_meter: RecallMeter | None = None,
        windowed: Sequence[Pipeline] = (),
    ) -> None:
        """`windowed` are pipelines of windows of stored images, which are searched where no copy was found."""
        self._catalog = catalog
        self._pipelines = pipelines
        self._verifier = verifier
        self._reader = reader
        self._recall_meter = recall_meter
        self._windowed = windowed

    def answer(
        self, queries: Sequence[PreparedQuery], request: SearchRequest, sequence: int, stages: StageTimer
    ) -> list[Answer]:
        """Return an answer for each query; `sequence` is the change that the indexes have reached."""
        exact = self._digest_matches(queries, request)
        stages.mark("digest")
        found: list[dict[int, Candidate]] = [{} for _ in queries]
        exact_within, radii, failed = self._search_pipelines(queries, request, found, sequence, stages)
        engine_filter = request.filter is not None and request.filter.engine_filter
        for of_query, same in zip(found, exact, strict=True):
            # only the engine can evaluate its own filter, so a digest match that it did not return may not pass it
            of_query.update({i: match for i, match in same.items() if not engine_filter or i in of_query})
        for query, of_query in zip(queries, found, strict=True):
            for i in request.excluded.get(query.prepared.sha256, ()):
                of_query.pop(i, None)
        records = self._catalog.images.by_ids(_top_ids(found, request))
        for query, of_query in zip(queries, found, strict=True):
            self._confirm(query, of_query, records)
        stages.mark("merge")
        reports: list[VerificationReport | None] = [None] * len(queries)
        if request.verify:
            reports = [
                self._verify_query(query, of_query, records, request, stages.ms, failed)
                for query, of_query in zip(queries, found, strict=True)
            ]
            stages.mark("verify")
        judge = request.probabilities
        ranked = [
            rank(
                of_query,
                records,
                None if judge is None else judge.of_query(radius),
                request.depth + 1,
                with_tenant=request.tenant is None,
            )
            for of_query, radius in zip(found, radii, strict=True)
        ]
        first, end = request.depth - request.k, request.depth
        return [
            Answer(
                hits=tuple(hits[first:end]),
                page=request.page,
                page_size=request.k,
                more=len(hits) > end,
                exact_within=within,
                sequence=sequence,
                took_ms=stages.each(len(queries)),
                failed=failed,
                verification=report,
                not_compared={name: NOT_COMPARED for name, distance in within.items() if distance is None},
                frames=query.prepared.frames,
                truncated=query.prepared.truncated,
                radius=radius,
            )
            for query, hits, within, report, radius in zip(queries, ranked, exact_within, reports, radii, strict=True)
        ]

    def _digest_matches(self, queries: Sequence[PreparedQuery], request: SearchRequest) -> list[dict[int, Candidate]]:
        """Find images with the same bytes or the same pixels, by digest, in the catalog."""
        found: list[dict[int, Candidate]] = [{} for _ in queries]
        conditions = () if request.filter is None else request.filter.conditions
        kinds: tuple[Literal["pixels", "sha256"], ...] = ("pixels", "sha256")
        for kind in kinds:  # the stronger evidence last, so that it replaces the weaker
            digests = [getattr(query.prepared, kind) for query in queries]
            known = [digest for digest in digests if digest]  # a query by features has none
            if not known:
                continue
            same = self._catalog.images.by_digest(
                kind, request.tenant, known, conditions=conditions, limit=request.candidates
            )
            for digest, of_query in zip(digests, found, strict=True):
                for record in same.get(digest, ()):
                    of_query[record.id] = exact_match(kind)
        return found

    def _search_pipelines(
        self,
        queries: Sequence[PreparedQuery],
        request: SearchRequest,
        found: list[dict[int, Candidate]],
        sequence: int,
        stages: StageTimer,
    ) -> tuple[list[dict[str, float | None]], list[float | None], dict[str, str]]:
        """Search every pipeline, and keep the best match of each image in `found`.

        Returns, for each query, the distance up to which each pipeline was exact, and its radius (see `_radius`) in the
        last one, and the errors of those that are unavailable; raises Unavailable if all are.
        """
        exact_within: list[dict[str, float | None]] = [{} for _ in queries]
        radii: list[float | None] = [None] * len(queries)
        failed: dict[str, Unavailable] = {}
        for at, pipeline in enumerate(self._pipelines):
            limits = [request.threshold] if request.threshold is not None else []
            if pipeline is not self._pipelines[-1]:
                limits.append(pipeline.calibration.threshold)
            max_distance = min(limits, default=None)
            try:
                encoded = encode_queries(queries, at, pipeline, orientations=request.orientations)
                ranked = pipeline.search_views(
                    encoded,
                    request.candidates,
                    tenant=request.tenant,
                    filter=request.filter,
                    max_distance=max_distance,
                    fresh=request.fresh,
                )
            except Unavailable as error:
                failed[pipeline.name] = error
                for within in exact_within:
                    within[pipeline.name] = NO_GUARANTEE
                stages.mark(pipeline.name)
                continue
            if self._recall_meter is not None and request.filter is None:
                self._recall_meter.offer(
                    pipeline,
                    encoded,
                    ranked,
                    request.candidates,
                    tenant=request.tenant,
                    max_distance=max_distance,
                    sequence=sequence,
                )
            for of_query, within, matches in zip(found, exact_within, ranked, strict=True):
                within[pipeline.name] = matches.exact_within
                merge(of_query, pipeline, matches)
            if pipeline is self._pipelines[-1]:
                radii = [_radius(query, of_query, request) for query, of_query in zip(queries, ranked, strict=True)]
            stages.mark(pipeline.name)
        if len(failed) == len(self._pipelines):
            raise next(iter(failed.values()))
        return exact_within, radii, {name: str(error) for name, error in failed.items()}

    def _confirm(self, query: PreparedQuery, found: dict[int, Candidate], records: Mapping[int, Record]) -> None:
        """Compare the pixels of the best copies of the query's size; files without a stored digest are decoded.

        What is truncated, or has another number of frames, is never exact.
        """
        shape = (query.prepared.width, query.prepared.height, query.prepared.frames, False)
        pixels = query.prepared.pixels
        if query.prepared.truncated:
            return
        copies = (i for i, f in found.items() if f.evidence == "copy" and i in records)
        for i in sorted(copies, key=lambda i: (found[i].rank, i))[:MAX_CONFIRMED]:
            record = records[i]
            same_shape = (record.width, record.height, record.frames, record.truncated) == shape
            if not same_shape or (record.pixels and query.prepared.pixels):
                continue
            stored = record.pixels or pixels_of(self._verifier.original(record), record.sha256)
            if stored is None:
                continue
            pixels = pixels or pixels_of(query.source, query.prepared.sha256)
            if stored == pixels:
                found[i] = exact_match("pixels")

    def _verify_query(
        self,
        query: PreparedQuery,
        found: dict[int, Candidate],
        records: dict[int, Record],
        request: SearchRequest,
        stage_ms: Mapping[str, float],
        failed: dict[str, str],
    ) -> VerificationReport:
        """Verify the best candidates, then those of windows, and replace the evidence of distances.

        Pipelines of windows that are not available are added to `failed`.
        """
        until = time.monotonic() + request.verify_ms / 1000
        best = sorted((i for i in found if i in records), key=lambda i: (found[i].rank, i))
        best = [i for i in best[: request.candidates - 1] if found[i].evidence != "exact"]
        to_verify = [ToVerify(records[i], found[i].evidence == "copy") for i in best]
        wants_all = request.deep is True or query.record is not None  # an image of the gallery is found in any case
        if not wants_all and any(candidate.evidence == "exact" for candidate in found.values()):
            to_verify = [candidate for candidate in to_verify if candidate.copy_by_distance]
        image = self._verifier.image_of(query, self._reader)
        verified = self._verifier.verify(image, to_verify, request.verify_ms, wants_all=wants_all)
        for i, verification in verified.results.items():
            found[i].decide(verification)
        for i in verified.skipped:
            found[i].evidence = "similar"  # its pixels could be compared, but were not
        report = verified.report
        for encode, pipelines, small in self._further(query, request, stage_ms, until):
            if has_copy(found) or image.pixels is None:
                break
            for pipeline in pipelines:
                try:
                    encoded = encode(image.pixels, pipeline)
                    report += self._verify_nearest(image, found, records, request, pipeline, encoded, small)
                except Unavailable as error:
                    failed[pipeline.name] = str(error)
        return report

    def _further(
        self, query: PreparedQuery, request: SearchRequest, stage_ms: Mapping[str, float], until: float
    ) -> Iterator[tuple[Callable[[Pixels, Pipeline], EncodedViews], Sequence[Pipeline], Small]]:
        """How further candidates are sought while no copy was found: an encoding of the query, pipelines, and a part.

        First images of which the query is a part; in a deep search, also those that are a part of it or share one.
        """
        windowed = () if request.filter is not None and request.filter.engine_filter else self._windowed
        yield encode_whole, windowed, "query"
        network = next((p for p in reversed(self._pipelines) if p.spec.metric == "cosine"), None)
        left_ms = (until - time.monotonic()) * 1000
        if network is not None and _is_deep(request, query, stage_ms.get(network.name, 0.0), left_ms):
            yield encode_windows, [network], "stored"
            yield encode_parts, windowed, "query"

    def _verify_nearest(
        self,
        image: ComparedImage,
        found: dict[int, Candidate],
        records: dict[int, Record],
        request: SearchRequest,
        pipeline: Pipeline,
        encoded: EncodedViews,
        small: Small,
    ) -> VerificationReport:
        """Verify the images that are nearest to parts of the query, or by parts of theirs; add those that are alike.

        The distance of a window has no calibrated false-match rate, so that only a verified match counts.
        """
        excluded = request.excluded.get(image.sha256, ())
        [ranked] = pipeline.search_views(
            encoded,
            MAX_SIMILAR_VERIFIED + len(excluded),
            tenant=request.tenant,
            filter=request.filter,
            fresh=request.fresh,
        )
        nearest = zip(ranked.ids.tolist(), ranked.distances.tolist(), strict=True)
        distances = dict([pair for pair in nearest if pair[0] not in excluded][:MAX_SIMILAR_VERIFIED])
        new = [i for i in distances if i not in found or found[i].evidence == "similar"]
        records.update(self._catalog.images.by_ids([i for i in new if i not in records]))
        to_verify = [ToVerify(records[i], copy_by_distance=False) for i in new if i in records]
        verified = self._verifier.verify(image, to_verify, request.verify_ms, small=small)
        for i, verification in verified.results.items():
            candidate = Candidate("similar", distances[i], pipeline.name, 0.0)
            candidate.decide(verification)
            if candidate.evidence != "similar":
                found[i] = candidate
        return verified.report


def _is_deep(request: SearchRequest, query: PreparedQuery, encode_ms: float, left_ms: float) -> bool:
    """Whether to search with windows; for "auto", if encoding them is expected to fit into the time left."""
    if request.deep != "auto":
        return request.deep
    return query.rows is None and encode_ms * WINDOW_COUNT <= min(left_ms, AUTO_MS)


def _radius(query: PreparedQuery, matches: Ranked, request: SearchRequest) -> float | None:
    """Return the distance of the image of rank `DENSITY_RANK`; if there are fewer, the largest that was searched.

    None where nothing was compared.
    """
    if matches.exact_within is None:
        return None
    distances = matches.distances
    if excluded := request.excluded.get(query.prepared.sha256):
        distances = distances[~np.isin(matches.ids, list(excluded))]
    if len(distances) >= DENSITY_RANK:
        return float(distances[DENSITY_RANK - 1])
    return 1.0 if request.threshold is None else request.threshold


def _top_ids(found: Sequence[dict[int, Candidate]], request: SearchRequest) -> list[int]:
    """Return the ids whose records are needed: the best of each query, up to one beyond its page."""
    top: set[int] = set()
    for of_query in found:
        best = sorted(of_query, key=lambda i: (of_query[i].rank, i))
        top.update(best[: request.candidates])
    return list(top)


def pixels_of(source: Path | bytes | None, sha256: bytes) -> bytes | None:
    """Return the digest of an image's pixels, or None if it cannot be read or no longer has the digest `sha256`."""
    if source is None:
        return None
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        prepared = imaging.prepare(data, (), want_pixels=True)
    except (OSError, ImageRejected):
        return None
    return prepared.pixels if prepared.sha256 == sha256 else None
