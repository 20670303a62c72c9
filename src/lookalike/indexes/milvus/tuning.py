"""Tuning of the search parameter: the smallest effort that reaches a recall, measured on the collection itself."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lookalike import distances
from lookalike.indexes.milvus.client import BOUNDED, MAX_LIMIT, STRONG, MilvusGateway
from lookalike.indexes.milvus.collections import Collection
from lookalike.indexes.milvus.config import MAX_EFFORT, SEARCH_PARAM
from lookalike.indexes.milvus.search import Search, SelectivityCache
from lookalike.types import Features, FeatureSpec, Ids

QUERY_COUNT = 200
"""Number of queries. They lie between two stored rows, because stored rows are easier to find than unseen vectors."""
INTERPOLATION = 0.3
"""Position of a query between its two rows: 0 is the first row itself."""
NEIGHBOURS = 10
MAX_EXACT_ROWS = 100_000
"""Up to this many rows the ground truth is exact (half a minute, 200 MB of 512 floats); beyond, it is a search with
maximum effort: all lists of an IVF index, 4,096 candidates of a graph."""
PAGE_ROWS = 4000
"""Rows fetched at a time: 8 MB of 512 floats."""
MIN_EFFORT = 16
RECALL_MARGIN = 0.005
"""Margin above the required recall: twice the standard error of a share measured on 2,000 neighbours."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class Tuning:
    """The tuned parameter and its value, the recall that it reaches, and the reference of the measurement."""

    parameter: str
    value: int
    recall: float
    reached: bool
    reference: Literal["exact", "widest search"]
    rows: int


def tune(server: MilvusGateway, collection: Collection, spec: FeatureSpec, recall: float) -> Tuning | None:
    """Double the search parameter until the recall is reached, or use the largest value if none reaches it.

    None for an index without a search parameter, or with too few rows.
    """
    total = int(server.query(collection.name, "id > 0", ["count(*)"], level=STRONG)[0]["count(*)"])
    if collection.index_type == "FLAT" or total <= 2 * NEIGHBOURS:
        return None
    queries, truth = _ground_truth(server, collection, spec, total)
    doublings = int(math.log2(MAX_EFFORT[collection.index_type] / MIN_EFFORT))
    for value in (MIN_EFFORT << step for step in range(doublings + 1)):
        measured = _recall(_distances(server, collection, queries, value), truth)
        if measured >= min(recall + RECALL_MARGIN, 0.9999):
            break
    reached = measured >= recall
    if not reached:
        log.warning("%s has a recall of only %.3f, not %.3f, even with %d", collection.name, measured, recall, value)
    reference: Literal["exact", "widest search"] = "exact" if total <= MAX_EXACT_ROWS else "widest search"
    return Tuning(SEARCH_PARAM[collection.index_type], value, measured, reached, reference, total)


def _ground_truth(
    server: MilvusGateway, collection: Collection, spec: FeatureSpec, total: int
) -> tuple[Features, distances.Distances]:
    """Queries, and the distances of their true neighbours."""
    pages = _scan_pages(server, collection.name, total)
    if total > MAX_EXACT_ROWS:
        queries = _interpolate([next(pages)[1]])
        return queries, _distances(server, collection, queries, MAX_EFFORT[collection.index_type])
    all_pages = list(pages)
    queries = _interpolate([rows for _, rows in all_pages])
    ids, rows = (np.concatenate(column) for column in zip(*all_pages, strict=True))
    return queries, distances.nearest(spec.metric, queries, rows, ids, NEIGHBOURS).distances


def _interpolate(pages: list[Features]) -> Features:
    rows = np.concatenate(pages)
    first, second = np.random.default_rng(0).choice(len(rows), (2, QUERY_COUNT))
    return distances.normalise((1 - INTERPOLATION) * rows[first] + INTERPOLATION * rows[second])


def _distances(server: MilvusGateway, collection: Collection, queries: Features, value: int) -> distances.Distances:
    """The distances of the neighbours that the index finds with this effort."""
    search = Search(server, replace(collection, effort=value), BOUNDED, None, SelectivityCache(server))
    return search.nearest(queries, NEIGHBOURS, [""]).distances


def _recall(found: distances.Distances, truth: distances.Distances) -> float:
    """The share of true neighbours that were found, ignoring ties and rounding."""
    real = np.isfinite(truth)
    farthest = np.max(np.where(real, truth, -np.inf), axis=1, keepdims=True)
    return float(np.count_nonzero(found <= farthest + 1e-5) / np.count_nonzero(real))


def _scan_pages(server: MilvusGateway, name: str, total: int) -> Iterator[tuple[Ids, Features]]:
    """All rows, by ranges of ids: `total` of them, or fewer if rows are deleted meanwhile."""
    first, width, seen, empty = 1, PAGE_ROWS, 0, 0
    while seen < total and empty < 64:
        rows = server.query(name, f"id >= {first} and id < {first + width}", ["id", "vector"], level=BOUNDED)
        if len(rows) >= MAX_LIMIT:  # the response may be truncated
            width = PAGE_ROWS
            continue
        first += width
        empty = 0 if rows else empty + 1
        width = PAGE_ROWS if len(rows) > PAGE_ROWS // 8 else min(2 * width, 1 << 40)
        if rows:
            seen += len(rows)
            yield np.array([row["id"] for row in rows]), np.array([row["vector"] for row in rows], np.float32)
