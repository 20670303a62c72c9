"""One search in Milvus: requests within its limits, filtering, and ranking of the hits."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.distances import Distances, merge, paired, top_k
from lookalike.indexes.milvus.client import MAX_LIMIT, ConsistencyLevel, Hits, MilvusGateway
from lookalike.indexes.milvus.collections import Collection
from lookalike.indexes.milvus.config import MAX_EFFORT, SEARCH_PARAM
from lookalike.types import FULLY_EXACT, NO_GUARANTEE, Features, Ids, Matches

MAX_MATCHES = MAX_LIMIT - 2
"""Matches that a query may request: one hit may be the state row (see `collections`), one reveals a cut tie."""
MAX_QUERIES = 1000
"""Queries in one request: 2 MB of 512 floats, far below the 64 MB of a message."""
MAX_HITS = 1 << 18
"""Hits in one response, all queries together: about 5 MB."""
MAX_HITS_WITH_VECTORS = 4096
"""The same with vectors: 8 MB of 512 floats."""
ZERO_DISTANCE = 1e-6
"""Cosine distances below it are returned as 0: a sum of 512 products in single precision errs by about as much."""
SELECTIVE_SHARE = 0.05
"""Share of rows below which Milvus compares all rows that pass a filter (every version does below 0.07)."""
UNSELECTIVE_SHARE = 0.9
"""Share of rows above which a filter does not reduce a graph's recall."""
OVERSAMPLING = 1.5
"""Oversampling factor for client-side filtering."""
COUNT_TTL = 30.0
"""Seconds for which a count is cached: it only determines the search effort, never which rows are found."""
MAX_ENTRIES = 1000
"""Cached counts."""
MAX_EXPRESSION_LENGTH = 500
"""Length of the longest expression whose count is cached; longer ones list ids, and rarely recur."""
ALL_ROWS = "id > 0"


class SelectivityCache:
    """Cached shares of rows that filters pass. Thread-safe."""

    def __init__(self, server: MilvusGateway) -> None:
        self._server = server
        self._counts: dict[tuple[str, str, tuple[str, ...]], tuple[float, int]] = {}

    def share(self, name: str, expression: str, partitions: list[str] | None, level: ConsistencyLevel) -> float:
        """The share, 0 to 1, of a collection's rows (or of those in some partitions) that pass an expression."""
        total = self._count(name, ALL_ROWS, partitions, level)
        return min(1.0, self._count(name, expression, partitions, level) / total) if total else 0.0

    def _count(self, name: str, expression: str, partitions: list[str] | None, level: ConsistencyLevel) -> int:
        key = (name, expression, tuple(partitions or ()))
        counted_at, count = self._counts.get(key, (-COUNT_TTL, 0))
        if time.monotonic() - counted_at < COUNT_TTL:
            return count
        rows = self._server.query(name, expression, ["count(*)"], level=level, partitions=partitions)
        count = int(rows[0]["count(*)"])
        if len(expression) <= MAX_EXPRESSION_LENGTH:
            if len(self._counts) >= MAX_ENTRIES:
                self._counts = {}
            self._counts[key] = (time.monotonic(), count)
        return count


@dataclass
class Search:
    """A search of one collection, with what all of its requests have in common."""

    server: MilvusGateway
    collection: Collection
    level: ConsistencyLevel
    partitions: list[str] | None
    selectivity: SelectivityCache

    def __post_init__(self) -> None:
        self._exact = self.collection.index_type == "FLAT"
        self._with_vectors = self.collection.index_type == "IVF_SQ8"  # its distances are approximate: compute them here

    def nearest(self, queries: Features, k: int, expressions: Sequence[str]) -> Matches:
        """The k nearest rows that pass any of the expressions, which are mutually exclusive; none without any."""
        exact_within = FULLY_EXACT if self._exact or not expressions else NO_GUARANTEE
        found = Matches(np.full((len(queries), k), -1), np.full((len(queries), k), np.inf, np.float32), exact_within)
        limit = min(2 * k + 10 if self._with_vectors else k + 2, MAX_LIMIT)
        step = max(1, min(MAX_QUERIES, (MAX_HITS_WITH_VECTORS if self._with_vectors else MAX_HITS) // limit))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            for expression in expressions:
                matches = self._search_expression(queries[part], k, limit, expression)
                best = merge(Matches(found.ids[part], found.distances[part], exact_within), matches, k)
                found.ids[part], found.distances[part] = best.ids, best.distances
        return found

    def _search_expression(self, queries: Features, k: int, limit: int, expression: str) -> Matches:
        share = self._passing_share(expression)
        if self.collection.index_type == "HNSW" and SELECTIVE_SHARE < share < UNSELECTIVE_SHARE:
            return self._post_filter(queries, k, limit, expression, share)
        answers = self._request(queries, limit, expression, effort=self._probed_lists(share))
        if self._exact:
            self._complete_ties(queries, answers, k, limit, expression)
        else:
            self._widen_incomplete(queries, answers, k, limit, expression)
        return self._rank(queries, answers, k)

    def _passing_share(self, expression: str) -> float:
        """The share of rows that pass a filter if the search effort depends on it; otherwise 1."""
        if not expression or self._exact or self.server.connection.lite:
            return 1.0
        return self.selectivity.share(self.collection.name, expression, self.partitions, self.level)

    def _probed_lists(self, share: float) -> int | None:
        """The lists of an IVF index to probe, inversely proportional to the share of their rows that pass a filter.

        The work stays the same, and neighbours, which are farther apart, are still found. None: the tuned number.
        """
        name = SEARCH_PARAM.get(self.collection.index_type)
        if name != "nprobe" or share == 1:
            return None
        tuned = self.collection.parameters(1)[name]
        return min(MAX_EFFORT[self.collection.index_type], math.ceil(tuned / max(share, 1e-6)))

    def _post_filter(self, queries: Features, k: int, limit: int, expression: str, share: float) -> Matches:
        """Search a graph without the filter, oversampled, and drop hits that do not pass.

        Milvus follows only some of the edges through rows that do not pass, so that it fails to reach the neighbours
        where these are many (measured on 2.3.5: with a tenth of the rows passing, recall is 0.75 to 0.85 at any
        effort). If fewer than k hits are left, those of a filtered search are added.
        """
        oversampled = min(MAX_LIMIT, math.ceil(OVERSAMPLING * k / share) + limit)
        step = max(1, MAX_HITS // oversampled)
        parts = [queries[start : start + step] for start in range(0, len(queries), step)]
        answers = [answer for part in parts for answer in self._request(part, oversampled, "")]
        passing = self._passing_ids(np.unique(np.concatenate([answer.ids for answer in answers])), expression)
        for query, answer in enumerate(answers):
            keep = np.isin(answer.ids, passing)
            answers[query] = Hits(answer.ids[keep], answer.scores[keep], None, answer.full)
        incomplete = [query for query, answer in enumerate(answers) if len(answer.ids) < k]
        if incomplete:
            filtered = self._request(queries[incomplete], limit, expression)
            self._widen_incomplete(queries[incomplete], filtered, k, limit, expression)
            for query, answer in zip(incomplete, filtered, strict=True):
                answers[query] = _union(answers[query], answer)
        return self._rank(queries, answers, k)

    def _passing_ids(self, ids: Ids, expression: str) -> Ids:
        """Which of these ids pass a filter."""
        found: list[int] = []
        for start in range(0, len(ids), MAX_LIMIT):
            passing = f"id in {ids[start : start + MAX_LIMIT].tolist()} and ({expression})"
            rows = self.server.query(
                self.collection.name, passing, ["id"], level=self.level, partitions=self.partitions
            )
            found += [row["id"] for row in rows]
        return np.array(found, np.int64)

    def _rank(self, queries: Features, answers: list[Hits], k: int) -> Matches:
        """The k nearest hits of each query, ties by id."""
        counts = [len(answer.ids) for answer in answers]
        owner = np.repeat(np.arange(len(queries)), counts)
        ids = np.concatenate([answer.ids for answer in answers])
        if self._with_vectors:
            rows = np.concatenate([answer.vectors for answer in answers if answer.vectors is not None])
            distances = paired("cosine", queries[owner], rows)
        else:
            distances = _distances(np.concatenate([answer.scores for answer in answers]))
        return Matches(*top_k(owner, ids, distances, len(queries), k), NO_GUARANTEE)

    def _complete_ties(self, queries: Features, answers: list[Hits], k: int, limit: int, expression: str) -> None:
        """Raise the limit where it cuts a group of equal distances: Milvus orders ties arbitrarily, we do by id."""
        cut = list(range(len(queries)))
        while limit < MAX_LIMIT:
            cut = [query for query in cut if answers[query].full and _cut_in_tie(answers[query], k)]
            if not cut:
                return
            limit = min(2 * limit, MAX_LIMIT)
            for query, answer in zip(cut, self._request(queries[cut], limit, expression), strict=True):
                answers[query] = answer

    def _widen_incomplete(self, queries: Features, answers: list[Hits], k: int, limit: int, expression: str) -> None:
        """Repeat queries with fewer than k hits at maximum effort: an approximate search may miss rows that pass."""
        incomplete = [query for query, answer in enumerate(answers) if len(answer.ids) < k]
        if incomplete:
            effort = MAX_EFFORT[self.collection.index_type]
            widened = self._request(queries[incomplete], limit, expression, effort=effort)
            for query, answer in zip(incomplete, widened, strict=True):
                if len(answer.ids) > len(answers[query].ids):
                    answers[query] = answer

    def _request(self, queries: Features, limit: int, expression: str, *, effort: int | None = None) -> list[Hits]:
        return self.server.search(
            self.collection.name,
            queries,
            limit,
            expression,
            self.collection.parameters(limit, effort=effort),
            level=self.level,
            partitions=self.partitions,
            vectors=self._with_vectors,
        )


def _distances(scores: Distances) -> Distances:
    """1 - cosine, from inner products of unit rows; values below `ZERO_DISTANCE` are 0."""
    found = np.float32(1) - scores
    found[found < ZERO_DISTANCE] = 0
    return found


def _union(a: Hits, b: Hits) -> Hits:
    """The union of hits without vectors."""
    ids, first = np.unique(np.concatenate([a.ids, b.ids]), return_index=True)
    return Hits(ids, np.concatenate([a.scores, b.scores])[first], None, a.full or b.full)


def _cut_in_tie(answer: Hits, k: int) -> bool:
    """Whether the last hit is as near as the k-th, so that further ties may be missing."""
    distances = _distances(answer.scores)
    return bool(distances[-1] <= distances[k - 1])
