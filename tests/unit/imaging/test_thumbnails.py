"""Small images to show: upright, over white, without metadata, from the one decoding."""

import io

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import ImageRejected
from lookalike.imaging import DecodePool, Source, decode, make_thumbnail, prepare
from lookalike.imaging.thumbnails import SIDE
from lookalike.types import InputSpec, Prepared
from tests.support.drawn_images import drawn, encoded

INPUT = InputSpec(32, 32, mode="L", resample="lanczos", oversample=3.0)


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("size", [(1600, 1000), (1000, 1600), (1200, 150), (100, 60), (3, 900)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("want_pixels", [False, True])
def test_its_longer_side_is_bounded(size: tuple[int, int], kind: str, want_pixels: bool) -> None:
    data = encoded(drawn(1, size), kind)
    prepared = prepare(data, [INPUT], want_pixels=want_pixels, thumbnail_side=SIDE)
    small = opened(prepared.thumbnail)
    scale = min(1.0, SIDE / max(size))
    assert small.size == tuple(pytest.approx(max(round(side * scale), 1), abs=1) for side in size)
    assert small.mode == "RGB"
    assert max(small.size) == min(SIDE, max(size))
    likeness = np.asarray(drawn(1, size).resize(small.size, Image.Resampling.BOX), np.int16) - np.asarray(small)
    assert np.abs(likeness).mean() < 6
    assert opened(make_thumbnail(data)).size == small.size
    assert max(opened(make_thumbnail(data, 64)).size) == min(64, max(size))


def test_it_is_upright_and_holds_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)  # the latitude
    data = encoded(drawn(2, (600, 400)), "JPEG", exif=exif, quality=95)
    small = opened(prepare(data, [INPUT], thumbnail_side=SIDE).thumbnail)
    assert small.size == (256, 384)
    assert not small.getexif()
    assert set(small.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    turned = drawn(2, (600, 400)).transpose(Image.Transpose.ROTATE_270).resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(turned, np.int16) - np.asarray(small)).mean() < 6


def test_alpha_lies_over_white_and_frames_stay() -> None:
    clear = Image.new("RGBA", (500, 300), (10, 20, 30, 0))
    assert opened(prepare(encoded(clear), [INPUT], thumbnail_side=SIDE).thumbnail).getextrema() == ((255, 255),) * 3
    framed = Image.new("RGB", (600, 400), "black")
    framed.paste(drawn(3, (400, 200)), (100, 100))
    prepared = prepare(encoded(framed, "JPEG", quality=95), [INPUT], thumbnail_side=SIDE)
    assert prepared.border
    small = opened(prepared.thumbnail)
    assert small.size == (384, 256)
    assert max(small.getpixel((5, 5))) < 8  # type: ignore[type-var,arg-type]


def test_it_changes_nothing_else() -> None:
    data = encoded(drawn(4, (1200, 900)), "JPEG")
    plain, more = (prepare(data, [INPUT], want_pixels=True, thumbnail_side=side) for side in (0, SIDE))
    assert plain.thumbnail is None
    assert (plain.sha256, plain.pixels, plain.border) == (more.sha256, more.pixels, more.border)
    assert np.array_equal(plain.inputs[0], more.inputs[0])
    assert plain.pixels is not None


def test_it_comes_from_the_worker() -> None:
    files = [encoded(drawn(seed, (500, 300)), "JPEG") for seed in range(5)]
    with DecodePool([INPUT], workers=1) as pool:
        prepared = list(
            pool.map(Source(data=data, thumbnail_side=SIDE * (at % 2 == 0)) for at, data in enumerate(files))
        )
    for at, (data, one) in enumerate(zip(files, prepared, strict=True)):
        assert isinstance(one, Prepared)
        here = prepare(data, [INPUT], thumbnail_side=SIDE * (at % 2 == 0))
        assert one.thumbnail == here.thumbnail
        assert (one.thumbnail is None) == bool(at % 2)


def test_the_smallest_image_and_none() -> None:
    assert opened(make_thumbnail(encoded(drawn(5, (1, 1))))).size == (1, 1)
    assert decode(make_thumbnail(encoded(drawn(6, (900, 1))))).width == SIDE
    with pytest.raises(ImageRejected):
        make_thumbnail(b"no image")
