"""The perceptual hash: against its definition by scipy, its orientations, its quality, its refusals."""

import hashlib

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from lookalike.encoders.phash import MIN_STABLE_SHARE, OVERSAMPLE, VIEWS, PHash
from lookalike.errors import BadInput

ORIENT = {
    "same": lambda x: x,
    "turn_90": lambda x: np.rot90(x, 1, (1, 2)),
    "turn_180": lambda x: np.rot90(x, 2, (1, 2)),
    "turn_270": lambda x: np.rot90(x, 3, (1, 2)),
    "mirror": lambda x: x[:, :, ::-1],
    "flip": lambda x: x[:, ::-1],
    "transpose": lambda x: x.swapaxes(1, 2),
    "transverse": lambda x: np.rot90(x, 2, (1, 2)).swapaxes(1, 2),
}


def drawn(count: int, seed: int = 1) -> NDArray[np.uint8]:
    """Images with much at low frequencies and little at high ones, as photos have."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32] / 32
    images = []
    for _ in range(count):
        image = rng.normal(0, 4, (32, 32)) + 128
        for fade in range(1, 9):
            u, v = rng.uniform(0, fade, 2)
            image += 60 / fade * np.cos(2 * np.pi * (u * rows + v * columns + rng.uniform()))
        images.append(np.clip(image, 0, 255))
    return np.array(images).astype(np.uint8)


def hex_of(row: NDArray[np.uint8]) -> str:
    return row.tobytes().hex()


def test_bits_and_their_order_are_those_of_imagehash() -> None:
    images = np.concatenate([drawn(300), np.random.default_rng(2).integers(0, 256, (300, 32, 32), np.uint8)])
    features = PHash(exact=True).encode(images).features
    assert features.shape == (600, 8)
    assert features.dtype == np.uint8
    for image, row in zip(images, features, strict=True):
        assert hex_of(row) == str(imagehash.phash(Image.fromarray(image)))


@given(arrays(np.uint8, (32, 32)))
def test_no_grey_image_upsets_it(image: NDArray[np.uint8]) -> None:
    encoded = PHash().encode(image[None])
    assert 0 <= encoded.quality[0] <= 1
    assert encoded.usable[0] == (encoded.quality[0] >= MIN_STABLE_SHARE)
    assert np.bitwise_count(encoded.features).sum() <= 32  # strictly above the median of 64


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 700])
def test_a_batch_is_its_images_one_by_one(count: int) -> None:
    images = drawn(count, seed=count) if count else np.empty((0, 32, 32), np.uint8)
    encoder = PHash()
    together = encoder.encode(images)
    assert together.features.shape == (count, 8)
    assert together.quality.shape == together.usable.shape == (count,)
    assert encoder.encode_views(images).features.shape == (count, 8, 8)
    for i in range(0, count, 50):
        alone = encoder.encode(images[i : i + 1])
        assert np.array_equal(alone.features[0], together.features[i])
        assert alone.quality[0] == together.quality[i]


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_the_hash_of_the_turned_input(view: str) -> None:
    images = drawn(400, seed=3)
    encoder = PHash()
    turned = encoder.encode(np.ascontiguousarray(ORIENT[view](images))).features
    assert np.array_equal(encoder.encode_views(images).features[:, VIEWS.index(view)], turned)


def test_views_of_a_symmetric_image_agree_exactly() -> None:
    half = drawn(50, seed=4)[:, :, :16]
    images = np.concatenate([half, half[:, :, ::-1]], axis=2)
    views = PHash().encode_views(images).features
    assert np.array_equal(views[:, VIEWS.index("same")], views[:, VIEWS.index("mirror")])


def test_turned_before_it_was_made_smaller_it_differs_by_a_few_bits() -> None:
    large = [Image.fromarray(x).resize((403, 301), Image.Resampling.BICUBIC) for x in drawn(40, seed=5)]
    encoder = PHash()

    def hashes(images: list[Image.Image]) -> NDArray[np.uint8]:
        small = [np.asarray(x.resize((32, 32), Image.Resampling.LANCZOS)) for x in images]
        return encoder.encode(np.array(small)).features

    views = encoder.encode_views(np.array([np.asarray(x.resize((32, 32), Image.Resampling.LANCZOS)) for x in large]))
    for view, step in (("turn_90", "ROTATE_90"), ("mirror", "FLIP_LEFT_RIGHT"), ("transverse", "TRANSVERSE")):
        turned = hashes([x.transpose(Image.Transpose[step]) for x in large])
        bits = np.bitwise_count(turned ^ views.features[:, VIEWS.index(view)]).sum(axis=1)
        assert bits.max() <= 4
        assert bits.mean() < 1


@pytest.mark.parametrize("level", [0, 1, 90, 254, 255])
def test_uniform_images_mean_nothing(level: int) -> None:
    image = np.full((1, 32, 32), level, np.uint8)
    encoded = PHash().encode(image)
    assert not encoded.usable[0]
    assert encoded.quality[0] < 0.1
    assert not PHash().encode_views(image).usable[0]
    assert hex_of(encoded.features[0]) == str(imagehash.phash(Image.fromarray(image[0])))


def test_gradients_and_faint_noise_mean_nothing_and_images_do() -> None:
    ramp = np.linspace(0, 255, 32)
    faint = np.random.default_rng(6).normal(128, 1, (32, 32))
    flat = np.array([np.tile(ramp, (32, 1)), (ramp[:, None] + ramp) / 2, faint]).astype(np.uint8)
    assert not PHash().encode(flat).usable.any()
    assert PHash().encode(drawn(200, seed=7)).usable.all()


def test_quality_falls_as_an_image_fades() -> None:
    image = drawn(1, seed=8)[0].astype(float)
    faded = np.array([128 + (image - 128) * share for share in (1, 0.3, 0.1, 0.03, 0.01, 0)]).astype(np.uint8)
    quality = PHash().encode(faded).quality
    assert (np.diff(quality) <= 0).all()
    assert quality[0] > 0.9
    assert quality[-1] < 0.1


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((32, 32), np.uint8),
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((1, 31, 32), np.uint8),
        np.zeros((1, 32, 32), np.float32),
    ],
)
def test_other_shapes_are_refused_by_name(images: NDArray[np.uint8]) -> None:
    for encode in (PHash().encode, PHash().encode_views):
        with pytest.raises(BadInput, match=r"32, 32\) uint8"):
            encode(images)


def test_fast_and_exact_never_mix() -> None:
    fast, exact = PHash(), PHash(exact=True)
    assert (fast.spec.name, fast.spec.metric, fast.spec.width) == ("phash", "hamming", 8)
    assert fast.spec.fingerprint != exact.spec.fingerprint
    assert fast.spec == PHash().spec
    assert len(bytes.fromhex(fast.spec.fingerprint)) == hashlib.sha256().digest_size
    assert (fast.input.full_decode, fast.input.oversample) == (False, OVERSAMPLE)
    assert exact.input.full_decode
