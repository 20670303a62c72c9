"""Rows of the windows of an image."""

import numpy as np
import pytest

from lookalike.config import from_environment
from lookalike.encoders import info, load_encoder
from lookalike.encoders.windows import WindowsEncoder
from lookalike.imaging.resizing import resize_to
from lookalike.imaging.windows import WINDOW_COUNT, windows_of
from lookalike.interfaces import WindowedEncoder
from tests.support.drawn_images import drawn

NAME = "vgg16-copy-windows"


@pytest.fixture(scope="module")
def encoder() -> WindowsEncoder:
    loaded = load_encoder(NAME, from_environment().cache, precision="fp32")
    assert isinstance(loaded, WindowsEncoder)
    return loaded


def test_a_row_has_the_code_of_each_window(encoder: WindowsEncoder) -> None:
    one = load_encoder("vgg16-copy-binary", from_environment().cache, precision="fp32")
    image = np.asarray(drawn(3, (encoder.input.width, encoder.input.height)))
    encoded = encoder.encode(image[None])
    parts = np.stack([resize_to(window, one.input) for window in windows_of(image)])
    assert encoded.usable.tolist() == [True]
    assert (encoded.features[0].reshape(WINDOW_COUNT, -1) == one.encode(parts).features).all()
    assert isinstance(encoder, WindowedEncoder)
    assert encoder.windows * one.spec.width == encoder.spec.width


def test_a_query_is_one_code(encoder: WindowsEncoder) -> None:
    image = np.asarray(drawn(4, (encoder.input.width, encoder.input.height)))
    views = encoder.encode_views(image[None])
    codes = views.features.reshape(WINDOW_COUNT, -1)
    assert views.usable.tolist() == [True]
    assert (codes == codes[0]).all()


def test_flat_windows_and_images(encoder: WindowsEncoder) -> None:
    image = np.full((2, encoder.input.height, encoder.input.width, 3), 90, np.uint8)
    image[0, :160, :160] = np.asarray(drawn(5, (160, 160)))
    encoded = encoder.encode(image)
    codes = encoded.features[0].reshape(WINDOW_COUNT, -1)
    assert encoded.usable.tolist() == [True, False]
    assert (codes[-1] == codes[0]).all()  # the lower right quarter shows nothing
    assert encoder.encode_views(image).usable.tolist() == [True, False]


def test_the_fingerprint_is_that_of_the_windows(encoder: WindowsEncoder) -> None:
    about = info(NAME, from_environment().cache)
    assert about.fingerprint == encoder.spec.fingerprint
    assert about.fingerprint != info("vgg16-copy-binary", from_environment().cache).fingerprint
