"""Pipelines and the calibration of their distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.encoders.phash import PHash
from lookalike.errors import BadSetting, FeatureMismatch
from lookalike.indexes.flat import FlatIndex
from lookalike.pipeline import Calibration, Pipeline
from lookalike.types import FeatureSpec, Rows

TABLE = Calibration(((0.0, -6.0), (0.1, -4.0), (0.3, -1.0), (1.0, 0.0)), 0.1)


def test_the_rate_is_read_off_the_table() -> None:
    assert TABLE.log_false_match_rate(0.0) == -6
    assert TABLE.log_false_match_rate(0.05) == pytest.approx(-5)
    assert TABLE.log_false_match_rate(0.2) == pytest.approx(-2.5)
    assert TABLE.log_false_match_rate(1.0) == 0


def test_no_false_match_rate_is_stated_below_what_was_measured() -> None:
    assert TABLE.false_match_rate(0.2) == pytest.approx(10**-2.5, rel=1e-3)
    assert TABLE.false_match_rate(1.0) == 1
    measured = Calibration(TABLE.anchors[1:], 0.1)
    assert [measured.false_match_rate(distance) for distance in (0.0, 0.05, 0.1)] == [1e-4] * 3
    assert Calibration(TABLE.anchors, 0.1, measured=False).false_match_rate(0.2) is None


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_rate_rises_with_distance_and_is_inverted(a: float, b: float) -> None:
    if a < b:
        assert TABLE.log_false_match_rate(a) <= TABLE.log_false_match_rate(b)
    assert TABLE.distance_at(TABLE.log_false_match_rate(a)) == pytest.approx(a, abs=1e-9)


@pytest.mark.parametrize(
    ("anchors", "threshold"),
    [(((0.0, -1.0),), 0.1), (((0.0, -1.0), (0.0, 0.0)), 0.1), (((0.0, 0.0), (1.0, -1.0)), 0.1), (TABLE.anchors, 1.2)],
)
def test_invalid_calibrations_are_refused(anchors: tuple[tuple[float, float], ...], threshold: float) -> None:
    with pytest.raises(BadSetting):
        Calibration(anchors, threshold)


def test_an_index_of_other_features_is_refused() -> None:
    encoder = PHash()
    other = FlatIndex(FeatureSpec("phash", "hamming", 8, "another"), None)
    with pytest.raises(FeatureMismatch, match="another"):
        Pipeline(encoder, other, TABLE)


def test_the_best_view_of_each_image_counts() -> None:
    encoder = PHash()
    index = FlatIndex(encoder.spec, None)
    rows = np.zeros((3, 8), np.uint8)
    rows[1, 0], rows[2] = 0b1, 255
    index.upsert(Rows(np.array([1, 2, 3]), rows, np.ones(3, np.int64)))
    pipeline = Pipeline(encoder, index, TABLE)
    views = np.stack([rows[1], rows[2]])[None]
    [ranked] = pipeline.search_features(views, 10)
    assert ranked.ids.tolist() == [2, 3, 1]
    assert ranked.distances.tolist() == pytest.approx([0, 0, 1 / 64])
    assert ranked.exact_within == 1
    [near] = pipeline.search_features(views, 10, max_distance=0.5 / 64)
    assert (near.ids.tolist(), near.exact_within) == ([2, 3], 0.5 / 64)
    [first] = pipeline.search_features(views, 1)
    assert first.ids.tolist() == [2]


def test_a_flat_image_has_no_matches() -> None:
    encoder = PHash()
    index = FlatIndex(encoder.spec, None)
    index.upsert(Rows(np.array([1]), np.zeros((1, 8), np.uint8), np.ones(1, np.int64)))
    flat, textured = np.full((32, 32), 7, np.uint8), np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    pipeline = Pipeline(encoder, index, TABLE)
    none, some = pipeline.search_views(pipeline.encoder.encode_views(np.stack([flat, textured])), 5)
    assert len(none.ids) == 0
    assert len(some.ids) == 1
