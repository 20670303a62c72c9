"""Fitting a calibration: queries with dense and with sparse neighbourhoods each get the share that is asked for."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lookalike.evaluation.calibrate import MIN_GROUP_IMAGES, fit_calibration
from lookalike.evaluation.measurement import VERIFIED, QueryResult, ScoredHit
from lookalike.gallery_calibration import GalleryCalibration
from lookalike.pipeline import Calibration

PIPELINES = {name: Calibration(((0.1, -4.0), (1.0, 0.0)), 0.2) for name in ("phash", "net")}
DENSE, SPARSE = 0.3, 0.8
"""Distance around which unrelated images lie, for documents and for photos."""


def hit(measure: str, value: float, *, right: bool) -> ScoredHit:
    return ScoredHit("hit", None, "similar", value, measure, 0.0, right, measure, value)


def results(seed: int, *each: int, kinds: Sequence[float] = (DENSE, SPARSE)) -> list[QueryResult]:
    """One copy of each image in every search, so many of each kind; the image is `KIND-NUMBER`."""
    rng = np.random.default_rng(seed)
    found = []
    for kind, count in zip(kinds, each * (len(kinds) // len(each)), strict=True):
        for number in range(count):
            for search in ("phash", "net", VERIFIED):
                measure = "net" if search == VERIFIED else search
                others = np.sort(kind * rng.beta(8, 2, 20)).tolist()
                copy = hit(measure, kind * rng.beta(1, 12), right=True)
                false = tuple(hit(measure, value, right=False) for value in others)
                found.append(
                    QueryResult(
                        search, "jpeg15", f"{kind}-{number}", "random", (copy, *false), false, others[2], others[3]
                    )
                )
    return found


def fitted(sample: list[QueryResult]) -> GalleryCalibration:
    return fit_calibration(sample, PIPELINES, fingerprints={}, gallery_images=1, created=0)


def achieved(calibration: GalleryCalibration, kind: float, share: float) -> float:
    """The share of new queries of a kind that get a false answer, of searches of the network alone."""
    answered = []
    for result in results(2, 1000, kinds=(kind,)):
        if result.search == "net":
            [group] = calibration.groups_at("net", result.radius_without)
            surest = min(other.value for other in result.others)
            found = group.false_share("net", surest, "single", 1.0)
            answered.append(found is not None and found <= share)
    return float(np.mean(answered))


@pytest.mark.parametrize("kind", [DENSE, SPARSE])
def test_every_density_gets_the_share_asked_for(kind: float) -> None:
    calibration = fitted(results(1, 1000))
    assert len(calibration.groups) == 4
    for share in (0.03, 0.1):
        assert share / 2 <= achieved(calibration, kind, share) <= 2 * share


@pytest.mark.parametrize("each", [(200, 500), (350, 150)])
def test_kinds_of_any_size_are_not_mixed(each: tuple[int, int]) -> None:
    sample = results(1, *each)
    calibration = fitted(sample)
    groups: dict[str, set[int]] = {str(DENSE): set(), str(SPARSE): set()}
    for result in sample:
        [group] = calibration.groups_at("net", result.radius_without)
        groups[result.image.partition("-")[0]].add(id(group))
    assert not set.intersection(*groups.values())
    for kind in (DENSE, SPARSE):
        assert 0.1 / 2 <= achieved(calibration, kind, 0.1) <= 2 * 0.1


def test_one_curve_for_all_would_promise_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.evaluation.calibrate.MAX_GROUPS", 1)
    calibration = fitted(results(1, 500))
    assert achieved(calibration, DENSE, 0.1) > 0.15
    assert achieved(calibration, SPARSE, 0.1) < 0.01


@pytest.mark.parametrize(
    ("images", "least", "most"),
    [(10, 1, 1), (2 * MIN_GROUP_IMAGES - 1, 1, 1), (2 * MIN_GROUP_IMAGES, 2, 2), (10 * MIN_GROUP_IMAGES, 3, 4)],
)
def test_groups_are_as_many_as_the_images_allow(images: int, least: int, most: int) -> None:
    calibration = fitted(results(1, images, kinds=(SPARSE,)))
    assert least <= len(calibration.groups) <= most
    assert all(len(limits) == len(calibration.groups) - 1 for limits in calibration.radii.values())
    for group in calibration.groups:
        for name in PIPELINES:
            assert group.measures[name].images >= min(images, MIN_GROUP_IMAGES)


def test_equal_radii_are_in_one_group() -> None:
    sample = [replace(result, radius=0.5, radius_without=0.5) for result in results(1, 300)]
    assert len(fitted(sample).groups) == 1
    assert fitted(sample).groups[0].measures["net"].images == 600
    by_hash = [r if r.search == "net" else replace(r, radius=0.5, radius_without=0.5) for r in results(1, 300)]
    calibration = fitted(by_hash)
    assert len(calibration.groups) > 2
    assert len({len(limits) for limits in calibration.radii.values()}) == 1
    [of_all] = calibration.groups_at("phash", 0.5)
    assert of_all.measures["phash"].images == 600
    for group in calibration.groups:  # of those that no query is in, too
        assert group.measures["phash"].false_share(0.2) < 1
    calibration.check_share(0.01, ["phash"], "single", images=1)


def test_queries_that_compared_nothing_do_not_fail() -> None:
    flat = [
        QueryResult(search, "jpeg15", f"flat-{n}", "random", (), (), None, None)
        for search in ("phash", "net", VERIFIED)
        for n in range(30)
    ]
    for sample in (flat, flat + results(1, 200)):
        calibration = fitted(sample)
        assert calibration.groups_at("net", None) == calibration.groups
