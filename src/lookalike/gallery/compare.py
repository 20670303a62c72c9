"""Comparing two images in every pipeline."""

from collections.abc import Sequence

from lookalike.distances import pairwise
from lookalike.gallery.encode import encode_queries
from lookalike.gallery.queries import PreparedQuery
from lookalike.gallery.search import pixels_of
from lookalike.pipeline import Pipeline
from lookalike.results import Comparison, PipelineComparison
from lookalike.types import Evidence, Verification
from lookalike.verification import label


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
        a, b = b, a  # the distance is symmetric, and a stored image has one view only
    query = encode_queries([a], at, pipeline, orientations=True)
    stored = encode_queries([b], at, pipeline, orientations=False)
    calibration = pipeline.calibration
    if not (query.usable[0] and stored.usable[0]):
        return PipelineComparison(pipeline.name, None, calibration.threshold, None)
    raw = float(pairwise(pipeline.spec.metric, query.features[0], stored.features[0]).min())
    distance = round(min(raw / pipeline.spec.scale, 1.0), 6)
    rate = calibration.false_match_rate(distance)
    return PipelineComparison(pipeline.name, distance, calibration.threshold, rate)
