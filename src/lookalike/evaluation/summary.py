"""Summaries of an evaluation: the measures of a search, over all edits or for one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lookalike.evaluation.measurement import EVALUATED_HITS, QueryResult, Sample
from lookalike.evaluation.metrics import (
    NO_ANSWER,
    Estimate,
    Floats,
    Predictions,
    bootstrap,
    micro_average_precision,
    recall_at_false_rate,
    recall_at_k,
)
from lookalike.types import Evidence

RANKS = (1, 5, EVALUATED_HITS)
"""The k of recall@k."""
FALSE_RATES = (0.0, 0.001, 0.01)
"""Shares of queries without an original that may get an answer."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The measures of one search: over all edits (`edit` is None), or for one.

    Attributes:
        search: Name of the search.
        edit: Name of the edit, or None.
        sample: How the images were chosen.
        images: Images whose copies were searched for.
        queries: Queries that have an original in the gallery; each was also evaluated without it.
        negatives: Queries without an original: those, and copies of images outside the gallery.
        recall: By k, the share of queries whose original is among the first k hits.
        average_precision: Micro-average precision over all queries, with and without originals.
        recall_at_false: By share of negatives that get an answer, the share of queries answered rightly. None where
            the share is smaller than one of the negatives.
        labelled: Share of queries whose original is found and labelled "exact" or "copy".
        wrong_copies: Share of negatives that get a hit labelled "exact" or "copy".
    """

    search: str
    edit: str | None
    sample: Sample
    images: int
    queries: int
    negatives: int
    recall: Mapping[int, Estimate]
    average_precision: Estimate
    recall_at_false: Mapping[float, Estimate]
    labelled: Estimate
    wrong_copies: Estimate


def summarise(
    results: Sequence[QueryResult], *, search: str, edit: str | None = None, sample: Sample = "random"
) -> Summary:
    """Return the measures of the results of one search; images outside the gallery count as negatives of "random"."""
    samples = (sample, "outside") if sample == "random" else (sample,)
    chosen = [r for r in results if r.search == search and r.sample in samples and edit in (None, r.edit)]
    columns = _Columns(chosen)
    return Summary(
        search=search,
        edit=edit,
        sample=sample,
        images=len(np.unique(columns.image_of_query)),
        queries=len(columns.ranks),
        negatives=len(columns.negatives),
        recall={k: columns.estimate(partial(columns.recall_at, k)) for k in RANKS},
        average_precision=columns.estimate(columns.average_precision),
        recall_at_false={rate: columns.recall_at_false(rate) for rate in FALSE_RATES},
        labelled=columns.estimate(columns.labelled_share),
        wrong_copies=columns.estimate(columns.wrong_copy_share, of_negatives=True),
    )


def predictions(results: Sequence[QueryResult]) -> Predictions:
    """Return all hits of these results as one ranking.

    Each query counts twice: with its original in the gallery, and without it, where every hit is false. Half of the
    queries thus have no right answer. Of several right hits of one query the first counts.
    """
    number = {image: n for n, image in enumerate(dict.fromkeys(r.image for r in results))}
    rows: list[tuple[float, bool, int, float]] = []
    positives = np.zeros(len(number))
    for result in results:
        image = number[result.image]
        has_original = result.sample != "outside"
        positives[image] += has_original
        if has_original and result.right is not None:
            rows.append((result.right.score, True, image, 1.0))
        rows.extend((hit.score, False, image, 1.0 + has_original) for hit in result.without_original)
    scores, correct, images, weights = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Predictions(
        np.array(scores, np.float64),
        np.array(correct, np.bool_),
        np.array(images, np.intp),
        np.array(weights, np.float64),
        positives,
    )


class _Columns:
    """The results of one search as arrays, and measures of them under a weight for each image."""

    def __init__(self, results: Sequence[QueryResult]) -> None:
        self.predictions = predictions(results)
        number = {image: n for n, image in enumerate(dict.fromkeys(r.image for r in results))}
        self._images = len(number)
        inside = [r for r in results if r.sample != "outside"]
        self.image_of_query = np.array([number[r.image] for r in inside], np.intp)
        self.image_of_negative = np.array([number[r.image] for r in results], np.intp)
        self.ranks = np.array([np.inf if r.rank is None else r.rank for r in inside], np.float64)
        self._right = np.array([r.hits[0].score if r.rank == 1 else NO_ANSWER for r in inside], np.float64)
        first = [r.without_original[:1] for r in results]
        self.negatives = np.array([hits[0].score if hits else NO_ANSWER for hits in first], np.float64)
        self._labelled = np.array([r.right is not None and _is_copy(r.right.evidence) for r in inside], np.float64)
        self._wrong = np.array([any(_is_copy(h.evidence) for h in r.without_original) for r in results], np.float64)

    def estimate(self, statistic: Callable[[Floats], float], *, of_negatives: bool = False) -> Estimate:
        """A measure with its interval; nothing where there are no queries."""
        if not len(self.negatives if of_negatives else self.ranks):
            return Estimate()
        return bootstrap(statistic, self._images)

    def recall_at(self, k: int, weights: Floats) -> float:
        return recall_at_k(self.ranks, k, weights[self.image_of_query])

    def average_precision(self, weights: Floats) -> float:
        p = self.predictions
        return micro_average_precision(p.scores, p.correct, float(weights @ p.positives), p.weights * weights[p.images])

    def recall_at_false(self, rate: float) -> Estimate:
        if not len(self.ranks) or 0 < rate * len(self.negatives) < 1:
            return Estimate()
        return self.estimate(
            lambda weights: recall_at_false_rate(
                self._right, self.negatives, rate, weights[self.image_of_query], weights[self.image_of_negative]
            )
        )

    def labelled_share(self, weights: Floats) -> float:
        return _mean(self._labelled, weights[self.image_of_query])

    def wrong_copy_share(self, weights: Floats) -> float:
        return _mean(self._wrong, weights[self.image_of_negative])


def _is_copy(evidence: Evidence) -> bool:
    return evidence in ("exact", "copy")


def _mean(values: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    return float(values @ weights) / total if total else 0.0
