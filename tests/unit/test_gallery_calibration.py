"""Calibrations of galleries: shares of false answers that hold, limits of the sample, and the stored form."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lookalike.errors import Damaged, UnsupportedQuery
from lookalike.gallery_calibration import Curve, CurveGroup, GalleryCalibration, fit_curve, measure_of
from lookalike.types import Verification

DISTANCES = st.lists(st.integers(0, 64).map(lambda bits: bits / 64), min_size=1, max_size=60)


def nearest_of(rng: np.random.Generator, queries: int, images: int) -> np.ndarray:
    """Distance of the nearest of so many unrelated images, whose distances have a Beta distribution."""
    return rng.beta(8, 4, (queries, images)).min(axis=1)


def curve_of(seed: int, *, queries: int = 4000, images: int = 300) -> Curve:
    rng = np.random.default_rng(seed)
    return fit_curve(rng.beta(1.2, 8, queries), nearest_of(rng, queries, images), queries)


def calibration_of(**measures: Curve) -> GalleryCalibration:
    combined = {"distance": measures.pop("distance")} if "distance" in measures else {}
    group = CurveGroup(measures, combined)
    return GalleryCalibration(1.8e9, 300, dict.fromkeys(measures, "f"), dict.fromkeys(measures, ()), (group,))


@given(DISTANCES, DISTANCES)
def test_shares_are_those_of_the_sample_and_never_zero(copies: list[float], negatives: list[float]) -> None:
    n = len(negatives)
    curve = fit_curve(np.array(copies), np.array(negatives), n)
    for value in negatives:
        seen = sum(negative <= value for negative in negatives)
        assert curve.false_share(value) == pytest.approx(seen / (n + 1))
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        seen = sum(negative <= value for negative in negatives)
        with_next = sum(negative <= min((n for n in negatives if n > value), default=1) for negative in negatives)
        assert max(seen, 1) / (n + 1) - 1e-9 <= curve.false_share(value) <= max(with_next, 1) / (n + 1) + 1e-9


@given(DISTANCES)
def test_what_the_sample_shows_nothing_of_is_ordered_and_promises_nothing(negatives: list[float]) -> None:
    curve = fit_curve(np.empty(0), np.array(negatives), len(negatives))
    values = np.linspace(0, min(negatives), 5)
    assert curve.false_share(0) == curve.floor() or not min(negatives)
    assert all(curve.false_share(value) >= curve.floor() for value in values)
    assert (np.diff([curve.seen(value) for value in values]) > 0).all() or not min(negatives)


@given(DISTANCES, DISTANCES, st.floats(1, 1000))
def test_shares_rise_and_probabilities_fall_with_the_value(
    copies: list[float], negatives: list[float], growth: float
) -> None:
    curve = fit_curve(np.array(copies), np.array(negatives), len(negatives))
    values = np.linspace(0, 1, 30)
    shares = [curve.false_share(value, growth) for value in values]
    found = [curve.probability(value, growth) for value in values]
    assert shares == sorted(shares)
    assert [p.value for p in found] == sorted((p.value for p in found), reverse=True)
    assert all(0 <= p.low <= p.value <= p.high <= 1 for p in found)
    assert all(p.value <= curve.probability(value).value for p, value in zip(found, values, strict=True))


@given(DISTANCES, st.floats(0.001, 1))
@example([0.0, 0.0], 0.5)
@example([0.0, 0.0, 0.3], 0.8)
def test_hits_within_the_value_of_a_share_have_at_most_that_share(negatives: list[float], share: float) -> None:
    curve = fit_curve(np.empty(0), np.array(negatives), len(negatives))
    value = curve.value_at(share)
    if value is None:
        assert share < max(curve.floor(), curve.false_share(0.0))
    else:
        assert sum(n < value for n in negatives) <= share * (len(negatives) + 1) + 1e-9
        assert value == np.inf or curve.false_share(value) <= share + 1e-9


def test_shares_of_small_samples_are_kept_on_average() -> None:
    """Also between those that whole numbers of negatives have: 100 show .01 and .02, and .018 as well."""
    rng = np.random.default_rng(7)
    new = np.sort(nearest_of(rng, 40_000, 30))
    for share in (0.01, 0.018, 0.035):
        curves = [fit_curve(np.empty(0), nearest_of(rng, 100, 30), 100) for _ in range(400)]
        values = np.array([curve.value_at(share) for curve in curves])
        achieved = np.mean(np.searchsorted(new, values)) / len(new)
        assert 0.85 * share <= achieved <= 1.15 * share


@pytest.mark.parametrize("share", [0.003, 0.01, 0.03, 0.1])
def test_the_share_of_new_queries_is_as_asked(share: float) -> None:
    value = curve_of(1).value_at(share)
    assert value is not None
    achieved = np.mean(nearest_of(np.random.default_rng(2), 20_000, 300) < value)
    assert share / 2 <= achieved <= 2 * share


@pytest.mark.parametrize("growth", [2, 10, 30])
def test_a_grown_gallery_answers_falsely_as_often_as_predicted(growth: int) -> None:
    rng = np.random.default_rng(3)
    value = curve_of(1, images=100).value_at(0.02, growth)
    assert value is not None
    achieved = np.mean([nearest_of(rng, 100, 100 * growth) < value for _ in range(100)])
    assert 0.01 <= achieved <= 0.04


def test_queries_of_different_density_are_not_underestimated() -> None:
    """One query in five lies among near neighbours; the predicted share of a grown gallery is then an upper bound."""
    rng = np.random.default_rng(4)
    dense = rng.random(20_000) < 0.2

    def nearest(images: int) -> np.ndarray:
        lowest = nearest_of(rng, 20_000, images)
        return np.where(dense, lowest * 0.5, lowest)

    curve = fit_curve(np.empty(0), nearest(50), 20_000)
    grown = nearest(200)
    for value in (0.1, 0.12, 0.15):
        assert np.mean(grown < value) <= 1.2 * curve.false_share(value, 4)


def test_probabilities_are_those_of_new_hits() -> None:
    rng = np.random.default_rng(6)
    curve = curve_of(5)
    copies, negatives = rng.beta(1.2, 8, 20_000), nearest_of(rng, 20_000, 300)
    for low, high in ((0.0, 0.1), (0.2, 0.25), (0.3, 0.4)):
        right, false = (np.sum((column >= low) & (column < high)) for column in (copies, negatives))
        mean = np.mean([curve.probability(value).value for value in np.linspace(low, high, 20)])
        assert mean == pytest.approx(right / (right + false), abs=0.08)


def test_a_share_that_the_sample_cannot_show_is_refused_with_the_remedy() -> None:
    calibration = calibration_of(phash=curve_of(1, queries=500))
    calibration.check_share(0.01, ["phash"], "single", images=300)
    with pytest.raises(UnsupportedQuery, match=r"fewer than 1 in 501 was seen.*calibrate --queries"):
        calibration.check_share(1e-4, ["phash"], "single", images=300)
    with pytest.raises(UnsupportedQuery, match="max_false"):
        calibration.check_share(0.01, ["phash"], "single", images=30_000)  # a hundred times as many images


def test_a_share_that_one_group_cannot_show_is_refused() -> None:
    few, many = curve_of(1, queries=100), curve_of(2, queries=4000)
    groups = tuple(CurveGroup({"phash": curve}, {}) for curve in (few, many))
    calibration = GalleryCalibration(1.8e9, 300, {"phash": "f"}, {"phash": (0.3,)}, groups)
    with pytest.raises(UnsupportedQuery, match=r"fewer than 1 in 101 of those with as dense a neighbourhood was seen"):
        calibration.check_share(1e-3, ["phash"], "single", images=300)


def test_a_query_belongs_to_the_group_of_its_radius_and_to_all_without_one() -> None:
    groups = tuple(CurveGroup({"phash": curve_of(seed, queries=50)}, {}) for seed in range(3))
    calibration = GalleryCalibration(1.8e9, 300, {"phash": "f"}, {"phash": (0.2, 0.4)}, groups)
    for radius, group in ((0.0, 0), (0.2, 0), (0.21, 1), (0.4, 1), (1.0, 2)):
        assert calibration.groups_at("phash", radius) == (groups[group],)
    assert calibration.groups_at("phash", None) == groups


def test_pixels_compared_are_judged_by_label_then_agreement() -> None:
    none = Verification(None, 0, 0, None, (), None, 0)
    assert measure_of("copy", "phash", 0.1, None) == ("phash", 0.1)
    assert measure_of("similar", "phash", 0.3, none) == ("phash", 0.3)
    values = [
        measure_of(label, "phash", 0.1, dataclasses.replace(none, agreement=agreement))
        for label, agreement in (("copy", 0.99), ("copy", 0.91), ("variant", 0.95), ("variant", 0.7), ("similar", 0.5))
    ]
    assert {name for name, _ in values} == {"verification"}
    assert [value for _, value in values] == sorted(value for _, value in values)


def test_other_features_make_it_stale() -> None:
    calibration = calibration_of(phash=curve_of(1, queries=50))
    assert not calibration.is_stale({"phash": "f"})
    assert calibration.is_stale({"phash": "other"})
    assert calibration.is_stale({"phash": "f", "vgg16": "g"})


def test_the_stored_form_is_small_and_complete() -> None:
    group = CurveGroup({"phash": curve_of(1), "vgg16": curve_of(2)}, {"distance": curve_of(3)})
    radii = {"phash": (0.2, 0.25, 0.3), "vgg16": (0.4, 0.5, 0.6)}
    calibration = GalleryCalibration(1.8e9, 300, dict.fromkeys(radii, "f"), radii, (group,) * 4)
    text = json.dumps(calibration.to_json(), allow_nan=False)
    assert GalleryCalibration.of_json(json.loads(text)) == calibration
    assert len(text) < 600_000


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(GalleryCalibration) if f.name != "format"])
def test_a_damaged_calibration_is_an_error(field: str) -> None:
    stored = json.loads(json.dumps(calibration_of(phash=curve_of(1, queries=50)).to_json()))
    del stored[field]
    with pytest.raises(Damaged, match="lookalike calibrate"):
        GalleryCalibration.of_json(stored)


def test_a_calibration_of_another_format_is_none() -> None:
    assert GalleryCalibration.of_json({"format": 1}) is None
