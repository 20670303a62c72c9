"""HNSW graph over the first rows of an index: Faiss, with half-precision vectors.

Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs", 2018. Faiss can neither remove rows from such a graph nor search it while rows are added. So deleted rows are
filtered from its results, and readers wait while a small batch is added.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import RowNumbers
from lookalike.optional import require
from lookalike.types import Features, FeatureSpec, Ids

Keys = NDArray[np.uint64]
_SEED = 20190613  # keys are stored: never change it
ADD_BATCH = 256
"""Rows added while readers wait; a 4,000th of a larger graph, because each batch costs time per row already in it."""


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


def _faiss() -> Any:
    """Faiss, which is loaded with the first graph: small galleries have none, and loading it takes 0.05 s.

    Untyped, for its stubs describe the C++ API, not the Python one.
    """
    require("faiss", purpose="a graph of vectors")
    return import_module("faiss")


class ReadWriteLock:
    """A read-write lock that prefers waiting writers."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writers = 0  # waiting or active
        self._writer_active = False

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._condition:
            while self._writers:
                self._condition.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                if not self._readers:
                    self._condition.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        with self._condition:
            self._writers += 1
            while self._readers or self._writer_active:
                self._condition.wait()
            self._writer_active = True
        try:
            yield
        finally:
            with self._condition:
                self._writer_active = False
                self._writers -= 1
                self._condition.notify_all()


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate pairs of query and row from a graph of `size` rows."""

    query: RowNumbers
    row: RowNumbers
    size: int


class Graph:
    """A graph over rows `0 .. size` of the view whose `numbering` it shares; one writer, many readers."""

    def __init__(self, index: Any, nodes: NodeMap) -> None:
        self.numbering: object = None
        self._index = index
        self._nodes = nodes
        self._lock = ReadWriteLock()

    @classmethod
    def empty(cls, width: int, m: int, ef_construction: int) -> "Graph":
        """A graph without rows, with `m` neighbours per node (2 m in the bottom layer)."""
        faiss = _faiss()
        index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_fp16, m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = ef_construction
        index.is_trained = True  # half precision needs no training
        return cls(index, NodeMap(np.zeros(0, np.int32), np.zeros(0, np.uint64)))

    @classmethod
    def restore(cls, index: Any, arrays: Mapping[str, NDArray[Any]], spec: FeatureSpec) -> "Graph":
        """A graph from the stored file and arrays; raises ValueError if they are inconsistent."""
        row_nodes, keys = np.array(arrays["nodes"]), np.array(arrays["keys"])
        if index.ntotal != len(keys) or index.d != spec.width or (len(row_nodes) and row_nodes.max() >= len(keys)):
            raise ValueError("the graph does not match its rows")
        return cls(index, NodeMap(row_nodes, keys))

    def write(self, path: Path) -> None:
        """Write the links and vectors to a file; raises OSError."""
        try:
            _faiss().write_index(self._index, str(path))
        except RuntimeError as error:
            raise OSError(f"the graph cannot be written to {path}: {error}") from error

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"nodes": self._nodes.row_nodes, "keys": self._nodes.keys}

    @property
    def size(self) -> int:
        return len(self._nodes.row_nodes)

    def add(self, vectors: Features) -> None:
        """Append rows in batches, between which readers may search; Faiss uses all cores for a batch."""
        done = 0
        while done < len(vectors):
            batch = vectors[done : done + max(ADD_BATCH, self.size // 4000)]
            self.add_batch(batch)
            done += len(batch)

    def add_batch(self, vectors: Features) -> None:
        row_nodes, keys, first = self._nodes.assign_nodes(vectors)
        with self._lock.write():
            self._index.add(np.ascontiguousarray(vectors[first]))
            self._nodes.extend(row_nodes, keys, first)

    def search(self, queries: Features, ef: int, limit: int, ids: Ids, allowed: NDArray[np.bool_] | None) -> Candidates:
        """At most `limit` candidates per query among about the `ef` nearest nodes: allowed rows below `len(ids)`."""
        parameters = _faiss().SearchParametersHNSW(efSearch=ef)
        with self._lock.read():
            nodes = self._index.search(queries, limit if allowed is None else ef, params=parameters)[1]
            query, row = self._nodes.expand(nodes, ids, allowed, limit)
            return Candidates(query, row, self.size)


def read_graph(path: Path) -> Any:
    """Read a file written by `Graph.write`; raises RuntimeError if Faiss cannot read it."""
    return _faiss().read_index(str(path))
