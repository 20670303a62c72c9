"""One search, as the requests that Milvus accepts, and their answers as one ranking."""

from collections.abc import Sequence

import numpy as np

from lookalike import distance
from lookalike.stores.milvus_collection import Collection
from lookalike.stores.milvus_server import Found, Level, Server
from lookalike.stores.milvus_settings import WIDEST
from lookalike.types import EVERYTHING, NOTHING, Features, Matches

LIMIT = 16_384
"""Rows that Milvus gives for one query, whatever its version."""
MOST = LIMIT - 2
"""Matches that we give: one row is none of ours (see `milvus_state`), one shows whether equals were cut in two."""
QUERIES = 1000
"""Queries in one request: 2 MB of 512 floats, far below the 64 MB of a message."""
HITS = 1 << 18
"""Matches in one answer, all queries together: some 5 MB."""
VECTORS = 4096
"""The same where vectors come along: 8 MB of 512 floats."""
ZERO = 1e-6
"""Cosine distances that are shown as 0: a sum of 512 products in single precision errs by up to about that."""


class Search:
    """What is the same for all requests of one search."""

    def __init__(self, server: Server, collection: Collection, level: Level, partitions: list[str] | None) -> None:
        self._server = server
        self._collection = collection
        self._level = level
        self._partitions = partitions
        self._exact = collection.kind == "FLAT"
        self._vectors = collection.kind == "IVF_SQ8"  # it measures with a byte a float: measured again here

    def nearest(self, queries: Features, k: int, expressions: Sequence[str]) -> Matches:
        """The k nearest rows that pass any of the expressions, which exclude each other."""
        promise = EVERYTHING if self._exact else NOTHING
        found = Matches(np.full((len(queries), k), -1), np.full((len(queries), k), np.inf, np.float32), promise)
        wanted = min(2 * k + 10 if self._vectors else k + 2, LIMIT)
        step = max(1, min(QUERIES, (VECTORS if self._vectors else HITS) // wanted))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            for expression in expressions:
                more = self._of_one(queries[part], k, wanted, expression)
                best = distance.merge(Matches(found.ids[part], found.distances[part], promise), more, k)
                found.ids[part], found.distances[part] = best.ids, best.distances
        return found

    def _of_one(self, queries: Features, k: int, limit: int, expression: str) -> Matches:
        answers = self._ask(queries, limit, expression)
        if self._exact:
            self._reach_past_ties(queries, answers, k, limit, expression)
        else:
            self._look_wider(queries, answers, k, limit, expression)
        counts = [len(answer.ids) for answer in answers]
        owner = np.repeat(np.arange(len(queries)), counts)
        ids = np.concatenate([answer.ids for answer in answers])
        if self._vectors:
            rows = np.concatenate([answer.vectors for answer in answers if answer.vectors is not None])
            distances = distance.paired("cosine", queries[owner], rows)
        else:
            distances = _distances(np.concatenate([answer.scores for answer in answers]))
        return Matches(*distance.top_k(owner, ids, distances, len(queries), k), NOTHING)

    def _reach_past_ties(self, queries: Features, answers: list[Found], k: int, limit: int, expression: str) -> None:
        """Where equal distances were cut in two, ask for more: Milvus orders equals as it likes, we do by id."""
        cut = list(range(len(queries)))
        while limit < LIMIT:
            cut = [place for place in cut if answers[place].full and _tied(answers[place], k)]
            if not cut:
                return
            limit = min(2 * limit, LIMIT)
            for place, answer in zip(cut, self._ask(queries[cut], limit, expression), strict=True):
                answers[place] = answer

    def _look_wider(self, queries: Features, answers: list[Found], k: int, limit: int, expression: str) -> None:
        """Where fewer than k came back, look everywhere: an index that is searched in part may pass over the rest."""
        few = [place for place, answer in enumerate(answers) if len(answer.ids) < k]
        if few:
            wider = self._ask(queries[few], limit, expression, knob=WIDEST[self._collection.kind])
            for place, answer in zip(few, wider, strict=True):
                if len(answer.ids) > len(answers[place].ids):
                    answers[place] = answer

    def _ask(self, queries: Features, limit: int, expression: str, *, knob: int | None = None) -> list[Found]:
        return self._server.search(
            self._collection.name,
            queries,
            limit,
            expression,
            self._collection.parameters(limit, knob=knob),
            level=self._level,
            partitions=self._partitions,
            vectors=self._vectors,
        )


def _distances(scores: distance.Distances) -> distance.Distances:
    """1 - cosine of inner products of unit rows, never negative, and 0 for what is equal but for the last digits."""
    found = np.float32(1) - scores
    found[found < ZERO] = 0
    return found


def _tied(answer: Found, k: int) -> bool:
    distances = _distances(answer.scores)
    return bool(distances[-1] <= distances[k - 1])
