"""Windows of an image."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lookalike.imaging.windows import WINDOW_COUNT, WINDOWS, windows_of

SIDES = st.integers(1, 300)


@given(SIDES, SIDES)
def test_windows_cover_the_image(height: int, width: int) -> None:
    pixels = np.arange(height * width, dtype=np.uint32).view(np.uint8).reshape(height, width, 4)[..., :3]
    numbers = np.arange(height * width).reshape(height, width)
    seen = np.zeros(height * width, bool)
    windows = list(windows_of(pixels))
    assert len(windows) == WINDOW_COUNT
    for window in windows:
        assert window.shape[0] <= height
        assert window.shape[1] <= width
        first = int(window[0, 0] @ np.array([1, 256, 65536], np.int64))
        top, left = divmod(first, width)
        assert (window == pixels[top : top + window.shape[0], left : left + window.shape[1]]).all()
        seen[numbers[top : top + window.shape[0], left : left + window.shape[1]].ravel()] = True
    assert seen.all()


def test_sizes() -> None:
    shapes = [window.shape[:2] for window in windows_of(np.zeros((100, 200, 3), np.uint8))]
    expected = [shape for share, n in WINDOWS for shape in [(round(100 * share), round(200 * share))] * n * n]
    assert shapes == expected
