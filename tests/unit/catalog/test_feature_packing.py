"""Features as bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lookalike.catalog import at_storage_precision
from lookalike.catalog.features import pack, row_bytes, unpack
from lookalike.errors import BadInput, Damaged
from lookalike.types import INT8_SUFFIX, FeatureSpec

HASH = FeatureSpec("phash", "hamming", 8, "one")
VECTOR = FeatureSpec("vgg16", "cosine", 512, "two")
INT8 = FeatureSpec("vgg16", "cosine", 512, "two" + INT8_SUFFIX)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(8))))
def test_hashes_come_back_unchanged(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack(HASH, pack(HASH, list(rows))), rows)


# 8 bits err by half a step at most, 1 / 254 of the largest number, in each of 512
@pytest.mark.parametrize(("spec", "least_cosine"), [(VECTOR, 0.999999), (INT8, 1 - 512 / 254**2 / 2)])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 20), sparse=st.booleans())
def test_vectors_come_back_as_announced(
    spec: FeatureSpec, least_cosine: float, seed: int, count: int, sparse: bool
) -> None:
    dice = np.random.default_rng(seed)
    rows = dice.standard_normal((count, 512)).astype(np.float32)
    if sparse:
        rows[:, :400] = 0
        rows *= dice.random(512, dtype=np.float32) ** 8  # a few large numbers and many tiny ones, as after ReLU
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stored = unpack(spec, pack(spec, list(rows)))
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, at_storage_precision(spec, rows))
    # One row or many, the rounding is the same.
    np.testing.assert_array_equal(stored[:1], at_storage_precision(spec, rows[:1]))
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)
    assert np.all(np.einsum("ij,ij->i", stored.astype(np.float64), rows) > least_cosine)


def unit_rows(width: int) -> st.SearchStrategy[np.ndarray]:
    """Rows of unit length whose numbers differ by any factor, zeros among them."""
    numbers = st.floats(-1, 1, width=32)
    drawn = arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(width)), elements=numbers)
    strong = drawn.map(lambda rows: rows.astype(np.float64)).filter(lambda rows: bool((np.abs(rows).max(1) > 0).all()))
    return strong.map(lambda rows: (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


@given(unit_rows(INT8.width))
def test_vectors_in_8_bits_are_rounded_once(rows: np.ndarray) -> None:
    packed = pack(INT8, list(rows))
    numbers = np.frombuffer(b"".join(packed), np.int8).reshape(rows.shape).astype(int)
    assert (np.abs(numbers).max(axis=1) == 127).all()
    assert not numbers[rows == 0].any()
    scale = np.abs(rows).max(axis=1, keepdims=True) / 127
    assert (np.abs(numbers * scale - rows) <= 0.5001 * scale).all()
    assert [bytes(n) for n in -np.frombuffer(b"".join(packed), np.int8).reshape(rows.shape)] == pack(INT8, list(-rows))
    assert pack(INT8, list(unpack(INT8, packed))) == packed


@pytest.mark.parametrize("spec", [VECTOR, INT8])
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
def test_vectors_without_sense_are_refused(rows: np.ndarray, spec: FeatureSpec) -> None:
    with pytest.raises(BadInput, match="vgg16"):
        at_storage_precision(spec, rows)
    with pytest.raises(BadInput, match="vgg16"):
        pack(spec, list(rows))


def test_a_wrong_size_is_damage() -> None:
    assert (row_bytes(VECTOR), row_bytes(INT8)) == (1024, 512)
    with pytest.raises(Damaged, match="vgg16"):
        unpack(INT8, [bytes(1024)])
    for blobs in ([b"short"], [b"1234567", b"123456789"]):
        with pytest.raises(Damaged, match="phash"):
            unpack(HASH, blobs)
