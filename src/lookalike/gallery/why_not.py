"""Why a stored image is not found by a query: each step of the search, checked for this one image."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lookalike.descriptions import describe
from lookalike.distances import pairwise
from lookalike.gallery.encode import encode_queries
from lookalike.gallery.explain import SEGMENTS, equal_segments
from lookalike.gallery.queries import PreparedQuery
from lookalike.gallery.search import Searcher, SearchRequest, StageTimer
from lookalike.pipeline import Pipeline
from lookalike.results import Diagnosis, DiagnosisStep
from lookalike.types import Border, Record, Verification
from lookalike.verification import label

MAX_RANK = 1000
"""Depth to which the rank of the image in an index is looked up."""
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
