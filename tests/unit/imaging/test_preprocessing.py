"""Images are decoded once, cut, resized exactly as Pillow does, and digested."""

import hashlib
import io
import os
import struct
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from lookalike.errors import BadSetting, ImageRejected
from lookalike.imaging import Limits, decode, prepare, read_bytes, resize_to
from lookalike.types import Border, InputSpec, Pixels

HASH = InputSpec(32, 32, "L", "lanczos", oversample=1.0)
NETWORK = InputSpec(224, 224, "RGB", "nearest")


def draw_image(width: int = 640, height: int = 480, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def framed(image: Image.Image, colour: str, border: Border) -> Image.Image:
    size = (image.width + border.left + border.right, image.height + border.top + border.bottom)
    whole = Image.new("RGB", size, colour)
    whole.paste(image, (border.left, border.top))
    return whole


def bits_apart(a: Pixels, b: Pixels) -> int:
    return int(imagehash.phash(Image.fromarray(a)) - imagehash.phash(Image.fromarray(b)))


@pytest.mark.parametrize("resample", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_resize_is_pillows(resample: str, mode: str) -> None:
    image = draw_image(301, 207)
    spec = InputSpec(61, 47, mode, resample)  # type: ignore[arg-type]
    expected = image.convert(mode).resize((61, 47), Image.Resampling[resample.upper()])
    got = resize_to(np.asarray(image), spec)
    assert got.dtype == np.uint8
    assert np.array_equal(got, np.asarray(expected))


@pytest.mark.parametrize("resample", ["hamming", "LANCZOS", ""])
def test_resize_refuses_a_filter_that_is_not_declared(resample: str) -> None:
    spec = InputSpec(61, 47, "RGB", resample)  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="lanczos"):
        resize_to(np.asarray(draw_image()), spec)


def test_resize_takes_grey_and_views() -> None:
    image = draw_image()
    grey = np.asarray(image.convert("L"))
    assert np.array_equal(resize_to(grey, HASH), resize_to(np.asarray(image), HASH))
    assert resize_to(grey, NETWORK).shape == (224, 224, 3)
    view = np.asarray(image)[10:200, 30:400]
    assert np.array_equal(resize_to(view, NETWORK), resize_to(view.copy(), NETWORK))


def test_every_input_in_its_order() -> None:
    data = saved(draw_image(), "PNG")
    prepared = prepare(data, [HASH, NETWORK, InputSpec(7, 5, "RGB", "box")])
    assert [i.shape for i in prepared.inputs] == [(32, 32), (224, 224, 3), (5, 7, 3)]
    whole = np.asarray(draw_image())
    for got, spec in zip(prepared.inputs, (HASH, NETWORK), strict=False):
        assert np.array_equal(got, resize_to(whole, spec))
    assert (prepared.width, prepared.height, prepared.format) == (640, 480, "PNG")
    assert prepared.sha256 == hashlib.sha256(data).digest()
    assert prepared.nbytes == len(data)


def test_full_decode_equals_imagehash() -> None:
    data = saved(draw_image(900, 700), quality=85)
    exact = prepare(data, [InputSpec(32, 32, "L", "lanczos", full_decode=True)])
    reference = Image.open(io.BytesIO(data)).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(exact.inputs[0].astype(int) - np.asarray(reference)).max() <= 1


def test_pixel_digest_covers_size_and_values_before_the_cut() -> None:
    image = framed(draw_image(200, 150), "black", Border(20, 20, 20, 20))
    rgb = np.asarray(image)
    expected = hashlib.sha256(struct.pack("<II", image.width, image.height) + rgb.tobytes()).digest()
    for kind in ("PNG", "BMP", "TIFF"):
        prepared = prepare(saved(image, kind), [HASH])
        assert prepared.pixels == expected
        assert prepared.border == Border(20, 20, 20, 20)


def test_pixel_digest_of_a_jpeg_only_where_every_pixel_was_decoded() -> None:
    data = saved(draw_image(1200, 900))
    assert prepare(data, [HASH]).pixels is None
    whole = prepare(data, [HASH], want_pixels=True)
    rgb = decode(data).rgb
    assert whole.pixels == hashlib.sha256(struct.pack("<II", 1200, 900) + rgb.tobytes()).digest()
    assert prepare(data, (), want_pixels=True).pixels == whole.pixels
    assert prepare(data, [InputSpec(32, 32, full_decode=True)]).pixels == whole.pixels


@pytest.mark.parametrize("colour", ["black", "white", "#a02840"])
@pytest.mark.parametrize("border", [Border(60, 60, 60, 60), Border(0, 130, 0, 130), Border(41, 41, 41, 150)])
@pytest.mark.parametrize("inputs", [(HASH,), (HASH, NETWORK)])
def test_a_framed_copy_is_prepared_like_its_original(
    colour: str, border: Border, inputs: tuple[InputSpec, ...]
) -> None:
    image = draw_image(1000, 700, seed=3)
    plain = prepare(saved(image, quality=90), inputs)
    copy = prepare(saved(framed(image, colour, border), quality=80), inputs)
    assert plain.border == Border()
    for side in ("left", "top", "right", "bottom"):
        assert abs(getattr(copy.border, side) - getattr(border, side)) <= 4
    assert bits_apart(plain.inputs[0], copy.inputs[0]) <= 4
    assert (copy.width, copy.height) == framed(image, colour, border).size


def test_a_wide_frame_leaves_enough_for_the_inputs() -> None:
    """The rest of a framed image is not enlarged where the file has the pixels."""
    image = draw_image(500, 500, seed=5)
    whole = framed(image, "black", Border(400, 400, 400, 400))
    got = prepare(saved(whole, quality=95), [InputSpec(224, 224, "RGB", "bilinear")]).inputs[0]
    expected = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
    assert np.abs(got.astype(int) - expected).mean() < 4


def test_size_and_border_are_those_a_viewer_shows() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    whole = framed(draw_image(600, 400), "black", Border(top=80))
    prepared = prepare(saved(whole, quality=95, exif=exif), [HASH])
    assert (prepared.width, prepared.height) == (480, 600)
    assert abs(prepared.border.right - 80) <= 2
    assert prepared.border.top == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_tiny_images_are_images(size: tuple[int, int], kind: str) -> None:
    prepared = prepare(saved(draw_image(*size), kind), [HASH, NETWORK])
    assert prepared.inputs[1].shape == (224, 224, 3)
    assert (prepared.width, prepared.height) == size


def test_rejections_pass_through() -> None:
    with pytest.raises(ImageRejected) as caught:
        prepare(b"", [HASH])
    assert caught.value.reason == "empty"
    with pytest.raises(ImageRejected) as caught:
        prepare(saved(draw_image(), "PNG"), [HASH], limits=Limits(max_pixels=1000))
    assert caught.value.reason == "too_many_pixels"


def test_read_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc" * 1000)
    assert read_bytes(file) == b"abc" * 1000
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for name, reason in {
        "missing": "unreadable",
        "": "unreadable",
        "pipe": "unreadable",
        "a\0b": "unreadable",
        "empty": "empty",
    }.items():
        with pytest.raises(ImageRejected) as caught:
            read_bytes(tmp_path / name)
        assert caught.value.reason == reason
    with pytest.raises(ImageRejected) as caught:
        read_bytes(file, Limits(max_bytes=2999))
    assert caught.value.reason == "too_many_bytes"
    assert read_bytes(file, Limits(max_bytes=3000))


def test_photos_prepared_by_hash_and_by_network_have_the_same_hash(photos: Path) -> None:
    """At whatever scale a file is decoded, frames and all, its hash stays the same but for a few bits."""
    spec = InputSpec(32, 32, "L", "lanczos", oversample=3.0)
    apart = []
    for file in sorted((photos / "imagenet1000").glob("*.JPEG"))[::20]:
        data = file.read_bytes()
        alone, together = prepare(data, [spec]), prepare(data, [spec, NETWORK], want_pixels=True)
        apart.append(bits_apart(alone.inputs[0], together.inputs[0]))
    assert np.mean(apart) < 1.5
    assert np.percentile(apart, 90) <= 4
