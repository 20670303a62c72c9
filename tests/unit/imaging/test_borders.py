"""Frames are found and cut, images are not."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from lookalike.imaging import crop_border, find_border
from lookalike.types import Border, Pixels

COLOURS = st.one_of(
    st.sampled_from([(0, 0, 0), (255, 255, 255), (128, 128, 128), (14, 14, 18), (200, 30, 40)]),
    st.tuples(*[st.integers(0, 255)] * 3),
)
WIDTHS = st.integers(1, 45)


def textured(seed: int, width: int = 160, height: int = 120) -> Pixels:
    """Something like a photo: smooth shapes and grain, and nowhere near one colour along any line."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    return np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)


def framed(rgb: Pixels, colour: tuple[int, int, int], border: Border) -> Pixels:
    height, width = rgb.shape[:2]
    out = np.empty((height + border.top + border.bottom, width + border.left + border.right, 3), np.uint8)
    out[:] = colour
    out[border.top : border.top + height, border.left : border.left + width] = rgb
    return out


def as_jpeg(rgb: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def assert_near(found: Border, true: Border, within: int) -> None:
    for side in ("left", "top", "right", "bottom"):
        assert abs(getattr(found, side) - getattr(true, side)) <= within, (side, found, true)


@given(st.integers(0, 10**6), COLOURS, WIDTHS, WIDTHS, WIDTHS, WIDTHS)
@settings(deadline=None, max_examples=150)
def test_any_flat_frame_comes_off_exactly(seed, colour, left, top, right, bottom):  # type: ignore[no-untyped-def]
    image = textured(seed)
    border = Border(left, top, right, bottom)
    whole = framed(image, colour, border)
    assert find_border(whole) == border
    assert find_border(whole.transpose(1, 0, 2)) == Border(top, left, bottom, right)  # in whatever order it is stored
    assert np.array_equal(crop_border(whole, find_border(whole)), image)


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 40)])
@pytest.mark.parametrize(
    "border", [Border(20, 20, 20, 20), Border(0, 37, 0, 37), Border(44, 0, 44, 0), Border(18, 18, 18, 45)]
)
def test_frames_of_jpeg_files_come_off_to_two_pixels(
    quality: int, colour: tuple[int, int, int], border: Border
) -> None:
    for seed in range(3):
        assert_near(find_border(as_jpeg(framed(textured(seed), colour, border), quality)), border, 2)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_line_that_mixes_frame_and_image_goes_too(scale: int) -> None:
    border = Border(37, 53, 37, 53)
    whole = Image.fromarray(framed(textured(5, 480, 360), (0, 0, 0), border))
    small = np.asarray(whole.resize((whole.width // scale, whole.height // scale), Image.Resampling.BOX))
    found = find_border(small)
    inside = crop_border(small, found)
    assert inside.mean(axis=(1, 2)).min() > 25  # no dark line left
    for side in ("left", "top", "right", "bottom"):
        assert -scale / 3 <= getattr(found, side) * scale - getattr(border, side) <= 2 * scale


@given(st.integers(0, 10**6), st.sampled_from(["RGB", "L"]))
@settings(deadline=None, max_examples=60)
def test_an_image_without_frame_is_left_alone(seed, mode):  # type: ignore[no-untyped-def]
    image = np.asarray(Image.fromarray(textured(seed)).convert(mode))
    assert find_border(image) == Border()
    assert crop_border(image, Border()) is image


@given(st.integers(0, 10**6), COLOURS, COLOURS, WIDTHS, WIDTHS)
@settings(deadline=None, max_examples=60)
def test_cutting_twice_changes_nothing(seed, outer, inner, wide, narrow):  # type: ignore[no-untyped-def]
    whole = framed(
        framed(textured(seed), inner, Border(narrow, narrow, narrow, narrow)), outer, Border(0, wide, 0, wide)
    )
    once = crop_border(whole, find_border(whole))
    assert not find_border(once)
    assert once.size > 0


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["flat", "two", "noise", "ramp"]),
    st.integers(0, 255),
    st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=200)
def test_never_cut_to_nothing(width, height, kind, level, seed):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), level, np.uint8)
    if kind == "two":
        image[height // 2 :, width // 2 :] = rng.integers(0, 256, 3)
    elif kind == "noise":
        image = rng.integers(0, 256, image.shape, dtype=np.uint8)
    elif kind == "ramp":
        image[:] = np.linspace(0, 255, width, dtype=np.uint8)[:, None]
    inside = crop_border(image, find_border(image))
    assert inside.shape[0] * 4 >= min(height, 16)
    assert inside.shape[1] * 4 >= min(width, 16)


def test_frames_of_two_colours_and_inside_one_another() -> None:
    image = textured(3)
    polaroid = framed(image, (250, 248, 240), Border(9, 9, 9, 33))
    letterbox = framed(polaroid, (0, 0, 0), Border(0, 30, 0, 30))
    assert find_border(letterbox) == Border(9, 39, 9, 63)
    bars = framed(framed(image, (0, 0, 0), Border(top=20)), (255, 255, 255), Border(bottom=25))
    assert find_border(bars) == Border(0, 20, 0, 25)


def test_black_lines_inside_the_image_stay() -> None:
    image = textured(4).copy()
    image[50:60] = 0
    image[:, 70:75] = 0
    assert find_border(image) == Border()


def drawn(size: tuple[int, int], background: tuple[int, int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, background)
    return image, ImageDraw.Draw(image)


def test_night_skies_black_cats_and_products_on_white_stay_themselves() -> None:
    rng = np.random.default_rng(1)
    sky, draw = drawn((300, 200), (2, 2, 4))
    for x, y, bright in zip(
        rng.integers(0, 300, 90), rng.integers(30, 200, 90), rng.integers(90, 255, 90), strict=True
    ):
        draw.point((int(x), int(y)), (int(bright),) * 3)
    cat, draw = drawn((300, 200), (0, 0, 0))
    draw.ellipse((110, 60, 130, 75), fill=(190, 200, 40))
    draw.ellipse((170, 60, 190, 75), fill=(190, 200, 40))
    product, draw = drawn((300, 200), (255, 255, 255))
    draw.ellipse((90, 40, 210, 170), fill=(180, 60, 40))
    moon, draw = drawn((300, 200), (0, 0, 0))
    draw.ellipse((120, 60, 180, 120), fill=(230, 230, 210))
    for drawing in (sky, cat, product, moon):
        for image in (np.asarray(drawing), as_jpeg(np.asarray(drawing), 80)):
            assert find_border(image) == Border()


@pytest.mark.parametrize("steepness", [0.2, 0.5, 1.0])
def test_a_gradient_is_not_a_frame(steepness: float) -> None:
    image = textured(6, 200, 200).astype(np.float64)
    sky = 220 - steepness * np.arange(90)
    image[:90] = sky[:, None, None] + np.random.default_rng(0).integers(-1, 2, (90, 200, 3))
    blend = np.linspace(0, 1, 30)[:, None, None]
    image[60:90] = image[60:90] * (1 - blend) + image[90:120] * blend
    assert find_border(image.astype(np.uint8)).top == 0


def test_a_frame_wider_than_the_bound_is_content() -> None:
    whole = framed(textured(7), (0, 0, 0), Border(top=200))
    assert find_border(whole) == Border()


def test_photos_with_drawn_frames(photos: Path) -> None:
    """On real photos: most frames come off, whatever the file format, and few photos without are cut."""
    files = sorted((photos / "imagenet1000").glob("*.JPEG"))[::25]
    cut_bare = found = checked = 0
    border = Border(24, 24, 24, 24)
    for file in files:
        image = Image.open(file).convert("RGB")
        image.thumbnail((400, 400))
        image = np.asarray(image)
        own = find_border(image)
        cut_bare += bool(own)
        for whole in (framed(image, (0, 0, 0), border), as_jpeg(framed(image, (0, 0, 0), border), 75)):
            checked += 1
            got = find_border(whole)
            found += all(abs(getattr(got, s) - getattr(own, s) - 24) <= 2 for s in ("left", "top", "right", "bottom"))
    assert cut_bare <= 0.25 * len(files)
    assert found >= 0.85 * checked
