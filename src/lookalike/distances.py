"""Exact distances and exact nearest rows, computed block by block without a full matrix of queries against rows.

Hamming distance is the number of differing bits; cosine distance is 1 - cosine = |a - b|^2 / 2 of rows of unit length.

Matrix products round differently for different batch and block sizes, which would reorder ties. So a product only
selects candidates, with a margin for its rounding error; their distances are then computed pair by pair in double
precision. Thus a distance depends on the two rows alone, not on the batch, and equal rows tie exactly. Ties are ordered
by id.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import FULLY_EXACT, Features, Ids, Matches, Metric

Distances = NDArray[np.float32]
RowNumbers = NDArray[np.intp]

WORK_ELEMENTS = 1 << 18
"""Elements of the largest work array: bounds the memory of a search to a few times 2 MB, close to the cache size."""
QUERY_BLOCK = 64
"""Number of queries compared with a block of rows at a time."""

MAX_NORM_ERROR = 0.005
"""How far the norm of a vector of unit length may be from 1: rounding to half precision moves it by less than 0.001, a
forgotten normalisation by far more."""


def are_unit(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each of the rows `(n, width)` is finite and of unit length."""
    unit: NDArray[np.bool_] = np.abs(np.sqrt(np.einsum("ij,ij->i", rows, rows)) - 1) <= MAX_NORM_ERROR  # NaN is not
    return unit


def normalise(rows: NDArray[Any]) -> Distances:
    """Rows `(n, width)` scaled to unit length, float32, in double precision; rows of zeros stay zeros."""
    rows = np.asarray(rows)
    unit = np.empty(rows.shape, np.float32)
    step = max(1, WORK_ELEMENTS // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        wide: NDArray[np.float64] = rows[part].astype(np.float64)
        length = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        length[length == 0] = 1
        wide /= length[:, None]
        unit[part] = wide
    return unit


def paired(metric: Metric, a: Features, b: Features) -> Distances:
    """The distance of each row of `a` from the same row of `b`: `(n, width)` twice gives `(n,)` float32."""
    if metric == "hamming":
        return _count_bits(_words(a) ^ _words(b))
    out = np.empty(len(a), np.float32)
    step = max(1, WORK_ELEMENTS // max(1, a.shape[1]))
    for start in range(0, len(a), step):
        part = slice(start, start + step)
        difference = a[part].astype(np.float64) - b[part]
        out[part] = np.einsum("ij,ij->i", difference, difference) / 2
    return out


def pairwise(metric: Metric, a: Features, b: Features) -> Distances:
    """Every row of `a` against every row of `b`: `(n, width)` and `(m, width)` give `(n, m)` float32."""
    out = np.empty((len(a), len(b)), np.float32)
    for row, query in enumerate(a):
        out[row] = paired(metric, np.broadcast_to(query, b.shape), b)
    return out


def nearest(
    metric: Metric,
    queries: Features,
    rows: Features,
    ids: Ids,
    k: int,
    *,
    keep: RowNumbers | None = None,
    max_distance: float | None = None,
) -> Matches:
    """The `k` nearest rows of each query, exactly: `(n, width)` against `(m, width)` with ids `(m,)`.

    `keep` restricts the comparison to these row numbers; `max_distance` is inclusive. Matches are padded to `k`
    columns. Under cosine, both sides must have unit length (see `normalise`).
    """
    count = len(rows) if keep is None else len(keep)
    columns = min(k, count) if max_distance is None or max_distance >= 0 else 0
    found = Matches(np.full((len(queries), k), -1), np.full((len(queries), k), np.inf, np.float32), FULLY_EXACT)
    for start in range(0, len(queries) if columns else 0, QUERY_BLOCK):
        part = slice(start, start + QUERY_BLOCK)
        best = _nearest_in_block(metric, queries[part], rows, ids, columns, keep, max_distance)
        found.ids[part, :columns], found.distances[part, :columns] = best
    return found


def top_k(query: RowNumbers, ids: Ids, distances: Distances, queries: int, k: int) -> tuple[Ids, Distances]:
    """The k best `(queries, k)` of candidates, `query[i]` being that of candidate `i`; padded with -1 and infinity."""
    order = np.lexsort((ids, distances, query))
    owner = query[order]
    rank = np.arange(len(order)) - np.searchsorted(owner, owner)
    first = rank < k
    owner, rank, order = owner[first], rank[first], order[first]
    best_ids = np.full((queries, k), -1, np.int64)
    best = np.full((queries, k), np.inf, np.float32)
    best_ids[owner, rank] = ids[order]
    best[owner, rank] = distances[order]
    return best_ids, best


def merge(a: Matches, b: Matches, k: int) -> Matches:
    """The k best of two results for the same queries; `exact_within` is the smaller of both."""
    ids = np.concatenate([a.ids, b.ids], axis=1)
    distances = np.concatenate([a.distances, b.distances], axis=1)
    order = np.lexsort((ids, distances), axis=1)[:, :k]
    best_ids, best = np.take_along_axis(ids, order, axis=1), np.take_along_axis(distances, order, axis=1)
    return Matches(best_ids, best, min(a.exact_within, b.exact_within))


def _nearest_in_block(
    metric: Metric,
    queries: Features,
    rows: Features,
    ids: Ids,
    k: int,
    keep: RowNumbers | None,
    max_distance: float | None,
) -> tuple[Ids, Distances]:
    """`nearest` for one block of queries; `k` is at most the number of rows."""
    count = len(queries)
    best_ids = np.full((count, k), -1, np.int64)
    best = np.full((count, k), np.inf, np.float32)
    slack = _rounding_slack(metric, queries.shape[1])
    ceiling = np.float32(np.inf if max_distance is None else max_distance)
    for numbers, block in _blocks(rows, keep, count):
        coarse = _coarse_distances(metric, queries, block)
        limit = np.minimum(best[:, -1], ceiling) + np.float32(slack)
        query, row = _candidates(coarse, limit, k, slack)
        if metric == "hamming":
            distances = coarse[query, row].astype(np.float32)
        else:
            distances = _paired_at(metric, queries, query, block, row)
        near = distances <= ceiling
        query, distances, found = query[near], distances[near], ids[numbers][row[near]]
        if len(query):
            old, rank = np.nonzero(best_ids >= 0)
            best_ids, best = top_k(
                np.concatenate([query, old]),
                np.concatenate([found, best_ids[old, rank]]),
                np.concatenate([distances, best[old, rank]]),
                count,
                k,
            )
    return best_ids, best


def _blocks(rows: Features, keep: RowNumbers | None, queries: int) -> Iterator[tuple[Any, Features]]:
    """Blocks of rows that fit into the work memory, each with its row numbers or their slice."""
    width = rows.shape[1] // 8 if rows.dtype == np.uint8 else rows.shape[1] // 16
    if keep is None:
        step = max(1, WORK_ELEMENTS // max(queries, 1))
        for start in range(0, len(rows), step):
            yield slice(start, start + step), rows[start : start + step]
    else:
        step = max(1, WORK_ELEMENTS // max(queries, width, 1))  # these are copied: a few MB at a time
        for start in range(0, len(keep), step):
            numbers = keep[start : start + step]
            yield numbers, rows[numbers]


def _coarse_distances(metric: Metric, queries: Features, rows: Features) -> NDArray[Any]:
    """Distances of all pairs: exact for Hamming, within `_slack` for cosine."""
    if metric == "cosine":
        # One query: row by row on this core. A threaded BLAS product waits for a second core, which under load took
        # 20 ms instead of 0.1 ms for 3,000 rows of 512; on an idle machine it is no faster either.
        product: Distances = np.vecdot(rows, queries[0])[None] if len(queries) == 1 else queries @ rows.T
        np.subtract(1, product, out=product)
        return product
    left, right = _words(queries), _words(rows)
    total: NDArray[Any] = np.bitwise_count(left[:, :1] ^ right[:, 0]).astype(
        np.uint8 if queries.shape[1] < 32 else np.uint32
    )
    for word in range(1, left.shape[1]):
        total += np.bitwise_count(left[:, word, None] ^ right[:, word])
    return total


def _candidates(coarse: NDArray[Any], limit: NDArray[Any], k: int, slack: float) -> tuple[RowNumbers, RowNumbers]:
    """Pairs (query, row) that may be among the k best: within `limit`, and within slack of the block's own k best."""
    if coarse.dtype != np.float32:  # bits: compare as integers, without a float copy of the whole matrix
        limit = np.minimum(limit.astype(np.float64), np.iinfo(coarse.dtype).max).astype(coarse.dtype)
    near = coarse <= limit[:, None]
    if np.count_nonzero(near) > 4 * k * len(coarse) and coarse.shape[1] > k:
        kth = np.partition(coarse, k - 1, axis=1)[:, k - 1]
        reach = kth + np.float32(2 * slack) if slack else kth
        near = coarse <= np.minimum(limit, reach)[:, None]
    query, row = np.nonzero(near)
    return query, row


def _paired_at(metric: Metric, queries: Features, query: RowNumbers, rows: Features, row: RowNumbers) -> Distances:
    """`paired` of selected pairs, gathered block by block."""
    out = np.empty(len(query), np.float32)
    step = max(1, WORK_ELEMENTS // rows.shape[1])
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        out[part] = paired(metric, queries[query[part]], rows[row[part]])
    return out


def _rounding_slack(metric: Metric, width: int) -> float:
    """Bound on the error of a float32 product of unit rows against the distance in double precision.

    A sum of n products errs by at most n roundoff units (Higham, Accuracy and Stability of Numerical Algorithms,
    section 3.1); the factor 2 covers the error of the lengths.
    """
    return 0.0 if metric == "hamming" else 2.0 * (width + 2) * 2.0**-24


def _words(rows: Features) -> NDArray[np.uint64]:
    """Packed bits as 64-bit words `(n, ceil(width / 8))`, padded with zero bits."""
    width = rows.shape[1]
    if width % 8:
        rows = np.pad(rows, ((0, 0), (0, -width % 8)))
    return np.ascontiguousarray(rows).view(np.uint64)


def _count_bits(words: NDArray[np.uint64]) -> Distances:
    total: Distances = np.bitwise_count(words).sum(axis=1, dtype=np.float32)
    return total
