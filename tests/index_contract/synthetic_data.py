"""Synthetic galleries in which near neighbours differ little: images' features, and rows derived from them.

A derived row is an image's features moved along differences between other images, as edits and other views of a scene
move them, plus noise; then clipped at 0, as pooled features are, and scaled to unit length. The steps have all sizes,
so that the ranks of a query's neighbours depend on small differences.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Features

DIRECTIONS = 4
"""Number of differences between two images along which a row is moved."""
MIN_STEP, MAX_STEP = 0.02, 0.5
"""The length of the whole step, in such differences: cosine distances from 0.0002 to some 0.2."""
NOISE = 0.3
"""Multiplicative noise of every component, as a share of the step."""
BLOCK = 4096


def pooled_features(count: int, width: int = 512) -> Features:
    """Unit rows `(count, width)` like a network's pooled features: non-negative, mostly small, with few latent factors.

    Deterministic; used where no real features are available.
    """
    rng = np.random.default_rng(0)
    factors = 48
    mixing = rng.normal(size=(factors, width)) / math.sqrt(factors)
    rows = rng.normal(size=(count, factors)) @ mixing + rng.normal(0.2, 0.5, width)
    return _unit(np.maximum(rows + 0.35 * rng.normal(size=rows.shape), 0) ** 1.5 + 1e-6)


def perturbed_features(originals: Features, count: int, seed: int) -> Features:
    """Derived rows `(count, width)`, float32 of unit length; other seeds give others around the same images."""
    rng = np.random.default_rng(seed)
    out = np.empty((count, originals.shape[1]), np.float32)
    for start in range(0, count, BLOCK):
        part = out[start : start + BLOCK]
        shape = (len(part), DIRECTIONS)
        size = np.exp(rng.uniform(math.log(MIN_STEP), math.log(MAX_STEP), (len(part), 1)))
        steps = rng.normal(size=shape) * size / math.sqrt(DIRECTIONS)
        rows = originals[rng.integers(0, len(originals), len(part))].astype(np.float64)
        for direction in range(DIRECTIONS):
            one, other = originals[rng.integers(0, len(originals), (2, len(part)))]
            rows += steps[:, direction, None] * (one - other)
        rows *= 1 + NOISE * size * rng.normal(size=rows.shape)
        part[:] = _unit(np.maximum(rows, 0) + 1e-9)
    return out


def gallery_features(originals: Features, count: int, seed: int) -> Features:
    """`count` rows: the images (at most half of the rows), and rows derived from them."""
    real = originals[: count // 2]
    return np.concatenate([real, perturbed_features(originals, count - len(real), seed)])


def projection_codes(vectors: Features, originals: Features, width: int) -> Features:
    """Hashes `(n, width)` uint8 of vectors by random hyperplanes (Charikar, 2002).

    The expected share of differing bits is the angle over pi. The planes pass through the mean of the images, because
    non-negative features would otherwise all be on the same sides.
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
