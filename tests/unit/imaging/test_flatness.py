"""Flat images are told from those that show something."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.imaging.decoding import decode
from lookalike.imaging.flatness import has_content
from tests.support.drawn_images import drawn, encoded

RNG = np.random.default_rng(2)


def shows(image: Image.Image, side: int = 224) -> bool:
    return bool(has_content(np.asarray(image.convert("RGB").resize((side, side)))[None])[0])


def gradient(first: tuple[int, ...], last: tuple[int, ...], *, turned: bool = False) -> Image.Image:
    steps = np.linspace(0, 1, 300)[None, :, None]
    row = np.array(first) * (1 - steps) + np.array(last) * steps
    image = Image.fromarray(np.broadcast_to(row, (300, 300, 3)).round().astype(np.uint8))
    return image.transpose(Image.Transpose.ROTATE_90) if turned else image


FLAT = {
    "white": Image.new("RGB", (300, 200), "white"),
    "blue": Image.new("RGB", (300, 200), (10, 40, 200)),
    "noise": Image.fromarray(np.clip(240 + RNG.normal(0, 4, (900, 700, 3)), 0, 255).astype(np.uint8)),
    "sky": gradient((90, 140, 220), (200, 220, 250)),
    "dusk": gradient((250, 180, 60), (20, 20, 90), turned=True),
    "jpeg": Image.fromarray(decode(encoded(Image.new("RGB", (301, 203), (200, 30, 90)), "JPEG", quality=20)).rgb),
}


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("side", [64, 160, 224, 320])
def test_colors_gradients_and_noise_show_nothing(name: str, side: int) -> None:
    assert not shows(FLAT[name], side)


@pytest.mark.parametrize("seed", range(4))
def test_drawn_images_show_something_even_faded(seed: int) -> None:
    faded = Image.blend(drawn(seed), Image.new("RGB", (160, 120), "white"), 0.8)
    assert shows(drawn(seed))
    assert shows(faded)


def test_a_line_of_text_on_a_page_shows_something() -> None:
    page = Image.new("RGB", (800, 1100), "white")
    page.paste("black", (80, 100, 500, 112))
    assert shows(page)


def test_a_fine_pattern_shows_something() -> None:
    checks = np.indices((224, 224)).sum(axis=0) % 2 * 255
    assert shows(Image.fromarray(checks.astype(np.uint8)))


def test_every_photo_shows_something(photos: Path) -> None:
    paths = sorted(photos.rglob("*.jpg"))[::30]
    assert len(paths) > 10
    assert all(shows(Image.open(path)) for path in paths)
