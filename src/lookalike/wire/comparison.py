"""The objects of a comparison of two images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lookalike import results
from lookalike.types import Evidence
from lookalike.wire.objects import WireObject, convert, doc
from lookalike.wire.verification import FALSE_MATCH_RATE, Verification


@dataclass(frozen=True, slots=True)
class PipelineComparison(WireObject):
    """What one pipeline measured between two images."""

    name: str = field(metadata=doc("The pipeline."))
    distance: float | None = field(metadata=doc("0..1; null where an image is too flat for this pipeline."))
    copy: bool = field(metadata=doc("Whether the distance is within the threshold."))
    threshold: float = field(metadata=doc("The distance up to which two images count as copies."))
    false_match_rate: float | None = field(metadata=doc(FALSE_MATCH_RATE + ", or where the distance is null."))

    @classmethod
    def of(cls, measured: results.PipelineComparison) -> "PipelineComparison":
        """The object of a pipeline's comparison."""
        return convert(cls, measured, name=measured.pipeline, copy=measured.is_copy)


@dataclass(frozen=True, slots=True)
class Comparison(WireObject):
    """The verdict on two images, and what it rests on."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "same_bytes": False,
        "same_pixels": False,
        "evidence": "copy",
        "pipelines": [
            {"name": "phash", "distance": 0.03125, "copy": True, "threshold": 0.125, "false_match_rate": 9.506e-06}
        ],
        "verified": False,
        "verification": None,
    }

    same_bytes: bool
    same_pixels: bool
    evidence: Evidence
    pipelines: list[PipelineComparison]
    verified: bool = field(default=False, metadata=doc("Whether `evidence` rests on digests or on compared pixels."))
    verification: Verification | None = field(default=None, metadata=doc("The second image in place of the stored."))

    @classmethod
    def of(cls, comparison: results.Comparison) -> "Comparison":
        """The object of a comparison."""
        return convert(cls, comparison, verification=Verification.of(comparison.verification, comparison.evidence))
