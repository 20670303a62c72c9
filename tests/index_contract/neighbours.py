"""Galleries in which near neighbours are hard to tell apart: images' features, and rows made of them.

A made row is an image's features moved along differences between other images, as edits and other views of a scene
move them, and a little at random; then cut off at 0, as pooled features are, and scaled to unit length. The steps are
of all sizes, so that the ranks of a query's neighbours are decided by small differences.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Features

DIRECTIONS = 4
"""Differences between two images that a row is moved along."""
LEAST, MOST = 0.02, 0.5
"""The length of the whole step, in such differences: cosine distances from 0.0002 to some 0.2."""
GRAIN = 0.3
"""The part of a step that is noise of its own in every number, as a share of that number."""
BLOCK = 4096


def pooled(count: int, width: int = 512) -> Features:
    """Unit rows `(count, width)` like a network's pooled features: never negative, many of them small, of few causes.

    For where no real ones are at hand; the same at every call.
    """
    rng = np.random.default_rng(0)
    causes = 48
    mixing = rng.normal(size=(causes, width)) / math.sqrt(causes)
    rows = rng.normal(size=(count, causes)) @ mixing + rng.normal(0.2, 0.5, width)
    return _unit(np.maximum(rows + 0.35 * rng.normal(size=rows.shape), 0) ** 1.5 + 1e-6)


def neighbours(originals: Features, count: int, seed: int) -> Features:
    """Made rows `(count, width)`, float32 of unit length; another seed gives others around the same images."""
    rng = np.random.default_rng(seed)
    out = np.empty((count, originals.shape[1]), np.float32)
    for start in range(0, count, BLOCK):
        part = out[start : start + BLOCK]
        shape = (len(part), DIRECTIONS)
        size = np.exp(rng.uniform(math.log(LEAST), math.log(MOST), (len(part), 1)))
        steps = rng.normal(size=shape) * size / math.sqrt(DIRECTIONS)
        rows = originals[rng.integers(0, len(originals), len(part))].astype(np.float64)
        for direction in range(DIRECTIONS):
            one, other = originals[rng.integers(0, len(originals), (2, len(part)))]
            rows += steps[:, direction, None] * (one - other)
        rows *= 1 + GRAIN * size * rng.normal(size=rows.shape)
        part[:] = _unit(np.maximum(rows, 0) + 1e-9)
    return out


def gallery(originals: Features, count: int, seed: int) -> Features:
    """`count` rows: the images (at most half of the rows), and rows made of them."""
    real = originals[: count // 2]
    return np.concatenate([real, neighbours(originals, count - len(real), seed)])


def codes(vectors: Features, originals: Features, width: int) -> Features:
    """Hashes `(n, width)` uint8 of vectors: on which side of so many random planes each lies.

    Near vectors differ in few bits (Charikar 2002: in a share of them that is the angle over pi); the planes pass
    through the middle of the images, or features that are never negative would all lie on the same sides.
    """
    planes = np.random.default_rng(0).normal(size=(originals.shape[1], 8 * width)).astype(np.float32)
    middle = originals.mean(axis=0)
    bits = np.empty((len(vectors), 8 * width), np.bool_)
    for start in range(0, len(vectors), BLOCK):
        bits[start : start + BLOCK] = (vectors[start : start + BLOCK] - middle) @ planes > 0
    return np.packbits(bits, axis=1)


def _unit(rows: NDArray[np.float64]) -> Features:
    scaled: Features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled
