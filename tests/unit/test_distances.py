"""Exact distances and exact nearest rows, compared with an independent brute force."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike import distances
from lookalike.types import FULLY_EXACT, NO_GUARANTEE, Features, Matches, Metric


def make(metric: Metric, rng: np.random.Generator, n: int, width: int, levels: int = 256) -> Features:
    """Rows, with many ties if there are few levels."""
    if metric == "hamming":
        return (rng.integers(0, levels, (n, width)) % 256).astype(np.uint8)
    return distances.normalise(rng.integers(1, levels + 1, (n, width)))


def brute(metric: Metric, queries: Features, rows: Features) -> NDArray[Any]:
    if metric == "hamming":
        return np.array(
            [[sum(int(x ^ y).bit_count() for x, y in zip(q, r, strict=True)) for r in rows] for q in queries]
        )
    return 1 - queries.astype(np.longdouble) @ rows.astype(np.longdouble).T


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 16, 31, 32, 40])
def test_hamming_counts_bits_at_any_width(width: int) -> None:
    rng = np.random.default_rng(width)
    a, b = make("hamming", rng, 5, width), make("hamming", rng, 9, width)
    b[0], b[1] = a[0], ~a[0]
    want = brute("hamming", a, b)
    np.testing.assert_array_equal(distances.pairwise("hamming", a, b), want)
    np.testing.assert_array_equal(distances.paired("hamming", a, b[:5]), want[range(5), range(5)])
    found = distances.nearest("hamming", a, b, np.arange(1, 10), 9)
    np.testing.assert_array_equal(found.distances, np.sort(want, axis=1))
    assert want[0, 1] == width * 8


def test_cosine_is_one_minus_cosine_and_zero_from_itself() -> None:
    rng = np.random.default_rng(1)
    rows = distances.normalise(rng.normal(size=(300, 512)))
    got = distances.pairwise("cosine", rows[:20], rows)
    assert got.dtype == np.float32
    assert np.abs(got - brute("cosine", rows[:20], rows)).max() < 2e-7
    assert (got[range(20), range(20)] == 0).all()
    opposite = distances.paired("cosine", rows[:1], -rows[:1])
    np.testing.assert_allclose(opposite, 2, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_normalise(dtype: Any) -> None:
    rows = np.array([[3, 4], [0, 0], [-5, 0]], dtype)
    unit = distances.normalise(rows)
    np.testing.assert_allclose(unit, np.array([[0.6, 0.8], [0, 0], [-1, 0]]), atol=1e-7)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(distances.normalise(unit), unit, atol=1e-7)
    assert distances.normalise(np.zeros((0, 3))).shape == (0, 3)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["hamming", "cosine"]),
    st.integers(0, 80),
    st.integers(0, 5),
    st.integers(1, 90),
    st.sampled_from([2, 3, 256]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_nearest_equals_sorting_everything(
    metric: Metric, n: int, q: int, k: int, levels: int, some: bool, near: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 12))
    rows, queries = make(metric, rng, n, width, levels), make(metric, rng, q, width, levels)
    ids = rng.permutation(1000)[:n] + 1
    keep = np.flatnonzero(rng.random(n) < 0.5) if some else None
    table = distances.pairwise(metric, queries, rows)
    limit = float(np.median(table)) if near and table.size else None
    found = distances.nearest(metric, queries, rows, ids, k, keep=keep, max_distance=limit)
    assert found.ids.shape == found.distances.shape == (q, k)
    assert found.exact_within == FULLY_EXACT
    allowed = set(range(n) if keep is None else keep.tolist())
    for row in range(q):
        pairs = [(table[row, i], ids[i]) for i in allowed if limit is None or table[row, i] <= limit]
        want = sorted(pairs)[:k] + [(np.inf, -1)] * max(0, k - len(pairs))
        assert list(zip(found.distances[row], found.ids[row], strict=True)) == want


@pytest.mark.parametrize("metric", ["hamming", "cosine"])
def test_results_do_not_depend_on_the_batch(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rows = make(metric, rng, 3000, 16, 3)
    rows = np.concatenate([rows, rows[:1000]])  # equal rows must tie
    ids, queries = rng.permutation(len(rows)) + 1, make(metric, rng, 130, 16, 3)
    whole = distances.nearest(metric, queries, rows, ids, 20)
    for work, most in [(1 << 18, 1), (1 << 10, 64), (1 << 13, 7)]:
        monkeypatch.setattr(distances, "WORK_ELEMENTS", work)
        monkeypatch.setattr(distances, "QUERY_BLOCK", most)
        again = distances.nearest(metric, queries, rows, ids, 20, keep=np.arange(len(rows)) if work < 5000 else None)
        np.testing.assert_array_equal(again.ids, whole.ids)
        np.testing.assert_array_equal(again.distances, whole.distances)


def test_memory_is_bounded() -> None:
    rng = np.random.default_rng(4)
    rows = distances.normalise(rng.normal(size=(50_000, 64)))
    tracemalloc.start()
    distances.nearest("cosine", rows[:500], rows, np.arange(1, 50_001), 10)  # a whole table would take 100 MB
    distances.nearest("cosine", rows[:500], rows, np.arange(1, 50_001), 10, keep=np.arange(0, 50_000, 2))
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()


def test_a_negative_limit_and_no_rows_find_nothing() -> None:
    rows = np.zeros((4, 8), np.uint8)
    assert (distances.nearest("hamming", rows, rows, np.arange(1, 5), 2, max_distance=-1).ids == -1).all()
    assert (distances.nearest("hamming", rows, rows[:0], np.arange(0), 2).ids == -1).all()
    assert distances.nearest("hamming", rows[:0], rows, np.arange(1, 5), 2).ids.shape == (0, 2)


def test_merge_takes_the_best_of_both() -> None:
    a = Matches(np.array([[5, 9]]), np.array([[0.1, 0.3]], np.float32), FULLY_EXACT)
    b = Matches(np.array([[2, -1]]), np.array([[0.3, np.inf]], np.float32), NO_GUARANTEE)
    both = distances.merge(a, b, 3)
    assert both.ids.tolist() == [[5, 2, 9]]
    assert both.exact_within == NO_GUARANTEE
    assert distances.merge(b, b, 4).ids.tolist() == [[2, 2, -1, -1]]
