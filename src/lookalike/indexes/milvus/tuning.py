"""How widely to search, measured: the least effort that finds the wanted share of the true neighbours."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lookalike import distances
from lookalike.indexes.milvus.client import BOUNDED, STRONG, MilvusGateway
from lookalike.indexes.milvus.collections import Collection
from lookalike.indexes.milvus.config import MAX_EFFORT, SEARCH_PARAM
from lookalike.indexes.milvus.search import MAX_LIMIT, Search
from lookalike.types import Features, FeatureSpec, Ids, Matches

QUERY_COUNT = 200
"""Vectors that are searched for: between two stored rows, for those are easier to find than what was never seen."""
INTERPOLATION = 0.3
"""How far from the first of the two: 0 is the row itself."""
NEIGHBOURS = 10
MAX_EXACT_ROWS = 100_000
"""Rows that are compared one by one (half a minute, 200 MB of 512 floats); with more, the widest search stands for the
truth: all lists of an inverted file, 4,096 candidates of a graph."""
PAGE_ROWS = 4000
"""Rows fetched at a time: 8 MB of 512 floats."""
MIN_EFFORT = 16
RECALL_MARGIN = 0.005
"""What is asked for beyond the wanted recall: twice the standard error of a share measured on 2,000 neighbours."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found: the parameter's name and value, the recall it gave, and what that was measured against."""

    parameter: str
    value: int
    recall: float
    reached: bool
    reference: Literal["exact", "widest search"]
    rows: int


def tune(server: MilvusGateway, collection: Collection, spec: FeatureSpec, recall: float) -> Tuning | None:
    """Try the search parameter from narrow to wide, doubling, until the recall is reached; None where there is none.

    The narrowest value with that recall counts; where none has it, the widest.
    """
    total = int(server.query(collection.name, "id > 0", ["count(*)"], level=STRONG)[0]["count(*)"])
    if collection.index_type == "FLAT" or total <= 2 * NEIGHBOURS:
        return None
    queries, truth = _ground_truth(server, collection, spec, total)
    most = MAX_EFFORT[collection.index_type]
    steps = [MIN_EFFORT << step for step in range(int(math.log2(most / MIN_EFFORT)) + 1)]
    for value in steps:
        share = _recall(_distances(server, collection, queries, value), truth)
        if share >= min(recall + RECALL_MARGIN, 0.9999) or value == steps[-1]:
            break
    reached = share >= recall
    if not reached:
        log.warning("%s reaches a recall of %.3f only, not %.3f, even with %d", collection.name, share, recall, value)
    reference: Literal["exact", "widest search"] = "exact" if total <= MAX_EXACT_ROWS else "widest search"
    return Tuning(SEARCH_PARAM[collection.index_type], value, share, reached, reference, total)


def _ground_truth(
    server: MilvusGateway, collection: Collection, spec: FeatureSpec, total: int
) -> tuple[Features, distances.Distances]:
    """Vectors to search for, and the distances of their true neighbours."""
    pages = _scan_pages(server, collection.name, total)
    if total > MAX_EXACT_ROWS:
        queries = _interpolate([next(pages)[1]])
        return queries, _distances(server, collection, queries, MAX_EFFORT[collection.index_type])
    every = list(pages)
    queries = _interpolate([rows for _, rows in every])
    found: Matches | None = None
    for ids, rows in every:
        more = distances.nearest(spec.metric, queries, rows, ids, NEIGHBOURS)
        found = more if found is None else distances.merge(found, more, NEIGHBOURS)
    assert found is not None
    return queries, found.distances


def _interpolate(pages: list[Features]) -> Features:
    rows = np.concatenate(pages)
    first, second = np.random.default_rng(0).choice(len(rows), (2, QUERY_COUNT))
    return distances.normalise((1 - INTERPOLATION) * rows[first] + INTERPOLATION * rows[second])


def _distances(server: MilvusGateway, collection: Collection, queries: Features, value: int) -> distances.Distances:
    """What the index finds when it is searched so widely."""
    search = Search(server, replace(collection, effort=value), BOUNDED, None)
    return search.nearest(queries, NEIGHBOURS, [""]).distances


def _recall(found: distances.Distances, truth: distances.Distances) -> float:
    """The share of true neighbours among those found, ties and last digits forgiven."""
    real = np.isfinite(truth)
    farthest = np.max(np.where(real, truth, -np.inf), axis=1, keepdims=True)
    return float(np.count_nonzero(found <= farthest + 1e-5) / np.count_nonzero(real))


def _scan_pages(server: MilvusGateway, name: str, total: int) -> Iterator[tuple[Ids, Features]]:
    """All rows, by ranges of ids: `total` of them, or fewer where they are deleted meanwhile."""
    first, width, seen, empty = 1, PAGE_ROWS, 0, 0
    while seen < total and empty < 64:
        rows = server.query(name, f"id >= {first} and id < {first + width}", ["id", "vector"], level=BOUNDED)
        if len(rows) >= MAX_LIMIT:  # there are more than one answer holds
            width = PAGE_ROWS
            continue
        first += width
        empty = 0 if rows else empty + 1
        width = PAGE_ROWS if len(rows) > PAGE_ROWS // 8 else min(2 * width, 1 << 40)
        if rows:
            seen += len(rows)
            yield np.array([row["id"] for row in rows]), np.array([row["vector"] for row in rows], np.float32)
