"""Lanczos as matrix products: what Pillow gives, but for rounding."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lookalike.imaging.resizing import REDUCING_GAP, lanczos, resize_to
from lookalike.types import InputSpec

SIDES = st.integers(1, 2 * REDUCING_GAP * 32 - 1)


def drawn(width: int, height: int, seed: int, finest: float = 2) -> NDArray[np.uint8]:
    """Waves of at least `finest` pixels, a little noise, and hard edges over them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    values = (
        128
        + 90 * np.sin(x / rng.uniform(finest, 30 * finest)) * np.cos(y / rng.uniform(finest, 30 * finest))
        + rng.normal(0, 9, x.shape)
    )
    values[: height // 3, : width // 2] = 255 * rng.integers(0, 2)
    return values.clip(0, 255).astype(np.uint8)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 1000))
def test_it_is_pillows_but_for_rounding(width: int, height: int, seed: int) -> None:
    image = drawn(width, height, seed)
    across = Image.fromarray(image).resize((32, height), Image.Resampling.LANCZOS)  # Pillow 13 may begin downwards
    expected = np.asarray(across.resize((32, 32), Image.Resampling.LANCZOS))
    difference = np.abs(lanczos(image, 32, 32).astype(int) - expected)
    assert difference.max() <= 1


@settings(deadline=None)
@given(st.integers(256, 3000), st.integers(32, 600), st.integers(0, 1000))
def test_large_images_are_reduced_first(width: int, height: int, seed: int) -> None:
    image = drawn(width, height, seed, finest=max(width, height) / 8)
    expected = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.LANCZOS))
    got = lanczos(image, 32, 32)
    assert got.shape == (32, 32)
    assert np.abs(got.astype(int) - expected).mean() < 5


def test_colour_is_made_grey_before() -> None:
    rgb = np.stack([drawn(100, 80, seed) for seed in range(3)], axis=2)
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    spec = InputSpec(32, 32, "L", "lanczos", approximate=True)
    assert (resize_to(rgb, spec) == lanczos(grey, 32, 32)).all()
