"""Learned whitening in closed form: the directions in which edited copies differ count little, the others much.

F. Radenovic, G. Tolias, O. Chum, "CNN Image Retrieval Learns from BoW", 2016, section 3.2, after K. Mikolajczyk and
J. Matas, "Improving Descriptors for Fast Tree Matching by Optimal Linear Projection", 2007.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIDGE = 0.05
"""Added to the diagonal of the within-pair covariance, as a share of its mean."""


@dataclass(frozen=True, slots=True)
class Head:
    """A linear projection of descriptors: `(descriptor - offset) @ matrix`; offset (d,), matrix (d, width) float32."""

    offset: NDArray[np.float32]
    matrix: NDArray[np.float32]


def learn_head(
    originals: NDArray[np.float32], differences: NDArray[np.float32], width: int, ridge: float = RIDGE
) -> Head:
    """Learn a head from descriptors of originals (n, d), and of edited copies minus those of their originals (m, d).

    Fewer originals than `width` leave the last columns zero.
    """
    values, vectors = _principal_axes(differences)
    level = ridge * float(np.square(differences, dtype=np.float64).mean())
    gain = 1 / np.sqrt(values + level) - 1 / np.sqrt(level)  # beyond what the ridge alone gives, by axis

    def whiten(rows: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(rows / np.sqrt(level) + ((rows @ vectors) * gain) @ vectors.T, np.float64)

    offset = originals.mean(axis=0)
    _, axes = _principal_axes(whiten(originals - offset))
    matrix = np.zeros((originals.shape[1], width), np.float32)
    matrix[:, : axes.shape[1]] = whiten(axes.T)[:width].T
    return Head(offset.astype(np.float32), matrix)


def _principal_axes(rows: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean squares along the principal axes of rows `(n, d)`, the largest first, and those axes (d, min(n, d))."""
    rows = rows.astype(np.float64)
    if len(rows) < rows.shape[1]:
        _, singular, axes = np.linalg.svd(rows, full_matrices=False)
        return singular**2 / len(rows), axes.T
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    return np.maximum(values[::-1], 0), vectors[:, ::-1]
