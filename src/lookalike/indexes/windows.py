"""The index of windows: scans all codes of all images; the distance of two rows is that of their nearest codes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import top_k
from lookalike.errors import BadInput, Unavailable
from lookalike.imaging.windows import MAX_WINDOWED_IMAGES, WINDOW_COUNT
from lookalike.indexes.flat import FlatIndex
from lookalike.types import FULLY_EXACT, Features, FeatureSpec, Ids, Matches

BLOCK = 512
"""Images compared at a time: 0.8 MB of codes, which stay in the cache."""
_LOW_BYTES = np.uint64(0x00FF00FF00FF00FF)
_ONES = np.uint64(0x0001000100010001)
_BYTE, _TOP = np.uint64(8), np.uint64(48)


class WindowsIndex(FlatIndex):
    """An index of rows of `WINDOW_COUNT` codes each, and of queries of the same form, which may repeat a code.

    A raw distance is the least number of differing bits of a code of the query and one of the row, times the number of
    codes, so that the share of differing bits is in 0..1 as with any index. Exact.
    """

    def __init__(self, spec: FeatureSpec, folder: Path | None, *, writable: bool = True) -> None:
        """Raises BadInput where the rows of `spec` are not so many codes of whole 64-bit words."""
        if spec.metric != "hamming" or spec.width % (8 * WINDOW_COUNT):
            raise BadInput(f"an index of windows has rows of {WINDOW_COUNT} codes of 8 bytes or more, not {spec}")
        super().__init__(spec, folder, writable=writable)

    def _search(
        self, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        view = self._table.view
        if view.count > MAX_WINDOWED_IMAGES:
            raise Unavailable(
                f"the gallery has {view.count:,} images, and windows of stored images are searched up to "
                f"{MAX_WINDOWED_IMAGES:,}; take the pipeline {self._spec.name} out (lookalike pipelines drop)"
            )
        allowed = view.allowed(tenant, ids)
        rows = np.arange(view.size) if allowed is None else allowed
        found = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), np.inf, np.float32)
        for n, query in enumerate(queries):
            codes = np.unique(query.reshape(WINDOW_COUNT, -1), axis=0)
            distances = np.empty(len(rows), np.float32)
            for at in range(0, len(rows), BLOCK):
                part = slice(at, at + BLOCK)
                distances[part] = _least(codes, view.features(rows[part])) * WINDOW_COUNT
            near = distances <= (np.inf if max_distance is None else max_distance)
            owner = np.zeros(np.count_nonzero(near), np.intp)
            best_ids, best = top_k(owner, view.ids[rows[near]], distances[near], 1, k)
            found[0][n], found[1][n] = best_ids[0], best[0]
        return Matches(*found, FULLY_EXACT)


def _least(codes: Features, rows: Features) -> NDArray[np.uint64]:
    """The least number of differing bits of any of the codes `(m, bytes)` and any code of each row `(n, width)`."""
    words = np.ascontiguousarray(rows).view(np.uint64).reshape(len(rows), WINDOW_COUNT, -1)
    best = np.full(len(rows), np.iinfo(np.uint64).max, np.uint64)
    for code in np.ascontiguousarray(codes).view(np.uint64):
        np.minimum(best, _bits(words ^ code).min(axis=1), out=best)
    return best


def _bits(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The number of bits set in the words `(..., m)` of each code; of eight words, their counts are added as one."""
    counts: NDArray[np.uint8] = np.bitwise_count(words)
    if counts.shape[-1] % 8:
        return np.asarray(counts.sum(axis=-1, dtype=np.uint64), np.uint64)
    eight = counts.view(np.uint64)  # eight counts of at most 64, a byte each
    pairs = (eight & _LOW_BYTES) + ((eight >> _BYTE) & _LOW_BYTES)
    totals = (pairs * _ONES) >> _TOP
    return np.asarray(totals[..., 0] if totals.shape[-1] == 1 else totals.sum(axis=-1, dtype=np.uint64), np.uint64)
