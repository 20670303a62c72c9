"""Edited copies: each can be read again, is the same every time, and shows what its name says."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.errors import BadSetting
from lookalike.evaluation import EDITS, apply
from lookalike.evaluation.edits import find
from lookalike.evaluation.geometry import inner_rectangle
from lookalike.evaluation.random_source import RandomSource

SIZE = (180, 120)


def drawn(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    """An image with broad shapes in colour, nowhere black at its edge, different in its four corners."""
    source = np.random.default_rng(seed)
    small = Image.fromarray(source.integers(50, 240, (5, 7, 3), np.uint8), "RGB")
    return small.resize(size, Image.Resampling.BICUBIC)


def edited(name: str, image: Image.Image | None = None, seed: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(apply(name, image or drawn(), seed))).convert("RGB")


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64)


def difference(a: Image.Image, b: Image.Image) -> float:
    """Mean difference of the values, in steps of 0..255."""
    return float(np.abs(pixels(a) - pixels(b)).mean())


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_gives_an_image_that_differs_and_repeats(name: str) -> None:
    image = drawn()
    before = image.tobytes()
    data = apply(name, image, 3)
    assert data == apply(name, image, 3)
    assert image.tobytes() == before, "the image handed in was changed"
    with Image.open(io.BytesIO(data)) as copy:
        assert copy.format == EDITS[name].encoding.format
        copy.load()
        same = copy.size == image.size and np.array_equal(pixels(copy.convert("RGB")), pixels(image))
    assert same == (name == "png")


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 5)])
def test_every_edit_takes_tiny_images(name: str, size: tuple[int, int]) -> None:
    assert min(edited(name, drawn(size)).size) >= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_any_mode_is_taken(mode: str) -> None:
    image = Image.new(mode, (30, 20)) if mode == "I;16" else drawn((30, 20)).convert(mode)
    assert edited("grey", image).size == (30, 20)


def test_every_edit_says_what_it_does() -> None:
    assert all(name == edit.name for name, edit in EDITS.items())
    assert all(edit.what and not edit.what.endswith(".") for edit in EDITS.values())
    assert len({edit.what for edit in EDITS.values()}) == len(EDITS)
    assert {edit.severity for edit in EDITS.values()} == {"light", "medium", "heavy"}
    assert {edit.encoding.suffix for edit in EDITS.values()} == {".jpg", ".png", ".webp", ".avif", ".gif"}


def test_an_unknown_edit_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(BadSetting, match=r"'sharpne'.*jpeg15"):
        find("sharpne")


def test_the_seed_matters_where_chance_does() -> None:
    for name in ("stickers", "crop_70_corner", "noise", "screenshot_post", "pasted_50", "colour_frame"):
        assert len({apply(name, drawn(), seed) for seed in range(8)}) > 1, name
    assert apply("jpeg15", drawn(), 1) == apply("jpeg15", drawn(), 2)


def test_compression_loses_more_at_a_lower_quality() -> None:
    kept, lost = difference(drawn(), edited("strip_metadata")), difference(drawn(), edited("jpeg15"))
    assert kept < 2 < lost < 20
    assert len(apply("jpeg15", drawn())) < len(apply("jpeg40", drawn())) < len(apply("strip_metadata", drawn()))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("scale_half", (90, 60)),
        ("scale_quarter", (45, 30)),
        ("enlarge", (360, 240)),
        ("squeeze", (144, 120)),
        ("letterbox", (180, 168)),
        ("pillarbox", (252, 120)),
        ("black_frame", (208, 148)),
        ("blurred_sides", (180, 180)),
        ("rotate_90", (120, 180)),
        ("rotate_180", SIZE),
        ("crop_90", (170, 113)),
        ("crop_50", (127, 84)),
        ("crop_50_sides", (90, 60)),
        ("crop_square", (120, 120)),
        ("caption", (180, 140)),
        ("caption_below", (180, 140)),
        ("collage", (369, 249)),
        ("pasted_25", (360, 240)),
        ("screenshot", (1280, 720)),
        ("screenshot_post", (720, 1280)),
    ],
)
def test_sizes(name: str, size: tuple[int, int]) -> None:
    assert edited(name).size == size


def test_an_upright_image_is_viewed_upright() -> None:
    assert edited("screenshot", drawn((60, 100))).size == (720, 1280)


def test_letterbox_and_pillarbox_are_black_at_their_own_sides_alone() -> None:
    letter, pillar = pixels(edited("letterbox")), pixels(edited("pillarbox"))
    assert letter[:22].max() < 20
    assert letter[-22:].max() < 20
    assert letter[30:-30].min() > 20
    assert pillar[:, :34].max() < 20
    assert pillar[:, -34:].max() < 20
    assert pillar[:, 40:-40].min() > 20


@pytest.mark.parametrize(("name", "colour"), [("black_frame", 0), ("white_frame", 255)])
def test_frames_have_their_colour_all_round(name: str, colour: int) -> None:
    frame = pixels(edited(name))
    for side in (frame[:10], frame[-10:], frame[:, :10], frame[:, -10:]):
        assert np.abs(side - colour).max() < 20
    assert difference(Image.fromarray(frame[14:-14, 14:-14].astype(np.uint8)), drawn()) < 3


def test_turns_are_what_they_say() -> None:
    image = pixels(drawn())
    expected = {
        "mirror": image[:, ::-1],
        "flip": image[::-1],
        "rotate_90": np.rot90(image),
        "rotate_180": image[::-1, ::-1],
        "rotate_270": np.rot90(image, 3),
    }
    for name, pixel in expected.items():
        assert np.abs(pixels(edited(name)) - pixel).mean() < 2, name


def test_rotation_leaves_black_corners_or_crops_them() -> None:
    turned, cut = pixels(edited("rotate_5")), pixels(edited("rotate_5_crop"))
    assert all(turned[y, x].max() < 30 for y in (0, -1) for x in (0, -1))
    assert all(cut[y, x].min() > 30 for y in (0, -1) for x in (0, -1))
    assert turned.shape[0] > SIZE[1] > cut.shape[0]


@given(
    st.floats(1, 2000),
    st.floats(1, 2000),
    st.floats(0.001, 0.78),
)
def test_the_inner_rectangle_lies_inside_and_touches_the_edge(width: float, height: float, angle: float) -> None:
    wide, high = inner_rectangle(width, height, angle)
    reach_x = wide / 2 * np.cos(angle) + high / 2 * np.sin(angle)  # its corner, seen from the turned image
    reach_y = wide / 2 * np.sin(angle) + high / 2 * np.cos(angle)
    assert wide > 0
    assert high > 0
    assert reach_x <= width / 2 * (1 + 1e-6)
    assert reach_y <= height / 2 * (1 + 1e-6)
    assert reach_x >= width / 2 * (1 - 1e-6) or reach_y >= height / 2 * (1 - 1e-6)


def test_crops_keep_the_middle_or_a_corner() -> None:
    middle = drawn().crop((26, 18, 153, 102))
    assert difference(edited("crop_50"), middle) < 3
    corner = pixels(edited("crop_70_corner"))
    height, width = corner.shape[:2]
    whole = pixels(drawn())
    corners = [
        whole[y, x] for y in (slice(0, height), slice(-height, None)) for x in (slice(0, width), slice(-width, None))
    ]
    assert min(np.abs(corner - expected).mean() for expected in corners) < 3


def test_grey_has_no_colour_and_sepia_is_brown() -> None:
    grey, sepia = pixels(edited("grey")), pixels(edited("sepia"))
    assert np.ptp(grey, axis=2).max() <= 3
    assert sepia[..., 0].mean() > sepia[..., 1].mean() > sepia[..., 2].mean()


def test_light_moves_the_way_it_says() -> None:
    def mean(name: str) -> float:
        return float(pixels(edited(name)).mean())

    def spread(name: str) -> float:
        return float(pixels(edited(name)).std())

    assert mean("darker") < mean("strip_metadata") < mean("brighter")
    assert mean("gamma_down") < mean("strip_metadata") < mean("gamma_up")
    assert spread("contrast_down") < spread("strip_metadata") < spread("contrast_up")
    assert np.abs(255 - pixels(edited("negative")) - pixels(drawn())).mean() < 3


def test_vignette_darkens_the_corners_alone() -> None:
    light = pixels(edited("vignette")) / pixels(drawn())
    assert light[55:65, 85:95].mean() > 0.95
    assert light[:4, :4].mean() < 0.4


def test_blur_sharpen_and_noise_change_the_detail() -> None:
    def detail(image: Image.Image) -> float:
        return float(np.abs(np.diff(pixels(image), axis=1)).mean())

    textured = edited("noise", drawn())
    assert detail(textured) > 3 * detail(drawn())
    assert detail(edited("blur", textured)) < 0.7 * detail(textured)
    assert detail(edited("sharpen", textured)) > 1.3 * detail(textured)


def test_caption_adds_a_white_band_with_ink_on_its_own_side() -> None:
    above, below = pixels(edited("caption")), pixels(edited("caption_below"))
    for band, rest in ((above[:18], above[22:]), (below[-18:], below[:-22])):
        assert np.median(band) > 250
        assert band.min() < 90
        assert rest.mean() < 220


@pytest.mark.parametrize("name", ["watermark", "logo", "text_overlay", "meme", "stickers"])
def test_overlays_touch_a_part_and_leave_the_rest(name: str) -> None:
    image = drawn((400, 300))
    changed = np.abs(pixels(edited(name, image)) - pixels(image)).max(axis=2) > 30
    assert 0.005 < changed.mean() < 0.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["collage", "pasted_50", "pasted_25"])
def test_the_image_is_whole_inside_another(name: str, seed: int) -> None:
    image, around = drawn((60, 40)), drawn((60, 40), seed=5)
    copy = pixels(Image.open(io.BytesIO(apply(name, image, seed, others=[around]))))
    expected = pixels(image)
    best = min(
        np.abs(copy[y : y + 40, x : x + 60] - expected).mean()
        for y in range(copy.shape[0] - 39)
        for x in range(copy.shape[1] - 59)
    )
    assert best < 5


def test_screens_show_the_image_whole() -> None:
    screen = edited("screenshot")  # 1280 x 720, bars of 56 and 84: the image is 870 x 580 in the middle
    inside = screen.crop((205, 56, 1075, 636)).resize(SIZE, Image.Resampling.LANCZOS)
    assert difference(inside, drawn()) < 5


def test_other_images_are_used_where_given() -> None:
    red = Image.new("RGB", (20, 20), (255, 0, 0))
    image = RandomSource("x", [red]).image((11, 7))
    assert image.size == (11, 7)
    assert image.getpixel((5, 3)) == (255, 0, 0)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(EDITS)), st.integers(1, 60), st.integers(1, 60), st.integers(0, 9))
def test_any_size_and_seed(name: str, width: int, height: int, seed: int) -> None:
    assert apply(name, drawn((width, height)), seed)
