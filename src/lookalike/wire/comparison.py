"""The objects of a comparison of two images, of their pixels too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lookalike import results, types
from lookalike.descriptions import describe
from lookalike.errors import BadSetting
from lookalike.types import Evidence
from lookalike.wire.objects import WireObject, convert, doc

FALSE_MATCH_RATE = (
    "The share (0..1) of pairs of unrelated images at most this far apart, never below the lowest that was measured; "
    "null where none was"
)


@dataclass(frozen=True, slots=True)
class Box(WireObject):
    """A rectangle of an image, in shares (0..1) of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Transform(WireObject):
    """How the query and the stored image are aligned."""

    matrix: list[list[float]] = field(
        metadata=doc("Homography, 3 rows of 3, from shares of the stored image's size to shares of the query's.")
    )
    mirrored: bool
    rotation: float = field(metadata=doc("Degrees, clockwise."))
    scale: float = field(metadata=doc("Query pixels per stored pixel."))
    crop: Box = field(metadata=doc("The part of the stored image that the query shows."))
    border: Box = field(metadata=doc("The part of the query that shows the stored image."))


@dataclass(frozen=True, slots=True)
class Verification(WireObject):
    """The comparison of the pixels of the query and a stored image, after alignment."""

    description: str = field(metadata=doc("The result in words."))
    agreement: float | None = field(
        metadata=doc("The share (0..1) of the textured pixels of the overlap that agree; null: nothing to compare.")
    )
    query_coverage: float = field(metadata=doc("The share of the query inside the overlap."))
    stored_coverage: float = field(metadata=doc("The share of the stored image inside the overlap."))
    transform: Transform | None = field(metadata=doc("Null where no alignment was found."))
    differences: list[Box] = field(metadata=doc("Boxes of the stored image in which the two differ."))
    method: Literal["whole", "local"] | None = field(
        metadata=doc("What aligned them: their whole areas, or local features.")
    )
    textured: float = field(metadata=doc("The share of the overlap that has texture to compare."))
    differing: float = field(metadata=doc("The share of the textured windows inside `differences`."))
    largest: int = field(metadata=doc("Windows of the largest of them."))
    color: float | None = field(metadata=doc("Agreement of the colors, -1..1; null where one image has none."))
    tone: float | None = field(metadata=doc("Agreement of the brightness, -1..1; null where one image has none."))
    detail: int = field(metadata=doc("Pixels of the shorter side of the overlap, at the resolution compared."))
    resolution: float = field(metadata=doc("Its share (0..1) of what the more detailed image has there."))
    inliers: int | None = field(metadata=doc("Matched points; null unless aligned by local features."))
    separate_captures: bool = field(
        default=False, metadata=doc("Whether, by their EXIF data, a camera took the two images separately: no copies.")
    )

    @classmethod
    def of(cls, verification: types.Verification | None, evidence: Evidence) -> "Verification | None":
        """The object of a verification."""
        if verification is None:
            return None
        return convert(cls, verification, description=describe(evidence, verification))

    def value(self) -> types.Verification:
        """The library's value of the object; raises BadSetting unless the matrix of the transform is 3 x 3."""
        if self.transform is not None and [len(row) for row in self.transform.matrix] != [3, 3, 3]:
            raise BadSetting("the matrix of a transform must be 3 x 3")
        return convert(types.Verification, self)


@dataclass(frozen=True, slots=True)
class VerificationReport(WireObject):
    """The numbers of candidates whose pixels were compared with the query's, and of those where they were not."""

    verified: int
    unavailable: int = field(metadata=doc("No file, thumbnail or record is at hand: the distance decides."))
    skipped: int = field(metadata=doc("Left when the budget was used up; none of them is called a copy."))
    budget_ms: float


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
