"""One image prepared for verification: small luma, small colors, border, and local features on demand."""

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadInput
from lookalike.imaging.borders import find_border
from lookalike.types import Box, Capture, Pixels
from lookalike.verification import xfeat
from lookalike.verification.agreement import Moments, moments
from lookalike.verification.raster import Grey, blur, luma_of, shrink, shrink_coarsely
from lookalike.verification.xfeat import LocalFeatures

MAX_PIXELS: Final = 320_000
"""Pixels of the luma that is kept: an A4 page at 475 x 672, where text of 11 points is 9 pixels high."""
WHOLE_SIDE: Final = 160
"""Pixels a side of the squashed image of the whole-against-whole step."""
COLOR_SIDE: Final = 64
"""Pixels of the longer side of the small color image."""

Scale = Literal["whole", "large", "small"]
SCALES: Final[Mapping[Scale, tuple[int, int]]] = {
    "whole": (xfeat.MAX_SIDE, xfeat.MAX_POINTS),
    "large": (640, 1200),
    "small": (224, xfeat.MAX_POINTS),
}
"""Pixels of the longer side, and points, of local features: of an image as a whole, of one that is compared with a part
of it, and of such a part. XFeat matches images of up to twice each other's scale; a part of a tenth of the area has a
third of the side."""


class Side:
    """One image of a pair, prepared. Made by `VerificationEncoder`; local features are computed once, when needed."""

    def __init__(
        self,
        luma: Pixels,
        colors: Pixels | None,
        width: int,
        height: int,
        *,
        border: Box | None = None,
        features: LocalFeatures | None = None,
        capture: Capture | None = None,
    ) -> None:
        """`luma` (h, w) and `colors` (h, w, 3) uint8: the uncropped upright image; `width`, `height`: its full size."""
        self.luma, self.colors, self.width, self.height = luma, colors, width, height
        self.capture = capture
        self._given_border, self._given_features = border, features
        self._features: dict[tuple[Scale, bool], LocalFeatures] = {}
        self._locks: dict[tuple[Scale, bool], threading.Lock] = {}

    @cached_property
    def border(self) -> Box:
        """The part of the image inside its flat border."""
        if self._given_border is not None:
            return self._given_border
        height, width = self.luma.shape
        cut = find_border(self.luma)
        return Box(cut.left / width, cut.top / height, 1 - cut.right / width, 1 - cut.bottom / height)

    @cached_property
    def whole(self) -> Grey:
        """The image inside its border, squashed to a square and blurred."""
        height, width = self.luma.shape
        box = self.border
        left, top = round(box.left * width), round(box.top * height)
        content = self.luma[
            top : max(round(box.bottom * height), top + 1), left : max(round(box.right * width), left + 1)
        ]
        return blur(shrink_coarsely(np.ascontiguousarray(content), WHOLE_SIDE, WHOLE_SIDE))

    @cached_property
    def moments(self) -> Moments:
        """Local moments of `whole`."""
        return moments(self.whole)

    def turned(self, turn: int) -> Moments:
        """Local moments of view number `turn` of `TURNS`; turning changes their places alone."""
        of = self.moments
        if turn == 0:
            return of
        parts = (of.image, of.mean, of.variance)
        return Moments(*(np.ascontiguousarray(turned_view(part, *TURNS[turn])) for part in parts))

    @cached_property
    def small(self) -> Grey:
        """`whole` at 32 x 32, of unit length without its mean."""
        step = WHOLE_SIDE // 32
        small = self.whole.reshape(32, step, 32, step).mean(axis=(1, 3))
        small = small - small.mean()
        return np.asarray(small / np.float32(np.linalg.norm(small) + 1e-6), np.float32)

    @cached_property
    def small_turns(self) -> NDArray[np.float32]:
        """The eight views of `small`, as rows."""
        return np.stack([turned_view(self.small, *turn).ravel() for turn in TURNS])

    @property
    def features(self) -> LocalFeatures:
        """Local features of the image."""
        return self.features_at("whole")

    def features_at(self, scale: Scale, *, mirrored: bool = False) -> LocalFeatures:
        """Local features at a scale, the same ones each time; those that a record holds, at any."""
        if self._given_features is not None and not mirrored:
            return self._given_features
        with self._locks.setdefault((scale, mirrored), threading.Lock()):
            if (scale, mirrored) not in self._features:
                self._features[scale, mirrored] = self._extract(*SCALES[scale], mirrored=mirrored)
            return self._features[scale, mirrored]

    def _extract(self, max_side: int, max_points: int, *, mirrored: bool) -> LocalFeatures:
        luma = np.ascontiguousarray(self.luma[:, ::-1]) if mirrored else self.luma
        found = xfeat.extract(luma, min(max_side, max(xfeat.MAX_SIDE, *luma.shape)), max_points)
        if not mirrored:
            return found
        points = found.points.copy()
        points[:, 0] = 1 - points[:, 0]
        return LocalFeatures(points, found.descriptors, found.signs_only)


class VerificationEncoder:
    """Prepares images for verification. Stateless and thread-safe."""

    def from_pixels(self, pixels: Pixels, full_width: int, full_height: int, *, capture: Capture | None = None) -> Side:
        """Prepare an image.

        Args:
            pixels: `(h, w, 3)` RGB or `(h, w)` luma, uint8, upright and uncropped, possibly at reduced scale.
            full_width: Width of the image at full size, in pixels.
            full_height: Its height.
            capture: When and how a camera took it, if that is known.

        Raises:
            BadInput: the array is of another shape or type, or empty.
        """
        if (
            pixels.dtype != np.uint8
            or pixels.ndim not in (2, 3)
            or pixels.shape[2:] not in ((), (3,))
            or not pixels.size
        ):
            raise BadInput(f"an image is (h, w, 3) or (h, w) uint8, not {pixels.shape} {pixels.dtype}")
        height, width = pixels.shape[:2]
        factor = min(1.0, (MAX_PIXELS / (width * height)) ** 0.5)
        small = shrink(pixels, max(1, round(width * factor)), max(1, round(height * factor)))
        if small.ndim == 2:
            return Side(small, None, full_width, full_height, capture=capture)
        factor = min(1.0, COLOR_SIDE / max(small.shape[:2]))
        size = (max(1, round(small.shape[1] * factor)), max(1, round(small.shape[0] * factor)))
        return Side(luma_of(small), shrink_coarsely(small, *size), full_width, full_height, capture=capture)


TURNS: Final = tuple((quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
"""The eight views: turned left by quarters, of the mirrored image where `mirrored`."""


def turned_view(image: Grey, quarters: int, mirrored: bool) -> Grey:
    """A view of an image, as `np.rot90` gives it, at a tenth of its cost."""
    if mirrored:
        image = image[:, ::-1]
    if quarters == 0:
        return image
    if quarters == 1:
        return image[:, ::-1].T
    return image[::-1, ::-1] if quarters == 2 else image.T[:, ::-1]
