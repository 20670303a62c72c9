"""Two images side by side: what each generation says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.distances import pairwise
from lookalike.gallery.queries import PreparedQuery, encode_queries
from lookalike.gallery.search import pixels_of
from lookalike.pipeline import Pipeline
from lookalike.types import Evidence


@dataclass(frozen=True, slots=True)
class PipelineComparison:
    """One pipeline's distance (0..1) between the two images, its copy threshold and its false-match rate there.

    `false_match_rate` is the share (0..1) of pairs of unrelated images at most this far apart. Both are None where an
    image has no usable feature, as a flat image has no hash.
    """

    pipeline: str
    distance: float | None
    threshold: float
    false_match_rate: float | None

    @property
    def is_copy(self) -> bool:
        """Whether this pipeline takes one for a copy of the other."""
        return self.distance is not None and self.distance <= self.threshold


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdict on two images, and what it rests on."""

    same_bytes: bool
    same_pixels: bool
    evidence: Evidence
    measured: tuple[PipelineComparison, ...]


def compare_queried(a: PreparedQuery, b: PreparedQuery, pipelines: Sequence[Pipeline]) -> Comparison:
    """Compare two images in these pipelines, in the same views as a search would; two stored ones as they lie."""
    measured = tuple(_measure(a, b, at, pipeline) for at, pipeline in enumerate(pipelines))
    same_bytes = a.prepared.sha256 == b.prepared.sha256
    copy = any(m.is_copy for m in measured)
    same_pixels = same_bytes or _same_pixels(a, b, copy=copy)
    evidence: Evidence = "copy" if copy else "similar"
    return Comparison(same_bytes, same_pixels, "exact" if same_pixels else evidence, measured)


def _same_pixels(a: PreparedQuery, b: PreparedQuery, *, copy: bool) -> bool:
    """By digest; of a stored image without one the file is decoded where the two could be the same."""
    if (a.prepared.width, a.prepared.height) != (b.prepared.width, b.prepared.height):
        return False
    if not copy and None in (a.prepared.pixels, b.prepared.pixels):
        return False
    digests = [side.prepared.pixels or pixels_of(side.source, side.prepared.sha256) for side in (a, b)]
    return digests[0] is not None and digests[0] == digests[1]


def _measure(a: PreparedQuery, b: PreparedQuery, at: int, pipeline: Pipeline) -> PipelineComparison:
    if a.rows is not None:
        a, b = b, a  # the distance is the same, and what is stored has one view
    query = encode_queries([a], at, pipeline, orientations=True)
    stored = encode_queries([b], at, pipeline, orientations=False)
    calibration = pipeline.calibration
    if not (query.usable[0] and stored.usable[0]):
        return PipelineComparison(pipeline.name, None, calibration.threshold, None)
    raw = float(pairwise(pipeline.spec.metric, query.features[0], stored.features[0]).min())
    distance = round(min(raw / pipeline.spec.scale, 1.0), 6)
    rate = float(f"{min(10 ** calibration.rarity(distance), 1.0):.4g}")  # an estimate: more digits mean nothing
    return PipelineComparison(pipeline.name, distance, calibration.threshold, rate)
