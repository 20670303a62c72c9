"""Monotone regression and intervals against their definitions."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lookalike.estimation import isotonic, wilson_interval


@given(st.lists(st.floats(-10, 10), max_size=40))
def test_the_fit_falls_and_keeps_the_mean(values: list[float]) -> None:
    fitted = isotonic(np.array(values))
    assert len(fitted) == len(values)
    assert all(a >= b for a, b in itertools.pairwise(fitted))
    assert math.isclose(float(np.sum(fitted)), sum(values), abs_tol=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12))
def test_the_fit_is_the_max_min_formula(values: list[float]) -> None:
    """Barlow et al. 1972: the fit at i is the max over ends from i on of the min over starts up to i of the means."""
    column = np.array(values)
    fitted = isotonic(column)
    for i in range(len(column)):
        plain = min(max(column[a : b + 1].mean() for b in range(i, len(column))) for a in range(i + 1))
        assert math.isclose(float(fitted[i]), float(plain), abs_tol=1e-9)


@given(st.integers(0, 30), st.integers(1, 30))
def test_an_interval_holds_its_share_and_shrinks(successes: int, n: int) -> None:
    share = min(successes, n) / n
    low, high = wilson_interval(share, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    wider, higher = wilson_interval(share, n / 2)
    assert high - low <= higher - wider + 1e-12
