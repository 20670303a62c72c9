"""Which rows stand at which node of a graph: rows that half precision cannot tell apart share one.

Without this, an image that a thousand users uploaded would fill all the links of its neighbourhood with itself and cut
the graph in pieces: with half of the rows equal, recall of the others fell to 0.5.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import RowNumbers
from lookalike.types import Features, Ids

Keys = NDArray[np.uint64]
_SEED = 20190613  # keys are stored: never change it


def vector_keys(features: Features) -> Keys:
    """64 bits that stand for a vector in half precision: a multilinear hash (Carter and Wegman, 1979), modulo 2^64.

    Among 10 million vectors two different ones share a key with a chance of about 3 in a million; a row would then
    be found only beside its false twin.
    """
    half = features.astype(np.float16).view(np.uint16)
    factors = np.random.default_rng(_SEED).integers(0, 2**63, features.shape[1], np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    total = np.zeros(len(features), np.uint64)
    step = max(1, (1 << 18) // features.shape[1])
    for start in range(0, len(features), step):
        part = half[start : start + step].astype(np.uint64)
        total[start : start + step] = (part * factors).sum(axis=1, dtype=np.uint64)
    return total ^ (total >> np.uint64(31))


class NodeMap:
    """`of_row` (rows,) int32 names the node of each row; `keys` (nodes,) tell known vectors from new ones."""

    def __init__(self, row_nodes: NDArray[np.int32], keys: Keys) -> None:
        self.row_nodes = row_nodes
        self.keys = keys
        self._by_key = np.argsort(keys, kind="stable").astype(np.int32)
        self._sorted = keys[self._by_key]
        new = np.maximum.accumulate(row_nodes) if len(row_nodes) else row_nodes
        first = np.flatnonzero(np.diff(new, prepend=-1))
        self._first_rows: RowNumbers = first
        self._find_duplicates()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.row_nodes)

    @property
    def duplicates(self) -> int:
        """How many rows stand at the node of an earlier row."""
        return len(self._duplicates)

    def assign_nodes(self, features: Features) -> tuple[NDArray[np.int32], Keys, RowNumbers]:
        """The nodes of new rows, the keys of the nodes that are new, and which of the rows those are (in order)."""
        keys, appears, which = np.unique(vector_keys(features), return_index=True, return_inverse=True)
        place = np.minimum(np.searchsorted(self._sorted, keys), max(0, len(self._sorted) - 1))
        known = self._sorted[place] == keys if len(self._sorted) else np.zeros(len(keys), np.bool_)
        fresh = np.flatnonzero(~known)
        fresh = fresh[np.argsort(appears[fresh])]
        node = np.empty(len(keys), np.int32)
        node[known] = self._by_key[place[known]]
        node[fresh] = len(self.keys) + np.arange(len(fresh))
        return node[which], keys[fresh], appears[fresh]

    def extend(self, row_nodes: NDArray[np.int32], keys: Keys, first: RowNumbers) -> None:
        """Take over what `plan` said, once the new nodes are in the graph."""
        order = np.argsort(keys)
        place = np.searchsorted(self._sorted, keys[order])
        self._sorted = np.insert(self._sorted, place, keys[order])
        self._by_key = np.insert(self._by_key, place, (len(self.keys) + order).astype(np.int32))
        self._first_rows = np.concatenate([self._first_rows, self.rows + first])
        self.keys = np.concatenate([self.keys, keys])
        self.row_nodes = np.concatenate([self.row_nodes, row_nodes])
        self._find_duplicates()

    def expand(
        self, found: NDArray[Any], ids: Ids, allowed: NDArray[np.bool_] | None, limit: int
    ) -> tuple[RowNumbers, RowNumbers]:
        """Pairs (query, row) for the nodes found, nearest first, `(queries, n)` with -1 for none; at most `limit` each.

        Of rows at one node those with low ids come first. Only rows below `len(ids)`, and allowed, are given.
        """
        query, place = np.nonzero(found >= 0)
        node = found[query, place]
        row = self._first_rows[node]
        twins = False
        if self.duplicates:
            start = np.searchsorted(self._duplicate_nodes, node, "left")
            more = np.searchsorted(self._duplicate_nodes, node, "right") - start
            if twins := bool(more.any()):
                offset = np.arange(more.sum()) - np.repeat(np.cumsum(more) - more, more)
                row = np.concatenate([row, self._duplicates[np.repeat(start, more) + offset]])
                query = np.concatenate([query, np.repeat(query, more)])
                place = np.concatenate([place, np.repeat(place, more)])
        good = row < len(ids)
        if allowed is not None:
            good[good] = allowed[row[good]]
        if not good.all():
            query, place, row = query[good], place[good], row[good]
        if twins:
            order = np.lexsort((ids[row], place, query))
            query, row = query[order], row[order]
        first = np.arange(len(query)) - np.searchsorted(query, query) < limit
        return query[first], row[first]

    def _find_duplicates(self) -> None:
        later = np.ones(self.rows, np.bool_)
        later[self._first_rows] = False
        rows = np.flatnonzero(later)
        order = np.argsort(self.row_nodes[rows], kind="stable")
        self._duplicates: RowNumbers = rows[order]
        self._duplicate_nodes = self.row_nodes[self._duplicates]
