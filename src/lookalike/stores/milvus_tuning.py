"""How widely to search, measured: the least effort that finds the wanted share of the true neighbours."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lookalike import distance
from lookalike.stores.milvus_collection import Collection
from lookalike.stores.milvus_search import LIMIT, Search
from lookalike.stores.milvus_server import BOUNDED, STRONG, Server
from lookalike.stores.milvus_settings import KNOB, WIDEST
from lookalike.types import Features, FeatureSpec, Ids, Matches

QUERIES = 100
"""Stored rows that are searched for; they do not count as their own neighbours."""
NEIGHBOURS = 10
EXACT_ROWS = 100_000
"""Rows that are compared one by one (half a minute, 200 MB of 512 floats); with more, the widest search stands for the
truth: all lists of an inverted file, 4,096 candidates of a graph."""
PAGE = 4000
"""Rows fetched at a time: 8 MB of 512 floats."""
LEAST = 16

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


def tune(server: Server, collection: Collection, spec: FeatureSpec, recall: float) -> Tuning | None:
    """Try the search parameter from narrow to wide, doubling, until the recall is reached; None where there is none.

    The narrowest value with that recall counts; where none has it, the widest.
    """
    total = int(server.query(collection.name, "id > 0", ["count(*)"], level=STRONG)[0]["count(*)"])
    if collection.kind == "FLAT" or total <= 2 * NEIGHBOURS:
        return None
    ids, queries, truth = _truth(server, collection, spec, total)
    most = WIDEST[collection.kind]
    steps = [LEAST << step for step in range(int(math.log2(most / LEAST)) + 1)]
    for value in steps:
        found = _neighbours(server, collection, ids, queries, value)
        share = _recall(found, truth.distances)
        if share >= recall or value == steps[-1]:
            break
    reached = share >= recall
    if not reached:
        log.warning("%s reaches a recall of %.3f only, not %.3f, even with %d", collection.name, share, recall, value)
    reference: Literal["exact", "widest search"] = "exact" if total <= EXACT_ROWS else "widest search"
    return Tuning(KNOB[collection.kind], value, share, reached, reference, total)


def _truth(server: Server, collection: Collection, spec: FeatureSpec, total: int) -> tuple[Ids, Features, Matches]:
    """Rows to search for, and the distances of their true neighbours, themselves left out."""
    pages = _pages(server, collection.name, total)
    if total > EXACT_ROWS:
        ids, rows = _sample([next(pages)])
        return ids, rows, _neighbours(server, collection, ids, rows, WIDEST[collection.kind])
    every = list(pages)
    ids, queries = _sample(every)
    found: Matches | None = None
    for page_ids, page in every:
        more = distance.nearest("cosine", queries, page, page_ids, NEIGHBOURS + 1)
        found = more if found is None else distance.merge(found, more, NEIGHBOURS + 1)
    assert found is not None
    return ids, queries, _others(found, ids)


def _sample(pages: list[tuple[Ids, Features]]) -> tuple[Ids, Features]:
    ids = np.concatenate([ids for ids, _ in pages])
    rows = np.concatenate([rows for _, rows in pages])
    chosen = np.random.default_rng(0).choice(len(ids), min(QUERIES, len(ids)), replace=False)
    return ids[chosen], distance.normalise(rows[chosen])


def _neighbours(server: Server, collection: Collection, ids: Ids, queries: Features, value: int) -> Matches:
    search = Search(server, replace(collection, knob=value), BOUNDED, None)
    return _others(search.nearest(queries, NEIGHBOURS + 1, [""]), ids)


def _others(found: Matches, ids: Ids) -> Matches:
    """The answer without each query's own row."""
    own = found.ids == ids[:, None]
    distances = np.where(own, np.float32(np.inf), found.distances)
    order = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    return Matches(
        np.take_along_axis(found.ids, order, axis=1), np.take_along_axis(distances, order, axis=1), found.exact_within
    )


def _recall(found: Matches, truth: distance.Distances) -> float:
    """The share of true neighbours among those found, ties and last digits forgiven."""
    real = np.isfinite(truth)
    farthest = np.max(np.where(real, truth, -np.inf), axis=1, keepdims=True)
    return float(np.count_nonzero(found.distances <= farthest + 1e-5) / np.count_nonzero(real))


def _pages(server: Server, name: str, total: int) -> Iterator[tuple[Ids, Features]]:
    """All rows, by ranges of ids: `total` of them, or fewer where they are deleted meanwhile."""
    first, width, seen, empty = 1, PAGE, 0, 0
    while seen < total and empty < 64:
        rows = server.query(name, f"id >= {first} and id < {first + width}", ["id", "vector"], level=BOUNDED)
        if len(rows) >= LIMIT:  # there are more than one answer holds
            width = PAGE
            continue
        first += width
        empty = 0 if rows else empty + 1
        width = PAGE if len(rows) > PAGE // 8 else min(2 * width, 1 << 40)
        if rows:
            seen += len(rows)
            yield np.array([row["id"] for row in rows]), np.array([row["vector"] for row in rows], np.float32)
