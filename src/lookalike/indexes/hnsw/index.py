"""The vector index for galleries too large to scan: a graph of near neighbours, exact wherever scanning is cheaper."""

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
"""Rows scanned in the time that a graph search takes for each of its `ef` candidates (512 floats), in a batch."""
SCAN_ROWS_PER_CANDIDATE_SMALL_BATCH = 12
"""The same for fewer than `TOGETHER` queries, which do not share the reading of the rows."""
SMALL_BATCH = 8
FILTER_OVERSAMPLING = 6
"""How many candidates that pass a filter are looked for, for each of the k wanted: keeps the recall at 0.99."""
RERANK_MARGIN = 10
"""Rows proposed beyond k, as half precision may swap the last ones."""
BUILD_BATCH = 1 << 16
"""Rows handed to a new graph at a time."""
MAX_DELETED_SHARE = 0.4
"""The share of rows that are gone at which the graph is built anew."""


class HnswIndex(FlatIndex):
    """A flat index with a graph over its first rows; the rows behind them are few, and scanned.

    A search scans (and misses nothing) while there are fewer than `exact_below` rows, for a small tenant, for a filter
    that keeps little; otherwise it walks the graph, keeping `ef` candidates and `4 k` more, the more the fewer rows
    pass the filter. Where fewer than k of those pass, it scans after all. Distances are always exact:
    the graph only proposes. `m` and `ef_construction` shape graphs built from now on. Up to `loose` new rows wait
    outside the graph. Raises BadSetting for a metric other than cosine; else as FlatIndex.
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
            raise BadSetting(f"an hnsw index is for vectors under cosine, not for {spec.name} ({spec.metric}): use mih")
        if min(m, ef_construction, ef, max_unindexed) < 1 or m < 2:
            raise BadSetting("m (2 and up), ef_construction, ef and loose must be positive")
        self._m, self._ef_construction, self._ef = m, ef_construction, ef
        self._exact_below, self._max_unindexed = exact_below, max_unindexed
        self._graph: Graph | None = None
        self._saved_graph_size = 0  # rows of the graph in the snapshot
        super().__init__(spec, folder, writable=writable)

    def clear(self) -> None:
        """Forget every row, durably."""
        with self._lock:
            super().clear()
            self._graph, self._saved_graph_size = None, 0

    def close(self) -> None:
        """Release files and memory; what was not flushed is forgotten."""
        with self._lock:
            super().close()
            self._graph = None

    def _search(
        self, view: View, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        graph = self._graph
        if graph is None or graph.numbering is not view.numbering or view.count < self._exact_below:
            return super()._search(view, queries, k, tenant, ids, max_distance)
        keep = view.allowed(tenant, ids)
        kept = view.count if keep is None else len(keep)
        ef = max(self._ef + 4 * k, math.ceil(FILTER_OVERSAMPLING * k * view.size / max(kept, 1)))
        step = SCAN_ROWS_PER_CANDIDATE if len(queries) >= SMALL_BATCH else SCAN_ROWS_PER_CANDIDATE_SMALL_BATCH
        if kept < max(self._exact_below, step * ef):
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
        """Search the graph, scan the loose rows, and scan everything for queries that the graph failed.

        What the graph gives are the nearest of all rows, as far as it went. If k of them pass the filter, those are the
        answer; if not, all that pass may be far from the query, where it never looked.
        """
        allowed = None
        if keep is not None:
            allowed = np.zeros(view.size, np.bool_)
            allowed[keep] = True
        proposal = graph.search(queries, ef, k + RERANK_MARGIN, view.ids, allowed)
        found = self._rerank(view, queries, proposal, k, max_distance)
        kept = view.count if keep is None else len(keep)
        if view.size > proposal.size:
            every = np.arange(view.size) if keep is None else keep
            loose = every[np.searchsorted(every, proposal.size) :]
            kept -= len(loose)
            found = merge(found, view.nearest("cosine", queries, k, loose, max_distance), k)
        failed = np.flatnonzero(np.bincount(proposal.query, minlength=len(queries)) < min(k, kept))
        if len(failed):
            again = view.nearest("cosine", queries[failed], k, keep, max_distance)
            found.ids[failed], found.distances[failed] = again.ids, again.distances
        return Matches(found.ids, found.distances, FULLY_EXACT if len(failed) == len(queries) else NO_GUARANTEE)

    def _rerank(
        self, view: View, queries: Features, proposal: Candidates, k: int, max_distance: float | None
    ) -> Matches:
        """The k nearest of the rows that the graph proposes, by exact distance."""
        query, row = proposal.query, proposal.row
        distances = paired("cosine", queries[query], view.features(row))
        if max_distance is not None:
            near = distances <= max_distance
            query, row, distances = query[near], row[near], distances[near]
        return Matches(*top_k(query, view.ids[row], distances, len(queries), k), NO_GUARANTEE)

    def _after_upsert(self) -> None:
        self._update_graph(self._max_unindexed)

    def _compact(self) -> None:
        view = self._table.view
        if view.count < self._exact_below:
            self._graph, self._saved_graph_size = None, 0
        if self._graph is None:
            super()._compact()
        elif len(view.tail) > len(view.base) // 2:
            self._table.compact(drop_deleted=False)
            self._mark_changed("base", "tail")
        self._update_graph(0)

    def _update_graph(self, max_unindexed: int) -> None:
        """Bring rows into the graph once more than `loose` wait, and build it anew once too many are gone."""
        view, graph = self._table.view, self._graph
        if view.count < self._exact_below:
            return
        if graph is None or view.size - view.count > MAX_DELETED_SHARE * view.size:
            graph = self._build_graph()
        elif view.size - graph.size > max_unindexed:
            graph.add(view.features(np.arange(graph.size, view.size)))
        if (
            graph.size - self._saved_graph_size > max(self._max_unindexed, graph.size // 100)
            or not self._saved_graph_size
        ):
            self._mark_changed(
                *GRAPH_ENTRIES
            )  # a graph on disk may be a little behind: what it lacks is loose on opening

    def _build_graph(self) -> Graph:
        """A new graph of the living rows; readers use the old one until it is there."""
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
            raise Damaged(f"the index in {self._folder} contradicts itself: {error}; {snapshot.REMEDY}") from error
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
