"""Alignment of two images: matched local features, a homography, and its refinement by tracked corners."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Pixels
from lookalike.verification.raster import opencv, shrink
from lookalike.verification.xfeat import LocalFeatures

Homography = NDArray[np.float64]
"""(3, 3), maps points (x, y, 1) of the stored image to the query."""
Sizes = tuple[tuple[int, int], tuple[int, int]]
"""(width, height) of the query and of the stored image, in any unit: the aspects in which errors are measured."""
MIN_COSINE: Final = 0.75
"""Cosine of descriptors from which mutual nearest neighbours match."""
MIN_SIGN_COSINE: Final = 0.55
"""The same where one side has only the signs of its descriptors."""
MIN_MATCHES: Final = 8
"""Matches, and inliers of a homography, below which images are not aligned."""
MAX_ERROR: Final = 4.0
"""Pixels by which an inlier may miss its place, in an image of `GRID` pixels."""
GRID: Final = 480.0
MAX_PERSPECTIVE: Final = 0.01 * GRID
"""The largest perspective term of a plausible homography, in relative coordinates."""
MIN_AREA, MAX_AREA = 0.005, 200.0
"""Range of the area ratio of a plausible homography."""
BLOCK: Final = 8
"""Rows of descriptors multiplied at once; see `match`."""
MAX_STEPS: Final = 40
CLIMB_SIDE: Final = 240
TRACKED_CORNERS: Final = 240
MIN_TRACKED: Final = 12


UNIT_CORNERS: Final = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float64)
"""Corners of the unit square, in order around it, in homogeneous coordinates."""


def match(query: LocalFeatures, stored: LocalFeatures) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indexes of mutual nearest neighbours whose descriptors are close enough."""
    if not len(query.points) or not len(stored.points):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    # In blocks so small that BLAS does not start threads: several queries are verified at once, and waiting for busy
    # cores took 40 times as long as the product. It also makes the result independent of the number of threads.
    blocks = range(0, len(query.points), BLOCK)
    transposed = np.ascontiguousarray(stored.descriptors.T)
    cosines = np.concatenate([query.descriptors[at : at + BLOCK] @ transposed for at in blocks])
    nearest, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
    rows = np.arange(len(nearest))
    least = MIN_SIGN_COSINE if query.signs_only or stored.signs_only else MIN_COSINE
    mutual = (back[nearest] == rows) & (cosines[rows, nearest] > least)
    return rows[mutual], nearest[mutual]


@dataclass(frozen=True, slots=True)
class Alignment:
    """A map from the stored image to the query, and the number of matches that agree with it."""

    homography: Homography
    inliers: int


def find_alignments(query: LocalFeatures, stored: LocalFeatures, sizes: Sizes, *, mirrored: bool) -> list[Alignment]:
    """A homography and a similarity through the matches of two images; none where they cannot be aligned.

    MAGSAC++ (D. Barath et al., 2020) and RANSAC as OpenCV has them, with fixed seeds: the same input gives the same
    result. A similarity, with a reflection where `mirrored`, extrapolates better from few or clustered points.
    """
    in_query, in_stored = match(query, stored)
    if len(in_query) < MIN_MATCHES:
        return []
    to_query, to_stored = _grid(sizes[0]), _grid(sizes[1])
    source, target = stored.points[in_stored] * to_stored, query.points[in_query] * to_query
    cv2 = opencv()
    found, inliers = cv2.findHomography(source, target, cv2.USAC_MAGSAC, MAX_ERROR, maxIters=1000, confidence=0.999)
    flip = np.array([[-1, 0, GRID], [0, 1, 0], [0, 0, 1]]) if mirrored else np.eye(3)
    upright = np.stack([GRID - target[:, 0], target[:, 1]], axis=1) if mirrored else target
    similar, close = cv2.estimateAffinePartial2D(source, upright, ransacReprojThreshold=MAX_ERROR, maxIters=500)
    maps = [(found, inliers)]
    if similar is not None:
        maps.append((flip @ np.vstack([similar, [0, 0, 1]]), close))
    alignments = []
    for grid_map, agreeing in maps:
        count = 0 if grid_map is None else int(np.count_nonzero(agreeing))
        if count < MIN_MATCHES:
            continue
        scaled = np.diag([1 / to_query[0], 1 / to_query[1], 1]) @ grid_map @ np.diag([to_stored[0], to_stored[1], 1])
        homography = normalised(scaled)
        if homography is not None and is_plausible(homography):
            alignments.append(Alignment(homography, count))
    return alignments


def _grid(size: tuple[int, int]) -> NDArray[np.float32]:
    """Pixels of a unit of relative width and height in the grid that errors are measured in."""
    return (np.array(size, np.float32) * np.float32(GRID / max(size))).astype(np.float32)


def normalised(matrix: NDArray[Any]) -> Homography | None:
    """The matrix with 1 in its lower right; None where that is impossible."""
    if not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-9:
        return None
    return np.asarray(matrix / matrix[2, 2], np.float64)


def is_plausible(homography: Homography) -> bool:
    """Whether a homography is neither degenerate nor folds the image."""
    area = abs(float(np.linalg.det(homography)))
    if not MIN_AREA < area < MAX_AREA or np.abs(homography[2, :2]).max() > MAX_PERSPECTIVE:
        return False
    return bool((UNIT_CORNERS @ homography[2] > 0.05).all())  # all in front of the camera


def displacement(correction: Homography, width: int, height: int) -> float:
    """The largest distance, in pixels, by which a correction moves a corner of the image."""
    to_pixels = np.diag([width, height, 1.0])
    moved = corners_of(correction @ to_pixels) - corners_of(to_pixels)
    return float(np.linalg.norm(moved, axis=1).max())


def are_near(first: Homography, second: Homography) -> bool:
    """Whether two maps of relative coordinates differ by no more than an inlier's error in any corner."""
    return bool(np.abs(corners_of(first) - corners_of(second)).max() < MAX_ERROR / GRID)


def corners_of(homography: Homography) -> NDArray[np.float64]:
    """Where a map takes the corners of the unit square, (4, 2)."""
    moved = UNIT_CORNERS @ homography.T
    return np.asarray(moved[:, :2] / moved[:, 2:])


def find_corners(luma: Pixels) -> NDArray[np.float32]:
    """Corners (n, 2) of an image, in pixels, the strongest first; twice as many as are tracked, for parts of it.

    J. Shi, C. Tomasi, 1994, as OpenCV has it.
    """
    cv2 = opencv()
    found = None if cv2 is None else cv2.goodFeaturesToTrack(luma, 2 * TRACKED_CORNERS, 0.01, 8)
    return np.empty((0, 2), np.float32) if found is None else np.asarray(found[:, 0], np.float32)


def track(warped: Pixels, stored: Pixels, corners: NDArray[np.float32]) -> Homography | None:
    """The small correction, in pixels, that maps the stored image onto the warped query; None where it isn't found.

    Corners of the stored image are tracked (B. Lucas, T. Kanade, 1981, in pyramids) to the query, there and back.
    """
    if (cv2 := opencv()) is None or len(corners) < MIN_TRACKED:
        return None
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.03)
    options = {"winSize": (15, 15), "maxLevel": 2, "criteria": criteria}
    there, found, _ = cv2.calcOpticalFlowPyrLK(stored, warped, corners, None, **options)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(warped, stored, there, None, **options)
    good = (found & returned).ravel().astype(bool) & (np.abs(back - corners).max(axis=1) < 0.7)
    if np.count_nonzero(good) < MIN_TRACKED:
        return None
    matrix, inliers = cv2.findHomography(corners[good], there[good], cv2.USAC_MAGSAC, 1.0, maxIters=500)
    if matrix is None or np.count_nonzero(inliers) < MIN_TRACKED:
        return None
    return normalised(matrix)


def climb(warped: Pixels, stored: Pixels, mask: Pixels | None) -> Homography | None:
    """The small correction of `track`, by maximising the correlation of the images; for shapes without corners.

    Enhanced correlation coefficient (G. Evangelidis, E. Psarakis, 2008), affine, on images of `CLIMB_SIDE` pixels at
    most: it finds a tenth of a pixel, and its time grows with their number.
    """
    if (cv2 := opencv()) is None:
        return None
    height, width = stored.shape
    factor = min(1.0, CLIMB_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if mask is not None and factor < 1:
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, MAX_STEPS, 1e-4)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(
            shrink(stored, *size), shrink(warped, *size), start, cv2.MOTION_AFFINE, criteria, mask, 5
        )
    except cv2.error:  # it did not converge
        return None
    across, down = size[0] / width, size[1] / height
    to_small = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
    return normalised(np.linalg.inv(to_small) @ np.vstack([found, [0, 0, 1]]) @ to_small)
