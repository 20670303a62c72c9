"""Two pictures side by side: what each generation says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.distance import pairwise
from lookalike.pipeline import Pipeline
from lookalike.types import Evidence, Prepared


@dataclass(frozen=True, slots=True)
class Measured:
    """One pipeline's distance (0..1) between the two, its threshold, and log10 of how often strangers come so close.

    `distance` is None where a picture's feature means nothing, as a flat picture's hash.
    """

    pipeline: str
    distance: float | None
    threshold: float
    rarity: float | None

    @property
    def is_copy(self) -> bool:
        """Whether this pipeline takes one for a copy of the other."""
        return self.distance is not None and self.distance <= self.threshold


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdict on two pictures, and what it rests on."""

    same_bytes: bool
    same_pixels: bool
    evidence: Evidence
    measured: tuple[Measured, ...]


def compare_prepared(a: Prepared, b: Prepared, pipelines: Sequence[Pipeline]) -> Comparison:
    """Compare two pictures that were prepared for these pipelines, in the same views as a search would."""
    measured = tuple(_measure(a, b, at, pipeline) for at, pipeline in enumerate(pipelines))
    same_bytes = a.sha256 == b.sha256
    same_pixels = same_bytes or (a.pixels is not None and a.pixels == b.pixels)
    evidence: Evidence = "copy" if any(m.is_copy for m in measured) else "similar"
    return Comparison(same_bytes, same_pixels, "exact" if same_pixels else evidence, measured)


def _measure(a: Prepared, b: Prepared, at: int, pipeline: Pipeline) -> Measured:
    query = pipeline.encoder.encode_views(np.stack([a.inputs[at]]))
    stored = pipeline.encoder.encode(np.stack([b.inputs[at]]))
    calibration = pipeline.calibration
    if not (query.usable[0] and stored.usable[0]):
        return Measured(pipeline.name, None, calibration.threshold, None)
    raw = float(pairwise(pipeline.spec.metric, query.features[0], stored.features).min())
    distance = round(min(raw / pipeline.spec.scale, 1.0), 6)
    return Measured(pipeline.name, distance, calibration.threshold, calibration.rarity(distance))
