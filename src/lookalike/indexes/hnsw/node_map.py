"""Mapping between rows and graph nodes: rows with equal half-precision vectors share one node.

Without it, an image that a thousand users uploaded would fill all the links of its neighbourhood with itself and
disconnect the graph: with half of the rows equal, the recall of the others fell to 0.5.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import RowNumbers
from lookalike.types import Features, Ids

Keys = NDArray[np.uint64]
_SEED = 20190613  # keys are stored: never change it


def vector_keys(features: Features) -> Keys:
    """64-bit hashes of half-precision vectors: multilinear hashing (Carter and Wegman, 1979), modulo 2^64.

    Of 10 million vectors, two collide with a probability of 3 in a million; one is then found only with the other.
    """
    half = features.astype(np.float16).view(np.uint16)
    factors = np.random.default_rng(_SEED).integers(0, 2**63, features.shape[1], np.uint64)
    factors = factors * np.uint64(2) + np.uint64(1)
    total = np.zeros(len(features), np.uint64)
    step = max(1, (1 << 18) // features.shape[1])
    for start in range(0, len(features), step):
        part = half[start : start + step].astype(np.uint64)
        total[start : start + step] = (part * factors).sum(axis=1, dtype=np.uint64)
    return total ^ (total >> np.uint64(31))


class NodeMap:
    """`row_nodes` (rows,) int32 is the node of each row; `keys` (nodes,) are the hashes of the nodes' vectors."""

    def __init__(self, row_nodes: NDArray[np.int32], keys: Keys) -> None:
        self.row_nodes = row_nodes
        self.keys = keys
        self._by_key = np.argsort(keys, kind="stable").astype(np.int32)
        self._sorted = keys[self._by_key]
        new = np.maximum.accumulate(row_nodes) if len(row_nodes) else row_nodes
        self._first_rows: RowNumbers = np.flatnonzero(np.diff(new, prepend=-1))
        self._find_duplicates()

    def assign_nodes(self, features: Features) -> tuple[NDArray[np.int32], Keys, RowNumbers]:
        """The nodes of new rows; the keys of nodes to create, and the row that each is created for, in row order."""
        keys, first_row, inverse = np.unique(vector_keys(features), return_index=True, return_inverse=True)
        position = np.minimum(np.searchsorted(self._sorted, keys), max(0, len(self._sorted) - 1))
        known = self._sorted[position] == keys if len(self._sorted) else np.zeros(len(keys), np.bool_)
        new = np.flatnonzero(~known)
        new = new[np.argsort(first_row[new])]
        node = np.empty(len(keys), np.int32)
        node[known] = self._by_key[position[known]]
        node[new] = len(self.keys) + np.arange(len(new))
        return node[inverse], keys[new], first_row[new]

    def extend(self, row_nodes: NDArray[np.int32], keys: Keys, first: RowNumbers) -> None:
        """Append rows as `assign_nodes` returned them, once the new nodes are in the graph."""
        order = np.argsort(keys)
        position = np.searchsorted(self._sorted, keys[order])
        self._sorted = np.insert(self._sorted, position, keys[order])
        self._by_key = np.insert(self._by_key, position, (len(self.keys) + order).astype(np.int32))
        self._first_rows = np.concatenate([self._first_rows, len(self.row_nodes) + first])
        self.keys = np.concatenate([self.keys, keys])
        self.row_nodes = np.concatenate([self.row_nodes, row_nodes])
        self._find_duplicates()

    def expand(
        self, found: NDArray[Any], ids: Ids, allowed: NDArray[np.bool_] | None, limit: int
    ) -> tuple[RowNumbers, RowNumbers]:
        """Pairs (query, row) of the allowed rows below `len(ids)` at the found nodes, at most `limit` per query.

        `found` (queries, n) holds node numbers, nearest first, padded with -1. Rows at one node are ordered by id.
        """
        query, rank = np.nonzero(found >= 0)
        node = found[query, rank]
        row = self._first_rows[node]
        duplicated = False
        if len(self._duplicates):  # rows that share the node of an earlier row
            start = np.searchsorted(self._duplicate_nodes, node, "left")
            counts = np.searchsorted(self._duplicate_nodes, node, "right") - start
            if duplicated := bool(counts.any()):
                offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
                row = np.concatenate([row, self._duplicates[np.repeat(start, counts) + offset]])
                query = np.concatenate([query, np.repeat(query, counts)])
                rank = np.concatenate([rank, np.repeat(rank, counts)])
        keep = row < len(ids)
        if allowed is not None:
            keep[keep] = allowed[row[keep]]
        if not keep.all():
            query, rank, row = query[keep], rank[keep], row[keep]
        if duplicated:
            order = np.lexsort((ids[row], rank, query))
            query, row = query[order], row[order]
        first = np.arange(len(query)) - np.searchsorted(query, query) < limit
        return query[first], row[first]

    def _find_duplicates(self) -> None:
        duplicate = np.ones(len(self.row_nodes), np.bool_)
        duplicate[self._first_rows] = False
        rows = np.flatnonzero(duplicate)
        order = np.argsort(self.row_nodes[rows], kind="stable")
        self._duplicates: RowNumbers = rows[order]
        self._duplicate_nodes = self.row_nodes[self._duplicates]
