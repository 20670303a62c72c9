"""PIL images and numpy arrays as files."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import ImageRejected
from lookalike.imaging.pixels import encode_pixels
from tests.support.drawn_images import drawn

GREY = np.asarray(drawn(1).convert("L"))


def read(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (GREY, "L"),
        (GREY[..., None], "L"),
        (np.dstack([GREY, GREY // 2]), "LA"),
        (np.asarray(drawn(1)), "RGB"),
        (np.asarray(drawn(1))[::-1, ::-1, ::-1], "RGB"),
        (np.asarray(drawn(1).convert("RGBA")), "RGBA"),
        (GREY.astype(np.uint16) * 257, "I;16"),
        ((GREY.astype(np.uint16) * 257)[..., None], "I;16"),
        (GREY > 99, "1"),
    ],
)
def test_arrays_are_stored_without_loss(array: NDArray[np.generic], mode: str) -> None:
    image = read(encode_pixels(array))
    assert image.mode == mode
    assert np.array_equal(np.asarray(image), array[..., 0] if array.shape[2:] == (1,) else array)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "RGBX", "PA", "RGBa", "La"])
def test_modes_that_png_has_not_are_converted(mode: str) -> None:
    base = {"La": "LA", "RGBa": "RGBA", "PA": "LA"}.get(mode, "RGB")
    image = drawn(1).convert(base)
    if mode == "LAB":
        image = Image.frombytes("LAB", image.size, image.tobytes())
    elif mode == "PA":
        image = image.convert("P")
        image = image.convert("PA")
    else:
        image = image.convert(mode)
    assert read(encode_pixels(image)).mode in ("RGB", "RGBA", "LA")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 5), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros(64, np.uint8),
        np.zeros((0, 8), np.uint8),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8), np.int64),
    ],
)
def test_other_shapes_and_types_are_named(array: NDArray[np.generic]) -> None:
    with pytest.raises(ImageRejected) as caught:
        encode_pixels(array)
    assert f"not {array.dtype} of shape {array.shape}" in str(caught.value)


def test_numbers_with_a_point_come_with_the_remedy() -> None:
    with pytest.raises(ImageRejected, match=r"give \(255 \* array\)\.astype\('uint8'\)"):
        encode_pixels(np.zeros((8, 8, 3), np.float32))
