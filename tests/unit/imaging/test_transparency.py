"""Transparent images are laid over a background on which they are seen, and found over any other."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookalike.encoders.phash import PHash
from lookalike.imaging import make_thumbnail, prepare
from lookalike.imaging.decoding import decode
from tests.support.drawn_images import drawn, encoded

HASH = PHash()


def logo(seed: int, shades: tuple[int, int], size: tuple[int, int] = (300, 220)) -> Image.Image:
    """Shapes in greys of this range on transparency."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGBA", (300, 220), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = (int(v) for v in rng.integers((30, 30), (200, 130)))
        w, h = (int(v) for v in rng.integers(25, 90, 2))
        color = (*(int(v) for v in rng.integers(*shades, 3)), 255)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=color)
    return image.resize(size)


def over(image: Image.Image, level: int) -> Image.Image:
    flat = Image.new("RGB", image.size, (level,) * 3)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def distance(query: bytes, stored: bytes) -> int:
    """Bits between the stored hash and the best variant of a query, as a search compares them."""
    kept = HASH.encode(prepare(stored, (HASH.input,)).inputs[0][None]).features[0]
    asked = prepare(query, (HASH.input,), variants=True)
    views = HASH.encode(np.stack([asked.inputs[0], *(inputs[0] for inputs in asked.variants)]))
    return min(int(np.bitwise_count(view ^ kept).sum()) for view in views.features[views.usable])


@pytest.mark.parametrize(("shades", "background"), [((240, 256), 0), ((0, 20), 255), ((90, 140), 255), ((215, 225), 0)])
def test_the_background_shows_the_image(shades: tuple[int, int], background: int) -> None:
    for seed in range(3):
        image = logo(seed, shades)
        for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
            result = decode(encoded(image, kind, **options))
            assert result.background == background
            assert np.abs(result.rgb.astype(int) - np.asarray(over(image, background))).max() <= 1


def test_black_and_white_parts_are_both_seen() -> None:
    image = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (10, 10, 90, 90))
    image.paste((0, 0, 0, 255), (110, 10, 190, 90))
    assert decode(encoded(image)).background == 128


def test_every_form_of_transparency_has_a_background() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    palette = Image.fromarray(mask, "P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    grey = Image.merge("LA", [Image.new("L", (40, 40), 255), Image.fromarray(mask * 255)])
    wide = Image.fromarray(mask.astype(np.uint16) * 65535)
    for data in (
        encoded(palette, transparency=0),
        encoded(palette, "GIF", transparency=0),
        encoded(grey),
        encoded(wide, transparency=0),
        encoded(Image.fromarray(np.dstack([mask * 255] * 3)), transparency=(0, 0, 0)),
    ):
        result = decode(data)
        assert result.background == 0
        assert result.rgb[20, 20].tolist() == [255] * 3
        assert result.rgb[2, 2].tolist() == [0] * 3


def test_an_opaque_image_has_none() -> None:
    for image in (drawn(1), drawn(1).convert("RGBA"), Image.new("RGB", (40, 40), "white")):
        assert decode(encoded(image)).alpha is None


@pytest.mark.parametrize("shades", [(240, 256), (0, 20), (100, 200), (20, 256)])
@pytest.mark.parametrize("level", [0, 255])
def test_flattened_copies_are_near_in_both_directions(shades: tuple[int, int], level: int) -> None:
    visible = 0
    for seed in range(4):
        image = logo(seed, shades)
        flat = over(image.resize((240, 176)), level)
        if np.ptp(np.asarray(flat.convert("L"))) < 60:
            continue  # nothing is left of it
        visible += 1
        data, copy = encoded(image), encoded(flat, "JPEG", quality=85)
        assert distance(data, copy) <= 10
        assert distance(copy, data) <= 10
    assert visible or shades in ((240, 256), (0, 20))


@pytest.mark.parametrize("shades", [(240, 256), (0, 20), (100, 200)])
def test_scaled_copies_are_near(shades: tuple[int, int]) -> None:
    for seed in range(6):
        data, half = encoded(logo(seed, shades)), encoded(logo(seed, shades, (150, 110)))
        assert distance(half, data) <= 6
        assert distance(data, half) <= 6


def test_different_drawings_are_far() -> None:
    for seed in range(6):
        one, other = (encoded(logo(seed + add, (240, 256))) for add in (0, 100))
        assert distance(one, other) > 8


def test_a_photo_has_no_variants() -> None:
    assert prepare(encoded(drawn(1)), (HASH.input,), variants=True).variants == ()


def test_thumbnails_show_white_drawings() -> None:
    with Image.open(__import__("io").BytesIO(make_thumbnail(encoded(logo(1, (250, 256)))))) as thumbnail:
        low, high = thumbnail.convert("L").getextrema()
    assert low < 20
    assert high > 230
