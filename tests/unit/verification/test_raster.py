"""Filters and warps: OpenCV's and those of numpy and Pillow give nearly the same."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lookalike.verification import raster
from tests.unit.verification.drawing import scene


@pytest.fixture(params=[(97, 64), (40, 133)])
def image(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    return np.asarray(scene(3).convert("L").resize(request.param))


@pytest.fixture
def without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which OpenCV is not installed."""
    monkeypatch.setattr(raster, "opencv", lambda: None)


needs_opencv = pytest.mark.skipif(raster.opencv() is None, reason="needs OpenCV")


@needs_opencv
def test_filters_agree(image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    blurred = raster.blur(image)
    averaged = raster.window_mean(blurred)
    monkeypatch.setattr(raster, "opencv", lambda: None)
    np.testing.assert_allclose(raster.blur(image), blurred, atol=0.01)
    np.testing.assert_allclose(raster.window_mean(blurred), averaged, atol=0.01)


@needs_opencv
@pytest.mark.parametrize("size", [(31, 22), (60, 60)])
def test_resizing_agrees(image: NDArray[np.uint8], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = raster.shrink(image, *size).astype(int)
    monkeypatch.setattr(raster, "opencv", lambda: None)
    assert (
        np.abs(raster.shrink(image, *size).astype(int) - smaller).mean() < 4
    )  # Pillow's box filter weights whole pixels


@pytest.mark.parametrize("size", [(31, 22), (12, 20), (97, 64)])
def test_coarse_images_are_near_the_precise_ones(image: NDArray[np.uint8], size: tuple[int, int]) -> None:
    precise, coarse = (f(image, *size).astype(int) for f in (raster.shrink, raster.shrink_coarsely))
    assert coarse.shape == precise.shape
    assert np.abs(precise - coarse).mean() < 6
    difference = (precise - coarse)[1:-1, 1:-1]
    assert abs(difference.mean()) < 1


@needs_opencv
@given(arrays(np.uint8, (5, 7, 3)))
def test_luma_is_the_same_with_and_without_opencv(rgb: NDArray[np.uint8]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        luma = raster.luma_of(rgb)
        patch.setattr(raster, "opencv", lambda: None)
        np.testing.assert_array_equal(raster.luma_of(rgb), luma)


@needs_opencv
def test_warps_agree_inside(image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.array([[0.9, 0.05, 2.5], [-0.04, 0.95, 3.25], [1e-4, -5e-5, 1]])
    height, width = image.shape
    first = raster.warp(image, matrix, width, height).astype(int)
    monkeypatch.setattr(raster, "opencv", lambda: None)
    second = raster.warp(image, matrix, width, height).astype(int)
    assert np.abs(first - second)[6:-6, 6:-6].max() <= 3


def test_window_means_are_means(image: NDArray[np.uint8], without_opencv: None) -> None:
    values = image.astype(np.float32)
    means = raster.window_mean(values)
    assert means[20, 30] == pytest.approx(values[15:26, 25:36].mean(), rel=1e-4)


@needs_opencv
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 12), st.integers(1, 12)), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_components_agree(seed: int, shape: tuple[int, int], share: float) -> None:
    cells = np.random.default_rng(seed).random(shape) < share
    found = raster.components(cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster, "opencv", lambda: None)
        assert sorted(map(astuple, raster.components(cells))) == sorted(map(astuple, found))
    assert sum(group.size for group in found) == np.count_nonzero(cells)
