"""Features as bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lookalike.catalog import at_storage_precision
from lookalike.catalog.features import pack, row_bytes, unpack
from lookalike.errors import BadInput, Damaged
from lookalike.types import FeatureSpec

HASH = FeatureSpec("phash", "hamming", 8, "one")
VECTOR = FeatureSpec("vgg16", "cosine", 512, "two")


@given(arrays.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(8))))
def test_hashes_come_back_unchanged(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack(HASH, pack(HASH, list(rows))), rows)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.booleans())
def test_vectors_come_back_as_announced(seed: int, count: int, sparse: bool) -> None:
    dice = np.random.default_rng(seed)
    rows = dice.standard_normal((count, 512)).astype(np.float32)
    if sparse:
        rows[:, :400] = 0
        rows *= dice.random(512, dtype=np.float32) ** 8  # a few large numbers and many tiny ones, as after ReLU
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stored = unpack(VECTOR, pack(VECTOR, list(rows)))
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, at_storage_precision(VECTOR, rows))
    # One row or many, the rounding is the same.
    np.testing.assert_array_equal(stored[:1], at_storage_precision(VECTOR, rows[:1]))
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)
    assert np.all(np.einsum("ij,ij->i", stored.astype(np.float64), rows) > 0.999999)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((1, 512), np.float32),
        np.full((1, 512), np.nan, np.float32),
        np.full((1, 512), np.inf, np.float32),
        np.ones((1, 512), np.float32),
        np.full((1, 512), 512**-0.5, np.float64),
        np.full((1, 511), 511**-0.5, np.float32),
    ],
)
def test_vectors_without_sense_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(BadInput, match="vgg16"):
        at_storage_precision(VECTOR, rows)
    with pytest.raises(BadInput, match="vgg16"):
        pack(VECTOR, list(rows))


def test_a_wrong_size_is_damage() -> None:
    assert row_bytes(VECTOR) == 1024
    for blobs in ([b"short"], [b"1234567", b"123456789"]):
        with pytest.raises(Damaged, match="phash"):
            unpack(HASH, blobs)
