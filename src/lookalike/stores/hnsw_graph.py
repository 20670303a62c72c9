"""A graph of near neighbours (HNSW) over the first rows of an index: Faiss, with half-precision vectors.

Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs", 2018. Faiss can neither remove from such a graph nor search it while rows are added; both are dealt with here
and in the index: rows that are gone are left out by a selector, and readers wait while a small batch is added.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lookalike.distance import RowNumbers
from lookalike.types import Features

faiss: Any = typed_faiss  # its stubs describe the C++ side, not the Python one
BATCH = 256
"""Rows added while readers wait (or a 4,000th of the graph, as each batch costs some time for every row there is)."""


class Shared:
    """A lock that many readers or one writer hold; a writer that waits goes first."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writers = 0  # that wait or work
        self._working = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Beside other readers."""
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
    def writing(self) -> Iterator[None]:
        """Alone."""
        with self._condition:
            self._writers += 1
            while self._readers or self._working:
                self._condition.wait()
            self._working = True
        try:
            yield
        finally:
            with self._condition:
                self._working = False
                self._writers -= 1
                self._condition.notify_all()


class Selection:
    """The rows that a search may return, as Faiss wants them: one bit a row."""

    def __init__(self, allowed: NDArray[np.bool_]) -> None:
        self._bits = np.packbits(allowed, bitorder="little")  # Faiss keeps a pointer to it
        self.selector = faiss.IDSelectorBitmap(self._bits)


class Graph:
    """Rows `0 .. size` of the view whose numbering it shares."""

    def __init__(self, index: Any) -> None:
        self.numbering: object = None
        self._index = index
        self._lock = Shared()

    @classmethod
    def empty(cls, width: int, m: int, ef_construction: int) -> "Graph":
        """A graph without rows: `m` neighbours a row (twice as many at the bottom)."""
        index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_fp16, m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = ef_construction
        index.is_trained = True  # half precision has nothing to learn
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> "Graph":
        """Read a file; raises RuntimeError for one that Faiss cannot read."""
        return cls(faiss.read_index(str(path)))

    def write(self, path: Path) -> None:
        """Write a file; raises OSError."""
        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:
            raise OSError(f"the graph cannot be written to {path}: {error}") from error

    @property
    def size(self) -> int:
        """How many rows it holds."""
        return int(self._index.ntotal)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._index.d)

    def add(self, vectors: Features) -> None:
        """Append rows, in batches between which readers get their turn; all cores work on a batch."""
        done = 0
        while done < len(vectors):
            batch = np.ascontiguousarray(vectors[done : done + max(BATCH, self.size // 4000)])
            with self._lock.writing():
                self._index.add(batch)
            done += len(batch)

    def add_alone(self, vectors: Features) -> None:
        """Append rows at full speed to a graph that no reader knows yet."""
        self._index.add(vectors)

    def search(self, queries: Features, k: int, ef: int, selection: Selection | None) -> tuple[RowNumbers, int]:
        """Row numbers `(n, k)` of about the nearest, -1 where none was found, and the graph's size at that moment."""
        selector = selection.selector if selection else None
        parameters = faiss.SearchParametersHNSW(efSearch=ef, sel=selector)
        with self._lock.reading():
            size = self.size
            return self._index.search(queries, k, params=parameters)[1], size
