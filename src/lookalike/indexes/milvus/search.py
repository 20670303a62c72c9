"""One search, as the requests that Milvus accepts, and their answers as one ranking."""

import math
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import Distances, merge, paired, top_k
from lookalike.indexes.milvus.client import ConsistencyLevel, Hits, MilvusGateway
from lookalike.indexes.milvus.collections import Collection
from lookalike.indexes.milvus.config import MAX_EFFORT, SEARCH_PARAM
from lookalike.types import FULLY_EXACT, NO_GUARANTEE, Features, Ids, Matches

MAX_LIMIT = 16_384
"""Rows that Milvus gives for one query, whatever its version."""
MAX_MATCHES = MAX_LIMIT - 2
"""Matches that we give: one row is none of ours (see `milvus_state`), one shows whether equals were cut in two."""
MAX_QUERIES = 1000
"""Queries in one request: 2 MB of 512 floats, far below the 64 MB of a message."""
MAX_HITS = 1 << 18
"""Matches in one answer, all queries together: some 5 MB."""
MAX_HITS_WITH_VECTORS = 4096
"""The same where vectors come along: 8 MB of 512 floats."""
ZERO_DISTANCE = 1e-6
"""Cosine distances that are shown as 0: a sum of 512 products in single precision errs by up to about that."""
SELECTIVE_SHARE = 0.05
"""The share of rows below which a filter's rows are all compared, in every version: Milvus does so below 0.07."""
UNSELECTIVE_SHARE = 0.9
"""The share above which a filter does a graph no harm."""
OVERSAMPLING = 1.5
"""How many more rows are asked for than hold k that pass, where a filter is applied here."""
COUNT_TTL = 30.0
"""Seconds for which a count is good enough: it steers an effort, and nothing is left out because of it."""
MAX_ENTRIES = 1000
"""Counts remembered at a time."""
MAX_EXPRESSION_LENGTH = 500
"""Letters of an expression worth remembering; long ones name ids, and hardly come twice."""
ALL_ROWS = "id > 0"


class SelectivityCache:
    """Counts of one server's rows, remembered for a while; safe to use from several threads."""

    def __init__(self, server: MilvusGateway) -> None:
        self._server = server
        self._counts: dict[tuple[str, str, tuple[str, ...]], tuple[float, int]] = {}

    def share(self, name: str, expression: str, partitions: list[str] | None, level: ConsistencyLevel) -> float:
        """The share of a collection's rows (or of those in some partitions) that pass, 0 to 1."""
        every = self._count(name, ALL_ROWS, partitions, level)
        return min(1.0, self._count(name, expression, partitions, level) / every) if every else 0.0

    def _count(self, name: str, expression: str, partitions: list[str] | None, level: ConsistencyLevel) -> int:
        key = (name, expression, tuple(partitions or ()))
        asked, count = self._counts.get(key, (-COUNT_TTL, 0))
        if time.monotonic() - asked < COUNT_TTL:
            return count
        rows = self._server.query(name, expression, ["count(*)"], level=level, partitions=partitions)
        count = int(rows[0]["count(*)"])
        if len(expression) <= MAX_EXPRESSION_LENGTH:
            if len(self._counts) >= MAX_ENTRIES:
                self._counts = {}
            self._counts[key] = (time.monotonic(), count)
        return count


class Search:
    """What is the same for all requests of one search."""

    def __init__(
        self,
        server: MilvusGateway,
        collection: Collection,
        level: ConsistencyLevel,
        partitions: list[str] | None,
        selectivity: SelectivityCache | None = None,
    ) -> None:
        self._server = server
        self._selectivity = selectivity or SelectivityCache(server)
        self._collection = collection
        self._level = level
        self._partitions = partitions
        self._exact = collection.index_type == "FLAT"
        self._with_vectors = collection.index_type == "IVF_SQ8"  # it measures with a byte a float: measured again here

    def nearest(self, queries: Features, k: int, expressions: Sequence[str]) -> Matches:
        """The k nearest rows that pass any of the expressions, which exclude each other."""
        promise = FULLY_EXACT if self._exact else NO_GUARANTEE
        found = Matches(np.full((len(queries), k), -1), np.full((len(queries), k), np.inf, np.float32), promise)
        wanted = min(2 * k + 10 if self._with_vectors else k + 2, MAX_LIMIT)
        step = max(1, min(MAX_QUERIES, (MAX_HITS_WITH_VECTORS if self._with_vectors else MAX_HITS) // wanted))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            for expression in expressions:
                more = self._search_expression(queries[part], k, wanted, expression)
                best = merge(Matches(found.ids[part], found.distances[part], promise), more, k)
                found.ids[part], found.distances[part] = best.ids, best.distances
        return found

    def _search_expression(self, queries: Features, k: int, limit: int, expression: str) -> Matches:
        share = self._passing_share(expression)
        if self._collection.index_type == "HNSW" and SELECTIVE_SHARE < share < UNSELECTIVE_SHARE:
            return self._post_filter(queries, k, limit, expression, share)
        answers = self._request(queries, limit, expression, effort=self._probed_lists(share))
        if self._exact:
            self._complete_ties(queries, answers, k, limit, expression)
        else:
            self._widen_incomplete(queries, answers, k, limit, expression)
        return self._rank(queries, answers, k)

    def _passing_share(self, expression: str) -> float:
        """The share of rows that a filter passes, where that makes a difference; else 1."""
        if not expression or self._exact or self._server.connection.lite:
            return 1.0
        return self._selectivity.share(self._collection.name, expression, self._partitions, self._level)

    def _probed_lists(self, share: float) -> int | None:
        """The lists of an inverted file to look into: the fewer of their rows a filter leaves to be compared, the more.

        The work stays the same, and the neighbours, which lie the farther apart, are found. None: as it was tuned.
        """
        name = SEARCH_PARAM.get(self._collection.index_type)
        if name != "nprobe" or share == 1:
            return None
        usual = self._collection.parameters(1)[name]
        return min(MAX_EFFORT[self._collection.index_type], math.ceil(usual / max(share, 1e-6)))

    def _post_filter(self, queries: Features, k: int, limit: int, expression: str, share: float) -> Matches:
        """Search a graph without the filter, for more, and leave out what does not pass it.

        Milvus follows only some of the edges that lead over rows which do not pass, and loses its way where these are
        many (measured on 2.3.5: of a tenth of the rows it finds 0.75 to 0.85 of the nearest, however wide it looks).
        Where fewer than k are left, those that Milvus finds by itself are added.
        """
        wide = min(MAX_LIMIT, math.ceil(OVERSAMPLING * k / share) + limit)
        step = max(1, MAX_HITS // wide)
        starts = range(0, len(queries), step)
        answers = [answer for start in starts for answer in self._request(queries[start : start + step], wide, "")]
        passing = self._passing_ids(np.unique(np.concatenate([answer.ids for answer in answers])), expression)
        answers = [_select(answer, np.isin(answer.ids, passing)) for answer in answers]
        few = [place for place, answer in enumerate(answers) if len(answer.ids) < k]
        if few:
            own = self._request(queries[few], limit, expression)
            self._widen_incomplete(queries[few], own, k, limit, expression)
            for place, answer in zip(few, own, strict=True):
                answers[place] = _union(answers[place], answer)
        return self._rank(queries, answers, k)

    def _passing_ids(self, ids: Ids, expression: str) -> Ids:
        """Which of these ids a filter passes."""
        found: list[int] = []
        for start in range(0, len(ids), MAX_LIMIT):
            some = f"id in {ids[start : start + MAX_LIMIT].tolist()}"
            rows = self._server.query(
                self._collection.name,
                f"{some} and ({expression})",
                ["id"],
                level=self._level,
                partitions=self._partitions,
            )
            found += [row["id"] for row in rows]
        return np.array(found, np.int64)

    def _rank(self, queries: Features, answers: list[Hits], k: int) -> Matches:
        """The k best of each answer, ties by id."""
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
        """Where equal distances were cut in two, ask for more: Milvus orders equals as it likes, we do by id."""
        cut = list(range(len(queries)))
        while limit < MAX_LIMIT:
            cut = [place for place in cut if answers[place].full and _cut_in_tie(answers[place], k)]
            if not cut:
                return
            limit = min(2 * limit, MAX_LIMIT)
            for place, answer in zip(cut, self._request(queries[cut], limit, expression), strict=True):
                answers[place] = answer

    def _widen_incomplete(self, queries: Features, answers: list[Hits], k: int, limit: int, expression: str) -> None:
        """Where fewer than k came back, look everywhere: an index that is searched in part may pass over the rest."""
        few = [place for place, answer in enumerate(answers) if len(answer.ids) < k]
        if few:
            wider = self._request(queries[few], limit, expression, effort=MAX_EFFORT[self._collection.index_type])
            for place, answer in zip(few, wider, strict=True):
                if len(answer.ids) > len(answers[place].ids):
                    answers[place] = answer

    def _request(self, queries: Features, limit: int, expression: str, *, effort: int | None = None) -> list[Hits]:
        return self._server.search(
            self._collection.name,
            queries,
            limit,
            expression,
            self._collection.parameters(limit, effort=effort),
            level=self._level,
            partitions=self._partitions,
            vectors=self._with_vectors,
        )


def _distances(scores: Distances) -> Distances:
    """1 - cosine of inner products of unit rows, never negative, and 0 for what is equal but for the last digits."""
    found = np.float32(1) - scores
    found[found < ZERO_DISTANCE] = 0
    return found


def _select(answer: Hits, keep: NDArray[np.bool_]) -> Hits:
    """Some of the rows of an answer without vectors."""
    return Hits(answer.ids[keep], answer.scores[keep], None, answer.full)


def _union(one: Hits, other: Hits) -> Hits:
    """The rows of two answers without vectors, each row once."""
    ids, first = np.unique(np.concatenate([one.ids, other.ids]), return_index=True)
    return Hits(ids, np.concatenate([one.scores, other.scores])[first], None, one.full or other.full)


def _cut_in_tie(answer: Hits, k: int) -> bool:
    distances = _distances(answer.scores)
    return bool(distances[-1] <= distances[k - 1])
