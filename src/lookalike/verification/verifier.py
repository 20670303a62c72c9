"""Verification of a pair of images: whole against whole first, then aligned by local features."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from lookalike.labels import label
from lookalike.types import Box, Matrix, Transform, Verification, VerificationMethod
from lookalike.verification import xfeat
from lookalike.verification.agreement import MIN_TEXTURED, MIN_VARIANCE, share_agreeing
from lookalike.verification.alignment import Homography, are_near, corners_of, find_alignments, normalised
from lookalike.verification.comparison import ALIGNED, Compared, compare, compare_colors
from lookalike.verification.side import TURNS, Scale, Side

Small = Literal["query", "stored"]
"""Which of two images shows a small part of the other only."""
WHOLE: Final = Box(0.0, 0.0, 1.0, 1.0)
NOTHING: Final = Verification(None, 0.0, 0.0, None, (), None, 0.0)
"""Nothing to compare: one of the images is flat."""
MIN_WHOLE: Final = 0.45
"""Agreement of the squashed images from which their alignment is refined and compared at full detail."""
ALIKE: Final = 0.9
"""Correlation of the images at 32 x 32 from which they are compared at full detail although texture is scarce."""
CLEARLY: Final = 0.1
"""By how much the most similar orientation must correlate better than the next one, to be compared first."""
MIN_PLAIN: Final = 0.9
"""Agreement from which images may be called copies as they are aligned by their orientation and borders."""
SURE: Final = 0.8
"""Agreement from which no other alignment is tried."""
SAME_SCENE: Final = 0.5
"""Agreement from which the query is not mirrored: mirrored, even symmetric images agree in less."""
SURE_INLIERS: Final = 12
"""Inliers from which a homography by local features counts fully."""
MAX_BOXES: Final = 32
"""Boxes reported; smaller ones than these are counted in `differing` alone."""


class Verifier:
    """Verifies pairs of images. Thread-safe; the same pair gives the same result."""

    def __init__(self, *, local: bool | None = None) -> None:
        """`local` allows alignment by local features (None: where the extra [verify] is installed)."""
        self._local = local

    def verify(self, query: Side, stored: Side) -> Verification:
        """Compare a query with a stored image.

        Args:
            query: The image that was searched for.
            stored: The candidate.

        Returns:
            The evidence; `agreement` is None where either image is flat.
        """
        best = _Candidate(self._whole(query, stored), "whole", None)
        for mirrored, enough in ((False, SURE), (True, SAME_SCENE)):
            if best.strength >= enough or not self._uses_local_features:
                break
            best = self._local_candidate(query, stored, best, mirrored=mirrored) or best
        return _result(query, stored, best)

    def is_copy(self, query: Side, stored: Side) -> bool:
        """Say whether two images are copies, as the label of `verify` does.

        Images that are labelled so as their orientation and borders align them are not aligned further, which would
        only make them agree in more.
        """
        plain = self._plain(query, stored)
        if plain is not None and label(_result(query, stored, _Candidate(plain, "whole", None)))[0] == "copy":
            return True
        return label(self.verify(query, stored))[0] == "copy"

    def extract(self, query: Side, *, mirrored: bool) -> None:
        """Extract the local features of a query, as it is or mirrored, that comparing it with unlike images takes."""
        if self._uses_local_features:
            query.features_at("whole", mirrored=mirrored)

    def verify_part(self, query: Side, stored: Side, *, small: Small) -> Verification | None:
        """Compare two images of which one shows a small part of the other only, by local features at two scales.

        Args:
            query: The image that was searched for.
            stored: The candidate.
            small: Which of the two is the part.

        Returns:
            The evidence; None where they cannot be aligned.
        """
        if not self._uses_local_features:
            return None
        best: _Candidate | None = None
        for mirrored in (False, True):
            best = self._local_candidate(query, stored, best, mirrored=mirrored, small=small) or best
            if best is not None and best.strength >= SURE:
                break
        return None if best is None else _result(query, stored, best)

    @cached_property
    def _uses_local_features(self) -> bool:
        return xfeat.available() if self._local is None else self._local

    def _local_candidate(
        self, query: Side, stored: Side, best: "_Candidate | None", *, mirrored: bool, small: Small | None = None
    ) -> "_Candidate | None":
        """Compare the images as aligned by local features; None where no alignment is better than `best`."""
        scales: tuple[Scale, Scale] = ("whole", "whole")
        if small is not None:
            scales = ("small", "large") if small == "query" else ("large", "small")
        features, other = query.features_at(scales[0], mirrored=mirrored), stored.features_at(scales[1])
        sizes = (query.width, query.height), (stored.width, stored.height)
        better = None
        for alignment in find_alignments(features, other, sizes, mirrored=mirrored):
            if best is not None and best.compared is not None:
                if best.strength >= ALIGNED:
                    break
                if are_near(alignment.homography, best.compared.homography):
                    continue  # refining it would lead to the same comparison
            found = _Candidate(compare(query, stored, alignment.homography), "local", alignment.inliers)
            if best is None or found.strength > best.strength:
                best = better = found
        return better

    def _whole(self, query: Side, stored: Side) -> Compared | None:
        """Compare the images without their borders, in the two most similar of the eight orientations."""
        turns = _Turns.of(query, stored)
        if turns.is_clear:
            compared = self._turned(query, stored, turns.likely)
            if compared is not None and compared.share >= SURE:
                return compared
        best, share = -1, MIN_WHOLE
        for turn in (turns.likely, turns.second):
            found = share_agreeing(query.turned(turn), stored.moments)
            if found is not None and found > share:
                best, share = turn, found
        if best < 0 and turns.are_alike:
            best = turns.likely
        return None if best < 0 else self._turned(query, stored, best)

    def _plain(self, query: Side, stored: Side) -> Compared | None:
        """Compare the images in the orientation in which they are alike, not aligned further; None where there is none.

        Where few pixels agree, they are not aligned.
        """
        turns = _Turns.of(query, stored)
        if not turns.is_clear:
            return None
        compared = self._turned(query, stored, turns.likely, refine=False)
        return compared if compared is not None and compared.share >= MIN_PLAIN else None

    def _turned(self, query: Side, stored: Side, turn: int, *, refine: bool = True) -> Compared | None:
        """Compare the images without their borders, in one orientation, at full detail."""
        return compare(query, stored, _turned(query.border, stored.border, turn), refine=refine)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A comparison, and how it was aligned."""

    compared: Compared | None
    method: VerificationMethod
    inliers: int | None

    @property
    def strength(self) -> float:
        """Agreement, less where few matches support the alignment."""
        share = 0.0 if self.compared is None else self.compared.share
        return share * min(1.0, (SURE_INLIERS if self.inliers is None else self.inliers) / SURE_INLIERS)


@dataclass(frozen=True, slots=True)
class _Turns:
    """The two orientations in which two images are most similar, and whether they are alike, in the first one alone."""

    likely: int
    second: int
    are_alike: bool
    is_clear: bool

    @classmethod
    def of(cls, query: Side, stored: Side) -> "_Turns":
        similarity = query.small_turns @ stored.small.ravel()
        likely, second = np.argsort(-similarity, kind="stable")[:2].tolist()
        alike = bool(similarity[likely] > ALIKE)
        return cls(likely, second, alike, alike and bool(similarity[likely] > similarity[second] + CLEARLY))


def _turned(query: Box, stored: Box, turn: int) -> Homography:
    """The map from the stored content to the query's, whose view number `turn` looks like the stored one."""
    quarters, mirrored = TURNS[turn]
    # np.rot90 by one quarter: the turned view at (x, y) shows the image at (1 - y, x).
    one = np.array([[0, -1, 1], [1, 0, 0], [0, 0, 1]], np.float64)
    view = np.linalg.matrix_power(one, quarters)
    if mirrored:
        view = np.array([[-1, 0, 1], [0, 1, 0], [0, 0, 1]], np.float64) @ view
    return np.asarray(_from_unit(query) @ view @ np.linalg.inv(_from_unit(stored)), np.float64)


def _from_unit(box: Box) -> Homography:
    """The map from the unit square to a box."""
    width, height = max(box.right - box.left, 1e-6), max(box.bottom - box.top, 1e-6)
    return np.array([[width, 0, box.left], [0, height, box.top], [0, 0, 1]])


def _result(query: Side, stored: Side, candidate: _Candidate) -> Verification:
    """The evidence of the best alignment."""
    best = candidate.compared
    if best is None:
        textured = min(float(np.mean(side.moments.variance > MIN_VARIANCE)) for side in (query, stored))
        flat = textured * query.whole.size < MIN_TEXTURED
        return NOTHING if flat else Verification(0.0, 0, 0, None, (), None, textured)
    evidence, homography = best.agreement.with_groups(), best.homography
    color, tone = compare_colors(query, stored, homography)
    border, crop = _visible(homography), _visible(normalised(np.linalg.inv(homography)))
    share = None if evidence.share is None else candidate.strength
    return Verification(
        share,
        query_coverage=_coverage(homography),
        stored_coverage=best.overlap,
        transform=_transform(query, stored, homography, crop, border),
        differences=evidence.boxes[:MAX_BOXES],
        method=candidate.method,
        textured=evidence.textured,
        differing=evidence.differing,
        largest=evidence.largest,
        color=color,
        tone=tone,
        detail=best.detail,
        resolution=best.resolution(query, stored),
        inliers=candidate.inliers,
        separate_captures=_are_separate(query, stored),
    )


def _are_separate(query: Side, stored: Side) -> bool:
    """Whether a camera took the images separately."""
    return query.capture is not None and stored.capture is not None and query.capture.differs_from(stored.capture)


def _visible(homography: Homography | None) -> Box:
    """The part of the unit square onto which the map takes the unit square."""
    if homography is None:
        return WHOLE
    points = np.clip(corners_of(homography), 0, 1)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Box(left, top, right, bottom)


def _coverage(homography: Homography) -> float:
    """The share of the query's area that shows the stored image, sampled on a grid."""
    inverse = normalised(np.linalg.inv(homography))
    if inverse is None:
        return 0.0
    steps = (np.arange(32) + 0.5) / 32
    grid = np.stack([np.tile(steps, 32), np.repeat(steps, 32), np.ones(1024)])
    x, y, depth = inverse @ grid
    inside = (depth > 0) & (x >= 0) & (y >= 0) & (x <= depth) & (y <= depth)
    return float(inside.mean())


def _transform(query: Side, stored: Side, homography: Homography, crop: Box, border: Box) -> Transform:
    """The map in words: mirrored, rotation and scale at the middle of what is visible."""
    middle = np.array([(crop.left + crop.right) / 2, (crop.top + crop.bottom) / 2, 1.0])
    at = homography @ middle
    local = homography[:2, :2] / at[2] - np.outer(at[:2], homography[2, :2]) / at[2] ** 2
    pixels = np.diag([query.width, query.height]) @ local @ np.diag([1 / stored.width, 1 / stored.height])
    determinant = float(np.linalg.det(pixels))
    mirrored = determinant < 0
    turned = pixels @ np.diag([-1.0, 1.0]) if mirrored else pixels
    rotation = math.degrees(math.atan2(turned[1, 0] - turned[0, 1], turned[0, 0] + turned[1, 1]))
    rows: Matrix = tuple(tuple(row) for row in homography.tolist())  # type: ignore[assignment]
    return Transform(rows, mirrored, rotation, abs(determinant) ** 0.5, crop, border)
