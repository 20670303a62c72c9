"""Ranking: digest matches and each pipeline's matches, merged by image into one order that is stable over pages."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from lookalike import imaging
from lookalike.catalog import Catalog
from lookalike.errors import ImageRejected, Unavailable, UnsupportedQuery
from lookalike.gallery.probabilities import CERTAIN, HitProbabilities, QueryProbabilities
from lookalike.gallery.queries import PreparedQuery, QueryReader, encode_queries
from lookalike.gallery.recall_meter import RecallMeter
from lookalike.gallery.stored_sides import ComparedImage
from lookalike.gallery.verification import DEFAULT_BUDGET_MS, MAX_SIMILAR_VERIFIED, CandidateVerifier, ToVerify
from lookalike.gallery.windows import AUTO_MS, encode_parts, encode_whole, encode_windows
from lookalike.gallery_calibration import DENSITY_RANK, measure_of
from lookalike.imaging.windows import WINDOW_COUNT
from lookalike.pipeline import Calibration, Pipeline, Ranked
from lookalike.results import MAX_RESULTS, Deep
from lookalike.types import (
    NO_GUARANTEE,
    Answer,
    EncodedViews,
    Evidence,
    Hit,
    Pixels,
    Probability,
    Record,
    ResolvedFilter,
    Verification,
    VerificationReport,
)
from lookalike.verification import Small, label

VERIFIED_DEPTH = 64
"""Candidates among which those to verify are chosen, whatever page was requested; deeper pages choose among theirs."""
AGREEMENT_DIGITS = 2
"""Decimals of the agreement in the ranking; smaller differences say nothing, and the distance decides."""
_ORDER = {
    ("exact", True): 0,
    ("copy", True): 1,
    ("copy", False): 2,
    ("variant", True): 3,
    ("similar", True): 4,
}
"""Order of evidence, by whether a copy is verified."""
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
class Candidate:
    """Best match for one image. `log_rate` is log10 of the false-match rate of its distance, by which hits are ordered.

    `calibration` is that of the pipeline, None where it says nothing of this distance.
    """

    evidence: Evidence
    distance: float
    pipeline: str
    log_rate: float
    verified: bool = False
    verification: Verification | None = None
    calibration: Calibration | None = None

    @property
    def false_match_rate(self) -> float | None:
        """What is known of the false-match rate of its distance; see `Hit`."""
        return None if self.calibration is None else self.calibration.false_match_rate(self.distance)

    @property
    def rank(self) -> tuple[int, float, float]:
        """Sort key, lower is better: evidence; of verified copies the agreement; the false-match rate."""
        agreement = 0.0
        if self.evidence == "copy" and self.verified and self.verification is not None:
            agreement = round(self.verification.agreement or 0.0, AGREEMENT_DIGITS)
        return _ORDER[self.evidence, self.verified or self.evidence != "copy"], -agreement, self.log_rate

    @property
    def measured(self) -> tuple[str, float]:
        """The measure by which a calibration judges it, and its value."""
        return measure_of(self.evidence, self.pipeline, self.distance, self.verification)

    def decide(self, verification: Verification) -> None:
        """Replace the evidence of the distance by that of a comparison of pixels, if there was something to compare."""
        self.verification = verification
        if verification.agreement is not None:
            self.evidence, _ = label(verification)
            self.verified = True


def _exact(kind: str) -> Candidate:
    return Candidate("exact", 0.0, kind, -math.inf, verified=True)


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
        ranked = [_rank(of_query, records, request, radius) for of_query, radius in zip(found, radii, strict=True)]
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
                    of_query[record.id] = _exact(kind)
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
                _merge(of_query, pipeline, matches)
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
                found[i] = _exact("pixels")

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
        if any(candidate.evidence == "exact" for candidate in found.values()):  # a copy is found: see `verify`
            to_verify = [candidate for candidate in to_verify if candidate.copy_by_distance]
        image = self._verifier.image_of(query, self._reader)
        verified = self._verifier.verify(image, to_verify, request.verify_ms)
        for i, verification in verified.results.items():
            found[i].decide(verification)
        for i in verified.skipped:
            found[i].evidence = "similar"  # its pixels could be compared, but were not
        report = verified.report
        for encode, pipelines, small in self._further(query, request, stage_ms, until):
            if _has_copy(found) or image.pixels is None:
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

        First images of which the query is a part, then, in a deep search, those that are, or share, a part of it.
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


def _has_copy(found: Mapping[int, Candidate]) -> bool:
    return any(candidate.evidence in ("exact", "copy") for candidate in found.values())


def _is_deep(request: SearchRequest, query: PreparedQuery, encode_ms: float, left_ms: float) -> bool:
    """Whether to search with windows; for "auto", if encoding them is expected to fit into the time left."""
    if request.deep != "auto":
        return request.deep
    return query.rows is None and encode_ms * WINDOW_COUNT <= min(left_ms, AUTO_MS)


def _merge(found: dict[int, Candidate], pipeline: Pipeline, matches: Ranked) -> None:
    calibration = pipeline.calibration
    for i, distance in zip(matches.ids.tolist(), matches.distances.tolist(), strict=True):
        copy = distance <= calibration.threshold
        evidence: Evidence = "copy" if copy else "similar"
        log_rate = calibration.log_false_match_rate(distance)
        candidate = Candidate(evidence, distance, pipeline.name, log_rate, calibration=calibration)
        if i not in found or candidate.rank < found[i].rank:
            found[i] = candidate


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


def _rank(
    found: dict[int, Candidate], records: Mapping[int, Record], request: SearchRequest, radius: float | None
) -> list[Hit]:
    """Return hits in their final order; an image that was deleted during the search has no record and is omitted."""
    judge = None if request.probabilities is None else request.probabilities.of_query(radius)
    accepted = (i for i in found if i in records and _is_accepted(found[i], judge))
    order = sorted(accepted, key=lambda i: (found[i].rank, i))
    return [
        Hit(
            key=records[i].key,
            path=records[i].path,
            evidence=found[i].evidence,
            distance=round(found[i].distance, 6),
            pipeline=found[i].pipeline,
            attributes=records[i].attributes,
            width=records[i].width,
            height=records[i].height,
            id=i,
            tenant=records[i].tenant if request.tenant is None else None,
            verified=found[i].verified,
            verification=found[i].verification,
            frames=records[i].frames,
            truncated=records[i].truncated,
            probability=_probability(found[i], judge),
            false_match_rate=found[i].false_match_rate,
        )
        for i in order[: request.depth + 1]
    ]


def _is_accepted(candidate: Candidate, judge: QueryProbabilities | None) -> bool:
    return judge is None or candidate.evidence == "exact" or judge.accepts(*candidate.measured)


def _probability(candidate: Candidate, judge: QueryProbabilities | None) -> Probability | None:
    if judge is None:
        return None
    return CERTAIN if candidate.evidence == "exact" else judge.probability(*candidate.measured)


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
