"""A query and one stored image: compared in every pipeline, explained, and why the one does not find the other."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from lookalike import imaging
from lookalike.descriptions import describe
from lookalike.distances import pairwise
from lookalike.gallery.encode import encode_queries
from lookalike.gallery.queries import PreparedQuery
from lookalike.gallery.search import Searcher, SearchRequest, StageTimer, pixels_of
from lookalike.pipeline import Pipeline
from lookalike.results import Comparison, Diagnosis, DiagnosisStep, Explanation, HashComparison, PipelineComparison
from lookalike.types import Border, Evidence, Features, Pixels, Record, Transform, Verification
from lookalike.verification import label

SEGMENTS = 8
"""Segments of a hash that the published search compares."""
IMAGE_SIDE = 640
"""Pixels of the longer side of the images of an explanation."""
MAX_RANK = 1000
"""Depth to which the rank of the image in an index is looked up."""


def compare_images(
    a: PreparedQuery, b: PreparedQuery, pipelines: Sequence[Pipeline], verification: Verification | None
) -> Comparison:
    """Compare two images in these pipelines, in the views of a search; two stored ones in their own orientation.

    `verification` is the comparison of their pixels, None if those are not available.
    """
    compared = tuple(_compare_in(a, b, at, pipeline) for at, pipeline in enumerate(pipelines))
    same_bytes = a.prepared.sha256 == b.prepared.sha256
    copy = any(c.is_copy for c in compared)
    same_pixels = same_bytes or _same_pixels(a, b, copy=copy)
    evidence: Evidence = "copy" if copy else "similar"
    verified = verification is not None and verification.agreement is not None
    if verification is not None and verified:
        evidence, _ = label(verification)
    if same_pixels:
        evidence, verified = "exact", True
    return Comparison(same_bytes, same_pixels, evidence, compared, verified, verification)


def _same_pixels(a: PreparedQuery, b: PreparedQuery, *, copy: bool) -> bool:
    """Compare digests; the file of a stored image without one is decoded if the two could be the same."""
    if (a.prepared.width, a.prepared.height) != (b.prepared.width, b.prepared.height):
        return False
    if not copy and None in (a.prepared.pixels, b.prepared.pixels):
        return False
    digests = [side.prepared.pixels or pixels_of(side.source, side.prepared.sha256) for side in (a, b)]
    return digests[0] is not None and digests[0] == digests[1]


def _compare_in(a: PreparedQuery, b: PreparedQuery, at: int, pipeline: Pipeline) -> PipelineComparison:
    if a.rows is not None:
        a, b = b, a  # the distance is symmetric, and given features have one view only
    query = encode_queries([a], at, pipeline, orientations=True)
    stored = encode_queries([b], at, pipeline, orientations=False)
    calibration = pipeline.calibration
    if not (query.usable[0] and stored.usable[0]):
        return PipelineComparison(pipeline.name, None, calibration.threshold, None)
    raw = float(pairwise(pipeline.spec.metric, query.features[0], stored.features[0]).min())
    distance = round(min(raw / pipeline.spec.scale, 1.0), 6)
    rate = calibration.false_match_rate(distance)
    return PipelineComparison(pipeline.name, distance, calibration.threshold, rate)


def explain_pair(
    key: str,
    query: PreparedQuery,
    stored: PreparedQuery,
    pixels: tuple[Pixels | None, Pixels | None],
    comparison: Comparison,
    pipelines: Sequence[Pipeline],
) -> Explanation:
    """Explain the comparison of a query with a stored image; `pixels` are theirs, reduced, RGB, where available."""
    hashes = [
        _compare_hashes(query, stored, at, pipeline)
        for at, pipeline in enumerate(pipelines)
        if pipeline.spec.metric == "hamming"
    ]
    transform = None if comparison.verification is None else comparison.verification.transform
    aligned = None
    if transform is not None and pixels[0] is not None and pixels[1] is not None:
        aligned = imaging.thumbnail_of(align(pixels[1], transform, pixels[0].shape[1], pixels[0].shape[0]), IMAGE_SIDE)
    images = [None if side is None else imaging.thumbnail_of(side, IMAGE_SIDE) for side in pixels]
    return Explanation(
        key=key,
        comparison=comparison,
        hashes=tuple(found for found in hashes if found is not None),
        curves={p.name: p.calibration.anchors for p in pipelines},
        query_image=images[0],
        stored_image=images[1],
        aligned=aligned,
    )


def align(stored: Pixels, transform: Transform, width: int, height: int) -> Pixels:
    """The stored image `(h, w, 3)` in the frame of a query of `width` x `height` pixels, black around it."""
    to_query = np.array(transform.matrix)
    # Pillow maps each output pixel (of the query) to a pixel of the input
    scaled = np.diag([width, height, 1.0]) @ to_query @ np.diag([1 / stored.shape[1], 1 / stored.shape[0], 1.0])
    inverse = np.linalg.inv(scaled)
    coefficients = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    image = Image.fromarray(stored)
    size = width, height
    return np.asarray(image.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR))


def _compare_hashes(query: PreparedQuery, stored: PreparedQuery, at: int, pipeline: Pipeline) -> HashComparison | None:
    views = encode_queries([query], at, pipeline, orientations=True)
    other = encode_queries([stored], at, pipeline, orientations=False)
    if not (views.usable[0] and other.usable[0]):
        return None
    code = other.features[0, 0]
    best = views.features[0, int(pairwise("hamming", views.features[0], other.features[0])[:, 0].argmin())]
    differing = np.flatnonzero(np.unpackbits(best) != np.unpackbits(code)).tolist()
    return HashComparison(pipeline.name, best.tobytes(), code.tobytes(), tuple(differing), equal_segments(best, code))


def equal_segments(a: Features, b: Features) -> int:
    """The number of equal segments of two hashes, packed in bytes; the published system cuts 64 bits in 8 of them."""
    pieces = [np.unpackbits(code).reshape(SEGMENTS, -1) for code in (a, b)]
    return int((pieces[0] == pieces[1]).all(axis=1).sum())


FILTER, DISTANCE = "filter", "distance"


class Diagnoser:
    """Checks the steps of one search for one stored image.

    A step that is not passed does not end the diagnosis, because an image that one pipeline misses may be found by
    another. The last pipeline ranks everything, so an image that is not found was lost at one of its steps, or by the
    filter.
    """

    def __init__(self, pipelines: Sequence[Pipeline], searcher: Searcher) -> None:
        self._pipelines = pipelines
        self._searcher = searcher

    def diagnose(
        self,
        query: PreparedQuery,
        stored: PreparedQuery,
        request: SearchRequest,
        sequence: int,
        verification: Verification | None,
    ) -> Diagnosis:
        """Check every step, and where in the answer the image is."""
        record = stored.record
        assert record is not None  # it was read by its key
        steps = [_decoded("query", query), _decoded("stored image", stored), _digest_step(query, record)]
        if request.filter is not None and request.filter.conditions:
            passed = bool(np.isin(record.id, request.filter.ids()))
            steps.append(DiagnosisStep(FILTER, passed, "satisfied" if passed else "the attributes do not satisfy it"))
        of_pipeline: list[DiagnosisStep] = []
        for at in range(len(self._pipelines)):
            of_pipeline = self._pipeline_steps(query, stored, record.id, at, request)
            steps += of_pipeline
        steps.append(_verification_step(verification))
        request = replace(request, k=MAX_RANK, page=1)
        [answer] = self._searcher.answer([query], request, sequence, StageTimer())
        position = next((n for n, hit in enumerate(answer.hits, 1) if hit.id == record.id), None)
        hit = None if position is None else answer.hits[position - 1]
        lost_at = _lost_at(steps, of_pipeline) if position is None else None
        return Diagnosis(record.key, position, hit, lost_at, tuple(steps))

    def _pipeline_steps(
        self, query: PreparedQuery, stored: PreparedQuery, image_id: int, at: int, request: SearchRequest
    ) -> list[DiagnosisStep]:
        """The feature, the distance, its thresholds, and the rank in the index, of pipeline number `at`."""
        pipeline = self._pipelines[at]
        name = pipeline.name
        views = encode_queries([query], at, pipeline, orientations=request.orientations)
        other = encode_queries([stored], at, pipeline, orientations=False)
        for side, usable in (("query", views.usable[0]), ("stored image", other.usable[0])):
            if not usable:
                return [DiagnosisStep(f"{name}: feature", False, f"the {side} is too flat for this pipeline")]
        distances = pairwise(pipeline.spec.metric, views.features[0], other.features[0])[:, 0] / pipeline.spec.scale
        best = int(distances.argmin())
        distance = float(min(distances[best], 1.0))
        threshold = pipeline.calibration.threshold
        rate = pipeline.calibration.false_match_rate(distance)
        stated = "not measured" if rate is None else f"at most {rate:.1e}"
        detail = f"{distance:.4f} (copy threshold {threshold:.4f}; false-match rate {stated})"
        if pipeline.spec.metric == "hamming":
            detail += f"; {equal_segments(views.features[0, best], other.features[0, 0])} of {SEGMENTS} segments equal"
        steps = [DiagnosisStep(f"{name}: {DISTANCE}", distance <= threshold, detail)]
        if request.threshold is not None:
            passed = distance <= request.threshold
            steps.append(DiagnosisStep(f"{name}: threshold of the search", passed, f"{request.threshold:.4f}"))
        steps.append(self._rank_step(query, image_id, at, request, distance))
        return steps

    def _rank_step(
        self, query: PreparedQuery, image_id: int, at: int, request: SearchRequest, distance: float
    ) -> DiagnosisStep:
        pipeline = self._pipelines[at]
        views = encode_queries([query], at, pipeline, orientations=request.orientations)
        [ranked] = pipeline.search_views(views, MAX_RANK, tenant=request.tenant, filter=request.filter)
        name = f"{pipeline.name}: rank in the index"
        where = np.flatnonzero(ranked.ids == image_id)
        if len(where):
            rank = int(where[0]) + 1
            fetched = rank <= request.candidates
            return DiagnosisStep(name, fetched, f"{rank}; a search fetches {request.candidates} candidates")
        farthest = float(ranked.distances[-1]) if len(ranked.distances) else 0.0
        if len(ranked.ids) == MAX_RANK and distance >= farthest:
            return DiagnosisStep(name, False, f"not among the first {MAX_RANK:,}, which are within {farthest:.4f}")
        return DiagnosisStep(name, False, "missed by the index, although its distance would place it among the first")


def _decoded(name: str, query: PreparedQuery) -> DiagnosisStep:
    prepared = query.prepared
    detail = f"{prepared.width} x {prepared.height} {prepared.format}"
    return DiagnosisStep(name, True, detail + _border_text(prepared.border))


def _digest_step(query: PreparedQuery, record: Record) -> DiagnosisStep:
    same = query.prepared.sha256 == record.sha256
    return DiagnosisStep("digest", same, "the same bytes" if same else "other bytes")


def _border_text(border: Border) -> str:
    sides = [f"{side} {n}" for side in ("left", "top", "right", "bottom") if (n := getattr(border, side))]
    return f"; border cut: {', '.join(sides)} pixels" if sides else ""


def _verification_step(verification: Verification | None) -> DiagnosisStep:
    if verification is None:
        detail = "not possible: the pixels of the stored image are not available"
        return DiagnosisStep("verification", None, detail)
    evidence, _ = label(verification)
    detail = f"{evidence}: {describe(evidence, verification)}"
    if verification.agreement is not None:
        detail += f" (agreement {verification.agreement:.2f})"
    return DiagnosisStep("verification", evidence != "similar", detail)


def _lost_at(steps: Sequence[DiagnosisStep], of_last: Sequence[DiagnosisStep]) -> str | None:
    """The filter, or the first step of the last pipeline that was not passed; its copy threshold loses nothing."""
    lost = [s for s in steps if s.name == FILTER] + [s for s in of_last if not s.name.endswith(DISTANCE)]
    return next((step.name for step in lost if step.passed is False), None)
