"""Distances of negative pairs against a plain double loop, and the anchors of a calibration."""

from itertools import pairwise

import numpy as np
import pytest
from benchmarks.negative_pairs import negative_pair_distances

from lookalike.distances import normalise
from lookalike.errors import BadInput


def codes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8), np.uint8)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return normalise(np.abs(np.random.default_rng(seed).normal(size=(count, 16))))


def groups(count: int, size: int = 3) -> list[str]:
    return [f"group {number // size}" for number in range(count)]


def hamming(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.unpackbits(a ^ b).sum()) / 64


def test_hamming_pairs_are_counted() -> None:
    rows, labels = codes(40), groups(40)
    pairs = [hamming(rows[i], rows[j]) for i in range(40) for j in range(40) if labels[i] != labels[j]]
    found = negative_pair_distances("hamming", rows, labels)
    assert found.pairs == len(pairs)
    for distance in (0.3, 0.4, 0.5, 0.6):
        assert found.rate(distance) == pytest.approx(sum(pair <= distance for pair in pairs) / len(pairs))


def test_the_nearest_view_counts() -> None:
    rows, labels = codes(30), groups(30)
    views = np.stack([rows, codes(30, 1), codes(30, 2)], axis=1)
    pairs = [
        min(hamming(view, rows[j]) for view in views[i]) for i in range(30) for j in range(30) if labels[i] != labels[j]
    ]
    found = negative_pair_distances("hamming", rows, labels, views=views)
    for distance in (0.25, 0.35, 0.45):
        assert found.rate(distance) == pytest.approx(sum(pair <= distance for pair in pairs) / len(pairs))


def test_cosine_pairs_are_counted_to_a_ten_thousandth() -> None:
    rows, labels = vectors(60), groups(60)
    wide = rows.astype(np.float64)
    pairs = np.array([1 - wide[i] @ wide[j] for i in range(60) for j in range(60) if labels[i] != labels[j]])
    found = negative_pair_distances("cosine", rows, labels)
    assert found.pairs == len(pairs)
    for distance in (0.1, 0.2, 0.3, 0.5):
        assert (pairs <= distance - 2e-4).mean() <= found.rate(distance) <= (pairs <= distance + 2e-4).mean()


def test_pairs_of_one_group_do_not_count() -> None:
    rows = np.repeat(codes(20), 2, axis=0)
    found = negative_pair_distances("hamming", rows, groups(40, 2))
    assert found.rate(0.0) == 0.0
    assert found.pairs == 40 * 38


@pytest.mark.parametrize(("metric", "rows"), [("hamming", codes(120)), ("cosine", vectors(120))])
def test_anchors_are_monotonic_and_measured(metric, rows) -> None:
    labels = groups(120)
    found = negative_pair_distances(metric, rows, labels)
    anchors = found.anchors()
    assert len(anchors) >= 4
    assert all(low[0] < high[0] and low[1] < high[1] for low, high in pairwise(anchors))
    for distance, rate in anchors:
        assert found.rate(distance) == pytest.approx(10**rate)
    assert min(10**rate for _, rate in anchors) * found.pairs >= 10


def test_a_threshold_respects_the_false_match_rate() -> None:
    found = negative_pair_distances("hamming", codes(200), groups(200))
    threshold = found.threshold(0.001)
    assert found.rate(threshold) <= 0.001 < found.rate(threshold + 1 / 64)


def test_a_rate_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(BadInput, match="more images"):
        negative_pair_distances("hamming", codes(30), groups(30)).threshold(1e-6)


def test_negative_pairs_need_two_groups_and_as_many_labels_as_rows() -> None:
    with pytest.raises(BadInput, match="two groups"):
        negative_pair_distances("hamming", codes(3), ["a", "a", "a"])
    with pytest.raises(BadInput, match="two groups"):
        negative_pair_distances("hamming", codes(0), [])
    with pytest.raises(BadInput, match="3 features"):
        negative_pair_distances("hamming", codes(3), ["a", "b"])
