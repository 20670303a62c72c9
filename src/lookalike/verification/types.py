"""Results of verifying a pair of images."""

from dataclasses import dataclass
from typing import Final, Literal

Method = Literal["whole", "local"]
Label = Literal["copy", "variant", "similar"]
Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in relative coordinates: 0..1 of the width and of the height, from the upper left."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Share of the image inside the box, 0..1."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)


WHOLE: Final = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Transform:
    """The projective map from the stored image to the query, and what it says in words.

    `matrix` maps relative coordinates (0..1 of width and height, upright, uncropped) of the stored image to those of
    the query, up to scale: (x', y', w) = matrix @ (x, y, 1). `rotation` is in degrees, clockwise, -180..180, after
    mirroring left to right where `mirrored`. `scale` is query pixels per stored pixel, at full size. `crop` is the part
    of the stored image that the query shows, `border` the part of the query that shows the stored image.
    """

    matrix: Matrix
    mirrored: bool
    rotation: float
    scale: float
    crop: Box
    border: Box


@dataclass(frozen=True, slots=True)
class Verification:
    """Evidence that a query and a stored image show the same pixels.

    `agreement` is the share (0..1) of the textured pixels of the overlap whose surroundings correlate; None where there
    is nothing to compare (flat images). `query_coverage` and `stored_coverage` are the shares of either image inside
    the overlap. `differences` are boxes in the stored image where the two disagree, largest first. `method` is
    "whole" (image against image), "local" (aligned by local features) or None (not aligned). `textured` is the share
    of the overlap with texture.

    `differing` is the share of the textured windows inside `differences`, `largest` the number of windows of the
    largest one; `color` is the agreement of the colors, -1..1, None where one image has none; `tone` that of the
    brightness; `detail` the resolution of the comparison, in pixels of the shorter side of the overlap, `resolution`
    its share (0..1) of what the more detailed image has there at full size; `inliers` the number of matched points
    (None: not aligned by points).
    """

    agreement: float | None
    query_coverage: float
    stored_coverage: float
    transform: Transform | None
    differences: tuple[Box, ...]
    method: Method | None
    textured: float
    differing: float = 0.0
    largest: int = 0
    color: float | None = None
    tone: float | None = None
    detail: int = 0
    resolution: float = 0.0
    inliers: int | None = None


NOTHING: Final = Verification(None, 0.0, 0.0, None, (), None, 0.0)
"""Nothing to compare: one of the images is flat."""
