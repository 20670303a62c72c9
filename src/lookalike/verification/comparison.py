"""Comparison of two images under a homography, in the frame of the stored one."""

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Pixels
from lookalike.verification.agreement import AgreementMap, Moments, agreement, moments
from lookalike.verification.alignment import (
    TRACKED_CORNERS,
    UNIT_CORNERS,
    Homography,
    climb,
    displacement,
    find_corners,
    is_plausible,
    normalised,
    track,
)
from lookalike.verification.raster import blur, sharpness, shrink, soften, warp, window_mean
from lookalike.verification.side import Side

MIN_FRAME: Final = 24
"""Pixels a side below which nothing is compared."""
TRIM: Final = 2
"""Pixels cut from the rim of both aligned images: a row of a frame there would disagree along the whole side."""
_INNER: Final = (slice(TRIM, -TRIM), slice(TRIM, -TRIM))
ALIGNED: Final = 0.998
"""Agreement from which an alignment is not refined."""
MAX_REFINEMENTS: Final = 3
MIN_GAIN: Final = 0.02
"""Gain of agreement by a refinement from which another one is tried."""
MIN_DISPLACEMENT: Final = 0.25
"""Pixels by which a correction must move a corner of the frame to be tried: less than what the blur hides."""
MAX_IDENTITY_ERROR: Final = 1e-6
"""Difference of the numbers of a matrix from the identity up to which no pixel moves visibly, in any image."""
_IDENTITY: Final = np.eye(3)
MAX_RECENT: Final = 8
"""Images whose moments and corners are kept, at most 4 MB each: a few a core."""
MIN_BLUR: Final = 1.6
"""Ratio of sharpness from which the duller image counts as blurred."""
PARTLY_ALIGNED, NEARLY_ALIGNED = 0.5, 0.97
"""Range of agreement in which, where corners don't help, correlation is maximised."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two images compared under a homography, in a frame of `width` x `height` pixels.

    `overlap` is the share of the stored image that the query shows.
    """

    homography: Homography
    agreement: AgreementMap
    overlap: float
    width: int
    height: int

    @property
    def share(self) -> float:
        """The share of textured pixels that agree, 0 where there are too few."""
        return self.agreement.share or 0.0

    @property
    def detail(self) -> int:
        """Pixels of the shorter side of the overlap."""
        return round(min(self.width, self.height) * math.sqrt(self.overlap))

    def resolution(self, query: Side, stored: Side) -> float:
        """The scale of the comparison, of the full size of the more detailed image, at most 1."""
        scale = full_scale(query, stored, self.homography)
        return min(self.width / max(stored.width, stored.width * scale), 1.0)


def compare(query: Side, stored: Side, homography: Homography, *, refine: bool = True) -> Compared | None:
    """Compare at the resolution of the coarser image; None where the overlap is too small to see anything.

    Without `refine` the images are compared as `homography` aligns them, neither aligned nor sharpened alike.
    """
    frame = _Frame.fitting(query, stored, homography)
    if frame is None:
        return None
    source, reference = frame.images(query, stored)
    target = _recent.of(stored) if reference is stored.luma else _Reference(reference)
    found = _compare(frame, source, target, homography)
    if refine:
        found = _refined(frame, source, target, found)
        if not _is_aligned(found) and (found.agreement.share or 0.0) > PARTLY_ALIGNED:
            found = _equally_sharp(reference, found)
    overlap = 1.0 if found.seen is None else float(np.count_nonzero(found.seen) / found.seen.size)
    return Compared(found.homography, found.agreement, overlap, frame.width, frame.height)


class _Reference:
    """The stored image at the resolution of a comparison; two threads may compute what it keeps both."""

    def __init__(self, luma: Pixels) -> None:
        self.luma = luma

    @cached_property
    def moments(self) -> Moments:
        """Local moments of the trimmed image."""
        return moments(blur(self.luma[_INNER]))

    @cached_property
    def corners(self) -> NDArray[np.float32]:
        """Corners to track."""
        return find_corners(self.luma)


class _RecentReferences:
    """The images that others were compared with last: an image is compared with its copies one by one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[Side, _Reference] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, side: Side) -> _Reference:
        """The image at the size that it is kept at."""
        with self._lock:
            known = self._known.setdefault(side, _Reference(side.luma))
            self._known.move_to_end(side)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return known


_recent = _RecentReferences(MAX_RECENT)


@dataclass(frozen=True, slots=True)
class _Warped:
    """The query warped onto the stored image, the pixels it shows (None: all), and how they agree there."""

    homography: Homography
    warped: Pixels
    seen: NDArray[np.bool_] | None
    agreement: AgreementMap


def _is_aligned(found: _Warped) -> bool:
    return found.agreement.share is not None and found.agreement.share >= ALIGNED


def _refined(frame: "_Frame", source: Pixels, reference: _Reference, found: _Warped) -> _Warped:
    """The comparison under the best alignment that small corrections lead to."""
    for _ in range(MAX_REFINEMENTS):
        better = None if _is_aligned(found) else _corrected(frame, source, reference, found)
        if better is None:
            break
        gain = (better.agreement.share or 0.0) - (found.agreement.share or 0.0)
        found = better
        if gain < MIN_GAIN:
            break
    return found


def _corrected(frame: "_Frame", source: Pixels, reference: _Reference, found: _Warped) -> _Warped | None:
    """The comparison under a better alignment; None where none is found."""
    share = found.agreement.share or 0.0
    for correct in (_track, _climb):
        if correct is _climb and not PARTLY_ALIGNED <= share <= NEARLY_ALIGNED:
            break
        correction = correct(found, reference)
        if correction is None:
            continue
        if displacement(correction, frame.width, frame.height) < MIN_DISPLACEMENT:
            break  # aligned: what disagrees does so for other reasons
        to_relative = _to_relative(frame.width, frame.height)
        corrected = normalised(found.homography @ to_relative @ correction @ np.linalg.inv(to_relative))
        if corrected is not None and is_plausible(corrected):
            again = _compare(frame, source, reference, corrected)
            if (again.agreement.share or 0.0) > share:
                return again
    return None


def _track(found: _Warped, reference: _Reference) -> Homography | None:
    corners = reference.corners
    if found.seen is not None and len(corners):
        across, down = corners.astype(np.intp).T
        corners = corners[found.seen[down, across]]
    return track(found.warped, reference.luma, corners[:TRACKED_CORNERS])


def _climb(found: _Warped, reference: _Reference) -> Homography | None:
    return climb(found.warped, reference.luma, None if found.seen is None else found.seen.view(np.uint8))


def _compare(frame: "_Frame", source: Pixels, reference: _Reference, homography: Homography) -> _Warped:
    """Warp the query's luma onto the stored image and compare."""
    warped = _warped(source, frame.matrix(homography, source), frame.width, frame.height)
    seen = _overlap(homography, frame.width, frame.height)
    found = agreement(moments(blur(warped[_INNER])), reference.moments, _clear_of(seen))
    return _Warped(homography, warped, seen, found)


def _warped(source: Pixels, matrix: Homography, width: int, height: int) -> Pixels:
    """The image seen through `matrix`; itself where that maps each pixel to itself."""
    if source.shape[:2] == (height, width) and np.abs(matrix - _IDENTITY).max() < MAX_IDENTITY_ERROR:
        return source
    return warp(source, matrix, width, height)


def _equally_sharp(reference: Pixels, found: _Warped) -> _Warped:
    """The comparison with the sharper image blurred as the other one is, where that agrees better."""
    if found.seen is None:
        query, stored = sharpness(found.warped), sharpness(reference)
    else:
        inside = np.ix_(found.seen.any(axis=1), found.seen.any(axis=0))
        query, stored = sharpness(found.warped[inside]), sharpness(reference[inside])
    if not 0 < MIN_BLUR * min(query, stored) < max(query, stored):
        return found
    first, second = found.warped, reference
    if query > stored:
        first = soften(first, stored)
    else:
        second = soften(second, query)
    softened = agreement(moments(blur(first[_INNER])), moments(blur(second[_INNER])), _clear_of(found.seen))
    better = (softened.share or 0.0) > (found.agreement.share or 0.0)
    return replace(found, agreement=softened) if better else found


@dataclass(frozen=True, slots=True)
class _Frame:
    """Size of the compared images, in pixels of the stored image, and the size to which the query is reduced first."""

    width: int
    height: int
    query_width: int
    query_height: int

    @classmethod
    def fitting(cls, query: Side, stored: Side, homography: Homography) -> "_Frame | None":
        """The frame whose pixels are as large as those of the coarser image."""
        height, width = stored.luma.shape
        query_height, query_width = query.luma.shape
        area = area_ratio(homography)
        scale = (area * query_width * query_height / (width * height)) ** 0.5  # query pixels a stored pixel
        shrunk, reduced = min(1.0, scale), min(1.0, 1 / max(scale, 1e-6))
        frame = cls(
            round(width * shrunk), round(height * shrunk), round(query_width * reduced), round(query_height * reduced)
        )
        sides = (frame.width, frame.height, frame.query_width, frame.query_height)
        return frame if min(sides) >= MIN_FRAME else None

    def images(self, query: Side, stored: Side) -> tuple[Pixels, Pixels]:
        """Luma of both at this frame's resolution."""
        return shrink(query.luma, self.query_width, self.query_height), shrink(stored.luma, self.width, self.height)

    def matrix(self, homography: Homography, source: Pixels) -> Homography:
        """The map from pixel centers of the frame to those of the query's image."""
        return pixel_matrix(homography, (self.width, self.height), (source.shape[1], source.shape[0]))


def pixel_matrix(homography: Homography, stored: tuple[int, int], query: tuple[int, int]) -> Homography:
    """A homography of relative coordinates as one from pixel centers of the stored image to those of the query."""
    return np.asarray(np.linalg.inv(_to_relative(*query)) @ homography @ _to_relative(*stored), np.float64)


def _to_relative(width: int, height: int) -> Homography:
    """The map from pixel centers to relative coordinates."""
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])


def area_ratio(homography: Homography) -> float:
    """By what the map multiplies areas, in relative coordinates, at the middle of the stored image."""
    center = homography @ np.array([0.5, 0.5, 1.0])
    derivative = homography[:2, :2] / center[2] - np.outer(center[:2], homography[2, :2]) / center[2] ** 2
    return abs(float(np.linalg.det(derivative)))


def full_scale(query: Side, stored: Side, homography: Homography) -> float:
    """Pixels of the query for each of the stored image, both at full size."""
    return float((area_ratio(homography) * query.width * query.height / (stored.width * stored.height)) ** 0.5)


def _overlap(homography: Homography, width: int, height: int) -> NDArray[np.bool_] | None:
    """The pixels of the stored frame that the query shows; None: all."""
    corners = UNIT_CORNERS @ homography.T
    if (corners >= 0).all() and (corners[:, :2] <= corners[:, 2:]).all():
        return None
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width)
    y = ((np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height))[:, None]
    h = homography.astype(np.float32)
    depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    across, down = h[0, 0] * x + h[0, 1] * y + h[0, 2], h[1, 0] * x + h[1, 1] * y + h[1, 2]
    return np.asarray((depth > 0) & (across > 0) & (across < depth) & (down > 0) & (down < depth))


def _clear_of(seen: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """The pixels of the trimmed frame whose windows, blurred, reach seen pixels alone; None: all."""
    if seen is None or (inner := seen[_INNER]).all():
        return None
    spread = (~inner).astype(np.float32)
    for _ in range(2):
        spread = (window_mean(spread) > 1e-4).astype(np.float32)
    return np.asarray(spread == 0)


def compare_colors(query: Side, stored: Side, homography: Homography) -> tuple[float | None, float | None]:
    """Agreement of colors and of brightness in the overlap, -1..1 each; None where one image has none."""
    if query.colors is None or stored.colors is None:
        return None, None
    height, width = stored.colors.shape[:2]
    source = query.colors
    matrix = pixel_matrix(homography, (width, height), (source.shape[1], source.shape[0]))
    inside = _overlap(homography, width, height)
    if inside is not None and np.count_nonzero(inside) < 16:
        return None, None
    warped, reference = _warped(source, matrix, width, height), stored.colors
    if inside is not None:
        warped, reference = warped[inside], reference[inside]
    return _color_correlations(warped.reshape(-1, 3), reference.reshape(-1, 3))


MIN_CHROMA: Final = 3.0
"""Standard deviation of chroma (levels) below which an image has no colors to compare: grey, sepia."""


_CHROMA: Final = np.array([[1, -1, 0], [0.5, 0.5, -1]])
_BRIGHTNESS: Final = np.full((1, 3), 1 / 3)


def _color_correlations(first: Pixels, second: Pixels) -> tuple[float | None, float | None]:
    """Correlation of the two components of chroma together, and of brightness, of RGB values (n, 3) of two images."""
    values = np.concatenate([first, second], axis=1).astype(np.float32)
    values -= values.mean(axis=0)
    covariances = (values.T @ values).astype(np.float64) / len(values)
    return _correlation(covariances, _CHROMA), _correlation(covariances, _BRIGHTNESS)


def _correlation(covariances: NDArray[np.float64], components: NDArray[np.float64]) -> float | None:
    """Correlation of components of RGB, from the covariances (6, 6) of both images; None where either hardly varies."""
    of = np.trace(components @ covariances.reshape(2, 3, 2, 3).swapaxes(1, 2) @ components.T, axis1=2, axis2=3)
    if min(of[0, 0], of[1, 1]) < len(components) * MIN_CHROMA**2:
        return None
    return float(of[0, 1] / math.sqrt(of[0, 0] * of[1, 1]))
