"""Measures against their plain definitions, computed query by query."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.estimation import wilson_interval
from lookalike.evaluation.metrics import (
    NO_ANSWER,
    bootstrap,
    micro_average_precision,
    recall_at_false_rate,
    recall_at_k,
    threshold_at_false_rate,
)

SCORES = st.integers(-5, 5).map(float)  # few values, so that ties are common
HITS = st.lists(st.tuples(SCORES, st.booleans(), st.integers(0, 3)), max_size=30)
ANSWERS = st.lists(st.one_of(SCORES, st.just(NO_ANSWER)), min_size=1, max_size=30)
RATES = st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0])


def repeated(rows: list[tuple[float, bool, int]]) -> list[tuple[float, bool]]:
    return [(score, right) for score, right, weight in rows for _ in range(weight)]


def plain_average_precision(hits: list[tuple[float, bool]], positives: int) -> float:
    """For each accepted set from the strictest threshold down: gain in recall times precision."""
    total = recall = 0.0
    for threshold in sorted({score for score, _ in hits}, reverse=True):
        accepted = [right for score, right in hits if score >= threshold]
        total += (sum(accepted) / positives - recall) * sum(accepted) / len(accepted)
        recall = sum(accepted) / positives
    return total


def plain_recall(right: list[float], negatives: list[float], rate: float) -> float:
    """The best recall of any threshold that few enough negatives exceed."""
    allowed = [
        threshold
        for threshold in (NO_ANSWER, *negatives, *right)
        if sum(score > threshold for score in negatives) <= rate * len(negatives)
    ]
    return max(sum(score > threshold for score in right) / len(right) for threshold in allowed)


@given(HITS, st.integers(0, 10))
def test_average_precision_is_the_area_of_its_definition(hits: list[tuple[float, bool, int]], missed: int) -> None:
    plain = repeated(hits)
    positives = sum(right for _, right in plain) + missed
    scores, correct, weights = (np.array([row[n] for row in hits]) for n in range(3))
    if positives:
        found = micro_average_precision(scores.astype(float), correct.astype(bool), positives, weights.astype(float))
        assert math.isclose(found, plain_average_precision(plain, positives), abs_tol=1e-12)


@given(st.lists(st.one_of(st.integers(1, 12).map(float), st.just(math.inf)), min_size=1), st.integers(1, 12))
def test_recall_counts_originals_among_the_first_k(ranks: list[float], k: int) -> None:
    assert math.isclose(recall_at_k(np.array(ranks), k), sum(rank <= k for rank in ranks) / len(ranks))


@given(ANSWERS, ANSWERS, RATES)
def test_recall_at_a_false_rate_is_that_of_the_best_allowed_threshold(
    right: list[float], negatives: list[float], rate: float
) -> None:
    found = recall_at_false_rate(np.array(right), np.array(negatives), rate)
    assert math.isclose(found, plain_recall(right, negatives, rate), abs_tol=1e-12)


@given(st.lists(st.tuples(SCORES, st.integers(0, 3)), min_size=1).filter(lambda n: any(w for _, w in n)), RATES)
def test_weights_are_repetitions(negatives: list[tuple[float, int]], rate: float) -> None:
    scores, weights = (np.array([row[n] for row in negatives], float) for n in range(2))
    plain = np.array([score for score, weight in negatives for _ in range(weight)])
    assert threshold_at_false_rate(scores, rate, weights) == threshold_at_false_rate(plain, rate)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 9))
def test_an_interval_holds_its_value(values: list[float], seed: int) -> None:
    column = np.array(values)
    estimate = bootstrap(lambda w: float(w @ column / w.sum()), len(column), seed=seed, resamples=50)
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize("images", [1, 8, 1000])
def test_no_failure_among_few_images_does_not_mean_none_ever(images: int) -> None:
    estimate = bootstrap(lambda w: 1.0, images)
    assert estimate.low is not None
    assert 0 < estimate.low < 1
    low, high = wilson_interval(0.0, images)
    assert low < 1e-12
    assert 0 < high < 1


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        column = (rng.random(60) < 0.7).astype(float)
        estimate = bootstrap(lambda w, c=column: float(w @ c / w.sum()), 60, seed=seed, resamples=200)
        held += estimate.low <= 0.7 <= estimate.high  # type: ignore[operator]
    assert 0.88 <= held / 200 <= 1.0
