"""Estimates from samples: intervals of shares, and monotone regression."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z = 1.959964
"""Normal quantile of a two-sided confidence of 95 %."""


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a share of n independent trials (Wilson 1927)."""
    spread = Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def isotonic(values: Floats) -> Floats:
    """Return the falling sequence nearest to `values` in least squares: pool adjacent violators (Ayer et al. 1955)."""
    means: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        means.append(value)
        counts.append(1)
        while len(means) > 1 and means[-2] < means[-1]:
            mean, count = means.pop(), counts.pop()
            means[-1] = (means[-1] * counts[-1] + mean * count) / (counts[-1] + count)
            counts[-1] += count
    return np.repeat(np.array(means, np.float64), counts)
