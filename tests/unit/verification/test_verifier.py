"""Verification of pairs: alignments that are found, and pairs that are not copies."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from lookalike.errors import BadInput, BadSetting
from lookalike.verification import (
    Side,
    Transform,
    Verification,
    VerificationEncoder,
    Verifier,
    alignment,
    available,
    label,
    raster,
    xfeat,
)
from tests.unit.verification.drawing import scene, side

needs_local = pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
SIZE = (720, 540)


def place(transform: Transform | None, x: float, y: float) -> tuple[float, float]:
    """Where the query shows a point of the stored image."""
    assert transform is not None
    across, down, depth = np.array(transform.matrix) @ (x, y, 1.0)
    return across / depth, down / depth


def verified(query: Image.Image, stored: Image.Image) -> Verification:
    return Verifier().verify(side(query), side(stored))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_the_eight_turns_are_aligned_without_local_features(seed: int, turn: Image.Transpose) -> None:
    stored = scene(seed)
    found = Verifier(local=False).verify(side(stored.transpose(turn)), side(stored))
    assert found.agreement is not None
    assert found.agreement > 0.97
    assert found.method == "whole"
    assert label(found)[0] == "copy"
    mark = Image.new("L", SIZE)
    mark.putpixel((100, 60), 255)
    y, x = np.argwhere(np.asarray(mark.transpose(turn)))[0]
    seen = mark.transpose(turn).size
    at = place(found.transform, 100.5 / 720, 60.5 / 540)
    assert at == pytest.approx(((x + 0.5) / seen[0], (y + 0.5) / seen[1]), abs=0.005)


def test_a_mirrored_and_turned_copy_says_so() -> None:
    stored = scene(1)
    assert verified(ImageOps.mirror(stored), stored).transform.mirrored  # type: ignore[union-attr]
    turned = verified(stored.transpose(Image.Transpose.ROTATE_270), stored).transform  # 90 degrees clockwise
    assert turned is not None
    assert turned.rotation == pytest.approx(90, abs=1)
    assert not turned.mirrored


def test_whole_images_are_verified_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (raster, alignment, xfeat):
        monkeypatch.setattr(module, "opencv", lambda: None)
    assert not available()
    stored = scene(3)
    found = verified(ImageOps.mirror(stored).resize((500, 375)), stored)
    assert (label(found)[0], found.method) == ("copy", "whole")
    for other in (scene(4), stored.crop((100, 80, 640, 480))):
        assert label(verified(other, stored))[0] != "copy"
    with pytest.raises(BadSetting, match="needs OpenCV"):
        xfeat.require()


@needs_local
@pytest.mark.parametrize("seed", range(6))
def test_a_crop_is_aligned_and_its_box_is_right(seed: int) -> None:
    stored, rng = scene(seed), random.Random(seed)
    width, height = round(720 * rng.uniform(0.6, 0.9)), round(540 * rng.uniform(0.6, 0.9))
    left, top = rng.randrange(720 - width), rng.randrange(540 - height)
    found = verified(stored.crop((left, top, left + width, top + height)), stored)
    assert found.transform is not None
    crop = found.transform.crop
    expected = (left / 720, top / 540, (left + width) / 720, (top + height) / 540)
    assert (crop.left, crop.top, crop.right, crop.bottom) == pytest.approx(expected, abs=0.01)
    assert found.stored_coverage == pytest.approx(width * height / 720 / 540, abs=0.02)
    assert found.query_coverage == pytest.approx(1, abs=0.05)
    assert found.transform.scale == pytest.approx(1, abs=0.02)
    assert label(found)[0] == "copy"


@needs_local
def test_a_copy_inside_another_image_is_found_with_its_border() -> None:
    stored, around = scene(1), scene(2, (1200, 900))
    around.paste(stored, (300, 200))
    found = verified(around, stored)
    assert found.transform is not None
    border = found.transform.border
    assert (border.left, border.top) == pytest.approx((300 / 1200, 200 / 900), abs=0.01)
    assert (border.right, border.bottom) == pytest.approx((1020 / 1200, 740 / 900), abs=0.01)
    assert found.query_coverage == pytest.approx(0.36, abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_different_scenes_are_not_copies(seed: int) -> None:
    found = verified(scene(seed), scene(seed + 100))
    assert label(found)[0] == "similar"


@pytest.mark.parametrize("seed", range(4))
def test_a_replaced_part_is_boxed_and_makes_a_variant(seed: int) -> None:
    stored, rng = scene(seed), random.Random(seed)
    changed = stored.copy()
    left, top = rng.randrange(50, 400), rng.randrange(50, 300)
    changed.paste(scene(seed + 50).crop((0, 200, 150, 320)), (left, top))
    found = verified(changed, stored)
    assert label(found)[0] == "variant"
    box = found.differences[0]
    assert (box.left, box.top) == pytest.approx((left / 720, top / 540), abs=0.06)
    assert (box.right, box.bottom) == pytest.approx(((left + 150) / 720, (top + 120) / 540), abs=0.06)


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_flat_images_cannot_be_compared(tone: int) -> None:
    flat = Image.new("RGB", SIZE, (tone, tone, tone))
    for query, stored in ((flat, flat), (flat, scene(1)), (scene(1), flat)):
        found = verified(query, stored)
        assert not found.agreement
        assert label(found)[0] == "similar"
    assert verified(flat, flat).agreement is None


def test_other_colors_make_a_variant() -> None:
    def drawn(colors: list[str]) -> Image.Image:
        image = Image.new("RGB", SIZE, "white")
        pen = ImageDraw.Draw(image)
        for number, color in enumerate(colors):
            pen.ellipse((60 + number * 200, 100 + number * 60, 240 + number * 200, 300 + number * 60), color)
            pen.rectangle((90 + number * 180, 420, 150 + number * 190, 500), color)
        return image

    red, blue = drawn(["#c03020", "#802090", "#207030"]), drawn(["#2040c0", "#306010", "#902020"])
    assert label(verified(red, red))[0] == "copy"
    assert label(verified(red, blue))[0] != "copy"


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (24, 24)])
def test_tiny_images_are_compared_or_left_alone(size: tuple[int, int]) -> None:
    tiny = scene(1).resize(size)
    for found in (verified(tiny, scene(1)), verified(scene(1), tiny), verified(tiny, tiny)):
        assert found.agreement is None or 0 <= found.agreement <= 1


def test_the_same_pair_gives_the_same_result_in_many_threads() -> None:
    query, stored = side(scene(1).crop((80, 60, 600, 500))), [side(scene(seed)) for seed in (1, 2, 3, 1)]
    alone = [Verifier().verify(query, other) for other in stored]
    assert alone[0] == alone[3]
    with ThreadPoolExecutor(4) as pool:
        query, shared = side(scene(1).crop((80, 60, 600, 500))), Verifier()
        again = list(pool.map(lambda other: shared.verify(query, other), stored))
    assert again == alone


def test_arrays_that_are_no_images_are_refused() -> None:
    for wrong in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(BadInput):
            VerificationEncoder().from_pixels(wrong, 4, 4)


def test_grey_pixels_are_compared_as_luma() -> None:
    grey = np.asarray(scene(4).convert("L"))
    plain: Side = VerificationEncoder().from_pixels(grey, 720, 540)
    found = Verifier().verify(plain, side(scene(4)))
    assert found.agreement is not None
    assert found.agreement > 0.97
    assert found.color is None


@needs_local
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_small_part_is_aligned_at_two_scales(mirrored: bool) -> None:
    stored = scene(3).resize((1440, 1080))
    part = stored.crop((300, 260, 740, 590))  # a tenth of the area
    part = ImageOps.mirror(part) if mirrored else part
    assert label(verified(part, stored))[0] == "similar"
    found = Verifier().verify_part(side(part), side(stored), small="query")
    assert found is not None
    assert label(found)[0] == "copy"
    assert found.stored_coverage == pytest.approx(440 * 330 / (1440 * 1080), rel=0.05)
    reverse = Verifier().verify_part(side(stored), side(part), small="stored")
    assert reverse is not None
    assert label(reverse)[0] == "copy"


@needs_local
def test_a_part_of_another_image_is_not_aligned() -> None:
    part = scene(4).resize((1440, 1080)).crop((300, 260, 740, 590))
    found = Verifier().verify_part(side(part), side(scene(3).resize((1440, 1080))), small="query")
    assert found is None or label(found)[0] == "similar"


def test_parts_need_local_features() -> None:
    assert Verifier(local=False).verify_part(side(scene(3)), side(scene(3)), small="query") is None


def test_corrections_are_measured_at_the_corners() -> None:
    shift = np.array([[1.0, 0, 3], [0, 1, -4], [0, 0, 1]])
    assert alignment.displacement(shift, 300, 200) == pytest.approx(5)
    widened = np.diag([1.01, 1.0, 1.0])
    assert alignment.displacement(widened, 300, 200) == pytest.approx(3)
    assert alignment.are_near(np.eye(3), np.diag([1.005, 1.0, 1.0]))
    assert not alignment.are_near(np.eye(3), np.diag([1.02, 1.0, 1.0]))


@needs_local
@pytest.mark.parametrize("shift", [(0.0, 0.0), (6.5, -3.25)])
def test_correlation_finds_the_shift_of_shapes_without_corners(shift: tuple[float, float]) -> None:
    stored = np.asarray(scene(5).convert("L").resize((640, 480)))
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]], np.float64)
    warped = raster.warp(stored, matrix, 640, 480)
    found = alignment.climb(warped, stored, None)
    assert found is not None
    assert alignment.displacement(matrix @ found, 640, 480) < 0.5
