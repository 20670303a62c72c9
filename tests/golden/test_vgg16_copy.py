"""The features of `vgg16-copy` on drawn images are those that its weights gave when they were made.

python -m tests.golden.test_vgg16_copy      writes the file again, after the weights or the preprocessing were changed
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.encoders import load_encoder
from lookalike.encoders.openvino_runtime import has_bf16
from lookalike.imaging import prepare
from tests.support.drawn_images import drawn, encoded

FILE = Path(__file__).parent / "data" / "vgg16_copy.npz"
SIZES = ((160, 160), (320, 240), (200, 600), (64, 48))


def features(precision: str, cache: Path) -> tuple[NDArray[np.float32], str]:
    """Features of drawn images of several sizes, from the bytes of their files, and the fingerprint."""
    encoder = load_encoder("vgg16-copy", cache, precision=precision, pull_missing=False)  # type: ignore[arg-type]
    files = [encoded(drawn(seed, size)) for seed, size in enumerate(SIZES)]
    images = np.stack([prepare(file, [encoder.input]).inputs[0] for file in files])
    return encoder.encode(images).features, encoder.spec.fingerprint


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_those_of_the_golden_file(precision: str, tmp_path: Path) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor has no bfloat16")
    found, fingerprint = features(precision, tmp_path)
    with np.load(FILE) as golden:
        assert fingerprint == str(golden["fingerprint"])
        cosines = (found * golden["features"].astype(np.float32)).sum(axis=1)
    assert cosines.min() > (0.9999 if precision == "fp32" else 0.998)


if __name__ == "__main__":
    rows, mark = features("fp32", Path("/nonexistent"))
    np.savez(FILE, features=rows.astype(np.float16), fingerprint=np.array(mark))
