"""Approximate vector index: an HNSW graph, and an exact scan wherever that is cheaper."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import RowNumbers, merge, paired, top_k
from lookalike.errors import BadSetting, Damaged
from lookalike.indexes import snapshot
from lookalike.indexes.flat import FlatIndex
from lookalike.indexes.hnsw.graph import Candidates, Graph, read_graph
from lookalike.indexes.row_table import View
from lookalike.types import FULLY_EXACT, NO_GUARANTEE, Features, FeatureSpec, Ids, Matches

GRAPH_FILE = "graph.faiss"
GRAPH_ENTRIES = (GRAPH_FILE, "nodes", "keys")
SCAN_ROWS_PER_CANDIDATE = 24
"""Rows scanned in the time that a graph search needs per candidate of its `ef` (512 floats), in a large batch."""
SCAN_ROWS_PER_CANDIDATE_SMALL_BATCH = 12
"""The same for fewer than `SMALL_BATCH` queries, which share the cost of reading the rows less."""
SMALL_BATCH = 8
FILTER_OVERSAMPLING = 6
"""Candidates that pass a filter to search for, per requested match: keeps the recall at 0.99."""
RERANK_MARGIN = 10
"""Candidates beyond k that are re-ranked, because half precision may swap the last ones."""
BUILD_BATCH = 1 << 16
"""Rows added to a new graph at a time."""
MAX_DELETED_SHARE = 0.4
"""Share of deleted rows above which the graph is rebuilt."""


class HnswIndex(FlatIndex):
    """A flat index with an HNSW graph over its first rows; up to `max_unindexed` newer rows are scanned.

    A search scans, and is exact, for fewer than `exact_below` rows, a small tenant or a selective filter. Otherwise it
    searches the graph with `ef + 4 k` candidates, and more if few rows pass the filter, and re-ranks them exactly; if
    fewer than k pass, it scans after all. `m` and `ef_construction` apply to graphs built from now on.
    Raises BadSetting for a metric other than cosine; otherwise as FlatIndex.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        folder: Path | None,
        *,
        writable: bool = True,
        m: int = 24,
        ef_construction: int = 150,
        ef: int = 100,
        exact_below: int = 6000,
        max_unindexed: int = 1000,
    ) -> None:
        if spec.metric != "cosine":
            what = f"{spec.name} ({spec.metric})"
            raise BadSetting(f"an hnsw index holds vectors under cosine distance, not {what}: use mih")
        if min(m, ef_construction, ef, max_unindexed) < 1 or m < 2:
            raise BadSetting("m must be at least 2, and ef_construction, ef and max_unindexed at least 1")
        self._m, self._ef_construction, self._ef = m, ef_construction, ef
        self._exact_below, self._max_unindexed = exact_below, max_unindexed
        self._graph: Graph | None = None
        self._saved_graph_size = 0  # rows of the graph in the snapshot
        super().__init__(spec, folder, writable=writable)

    def _reset(self) -> None:
        super()._reset()
        self._graph, self._saved_graph_size = None, 0

    def _search(
        self, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        view, graph = self._table.view, self._graph
        keep = view.allowed(tenant, ids)
        if graph is None or graph.numbering is not view.numbering or view.count < self._exact_below:
            return view.nearest("cosine", queries, k, keep, max_distance)
        allowed_count = view.count if keep is None else len(keep)
        ef = max(self._ef + 4 * k, math.ceil(FILTER_OVERSAMPLING * k * view.size / max(allowed_count, 1)))
        scan_rows = SCAN_ROWS_PER_CANDIDATE if len(queries) >= SMALL_BATCH else SCAN_ROWS_PER_CANDIDATE_SMALL_BATCH
        if allowed_count < max(self._exact_below, scan_rows * ef):
            return view.nearest("cosine", queries, k, keep, max_distance)
        return self._search_graph(graph, view, queries, k, ef, keep, max_distance)

    def _search_graph(
        self,
        graph: Graph,
        view: View,
        queries: Features,
        k: int,
        ef: int,
        keep: RowNumbers | None,
        max_distance: float | None,
    ) -> Matches:
        """Search the graph, scan the rows not in it, and scan all rows for queries with too few candidates.

        The graph returns the nearest of all rows that it visited. If fewer than k of them pass the filter, the rows
        that pass may all be far from the query, where the graph search never went: only a scan finds those.
        """
        allowed = None
        if keep is not None:
            allowed = np.zeros(view.size, np.bool_)
            allowed[keep] = True
        candidates = graph.search(queries, ef, k + RERANK_MARGIN, view.ids, allowed)
        found = self._rerank(view, queries, candidates, k, max_distance)
        in_graph = view.count if keep is None else len(keep)
        if view.size > candidates.size:
            rows = np.arange(view.size) if keep is None else keep
            unindexed = rows[np.searchsorted(rows, candidates.size) :]
            in_graph -= len(unindexed)
            found = merge(found, view.nearest("cosine", queries, k, unindexed, max_distance), k)
        failed = np.flatnonzero(np.bincount(candidates.query, minlength=len(queries)) < min(k, in_graph))
        if len(failed):
            scanned = view.nearest("cosine", queries[failed], k, keep, max_distance)
            found.ids[failed], found.distances[failed] = scanned.ids, scanned.distances
        return Matches(found.ids, found.distances, FULLY_EXACT if len(failed) == len(queries) else NO_GUARANTEE)

    def _rerank(
        self, view: View, queries: Features, candidates: Candidates, k: int, max_distance: float | None
    ) -> Matches:
        query, row = candidates.query, candidates.row
        distances = paired("cosine", queries[query], view.features(row))
        if max_distance is not None:
            near = distances <= max_distance
            query, row, distances = query[near], row[near], distances[near]
        return Matches(*top_k(query, view.ids[row], distances, len(queries), k), NO_GUARANTEE)

    def _put(self, ids: Ids, features: Features, tenants: Ids) -> None:
        super()._put(ids, features, tenants)
        if len(ids):
            self._update_graph(self._max_unindexed)

    def _compact(self) -> None:
        view = self._table.view
        if view.count < self._exact_below:
            self._graph, self._saved_graph_size = None, 0
        if self._graph is None:
            super()._compact()
        elif len(view.tail) > len(view.base) // 2:
            self._table.compact(drop_deleted=False)
            self._saved -= {"base", "tail"}
        self._update_graph(0)

    def _update_graph(self, max_unindexed: int) -> None:
        """Add rows to the graph once more than `max_unindexed` are outside, or rebuild it once too many are deleted."""
        view, graph = self._table.view, self._graph
        if view.count < self._exact_below:
            return
        if graph is None or view.size - view.count > MAX_DELETED_SHARE * view.size:
            graph = self._build_graph()
        elif view.size - graph.size > max_unindexed:
            graph.add(view.features(np.arange(graph.size, view.size)))
        unsaved = graph.size - self._saved_graph_size
        if not self._saved_graph_size or unsaved > max(self._max_unindexed, graph.size // 100):
            # A saved graph may lag behind a little: on opening, the rows missing from it are scanned.
            self._saved.difference_update(GRAPH_ENTRIES)

    def _build_graph(self) -> Graph:
        """Build a new graph of all rows not deleted; readers use the old one until it is complete."""
        view = self._table.view
        graph = Graph.empty(self._spec.width, self._m, self._ef_construction)
        rows = np.flatnonzero(view.alive)
        for start in range(0, len(rows), BUILD_BATCH):
            graph.add_batch(view.features(rows[start : start + BUILD_BATCH]))
        if view.count < view.size:
            self._table.compact(drop_deleted=True)
            self._saved = set()
        graph.numbering = self._table.view.numbering
        self._graph, self._saved_graph_size = graph, 0
        return graph

    def _after_save(self, names: set[str]) -> None:
        if self._graph is not None and GRAPH_FILE in names:
            self._saved_graph_size = self._graph.size

    def _restore(self, loaded: snapshot.LoadedSnapshot) -> None:
        if GRAPH_FILE not in loaded.files:
            return
        view = self._table.view
        try:
            graph = Graph.restore(loaded.files[GRAPH_FILE], loaded.arrays, self._spec)
        except (KeyError, ValueError) as error:
            raise Damaged(f"the index in {self._folder} is inconsistent: {error}; {snapshot.REMEDY}") from error
        if graph.size > view.size:
            raise Damaged(f"the graph in {self._folder} has more rows than the index; {snapshot.REMEDY}")
        graph.numbering = view.numbering
        self._graph, self._saved_graph_size = graph, graph.size

    def _arrays(self) -> Mapping[str, NDArray[Any]]:
        return {**super()._arrays(), **(self._graph.arrays() if self._graph else {})}

    def _file_readers(self) -> Mapping[str, Callable[[Path], Any]]:
        return {GRAPH_FILE: read_graph}

    def _file_writers(self) -> Mapping[str, Callable[[Path], None]]:
        return {} if self._graph is None else {GRAPH_FILE: self._graph.write}
