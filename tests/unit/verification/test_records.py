"""Verification records: what is read is what was written, or Damaged."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import Damaged
from lookalike.verification import VerificationEncoder, Verifier, available, from_record, label, to_record
from tests.unit.verification.drawing import scene, side


@pytest.mark.parametrize("seed", range(3))
def test_a_record_stands_for_its_image(seed: int) -> None:
    original = side(scene(seed))
    record = to_record(original)
    assert len(record) < 5300
    read = from_record(record)
    assert (read.width, read.height) == (720, 540)
    assert read.border.area == pytest.approx(original.border.area, abs=1e-3)
    found = Verifier().verify(side(scene(seed).resize((500, 375))), read)
    assert label(found)[0] == "copy"
    assert label(Verifier().verify(side(scene(seed + 9)), read))[0] == "similar"


@pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
def test_a_crop_is_verified_from_a_record() -> None:
    read = from_record(to_record(side(scene(1))))
    found = Verifier().verify(side(scene(1).crop((100, 80, 640, 480))), read)
    assert found.method == "local"
    assert found.transform is not None
    assert found.transform.crop.left == pytest.approx(100 / 720, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 2**32 - 1), grey=st.booleans())
def test_any_image_has_a_record(width: int, height: int, seed: int, grey: bool) -> None:
    shape = (height, width) if grey else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    read = from_record(to_record(VerificationEncoder().from_pixels(pixels, width, height)))
    assert (read.width, read.height) == (width, height)
    assert (read.colors is None) == grey
    if read._features is not None:
        assert ((read.features.points >= 0) & (read.features.points <= 1)).all()


@pytest.fixture(scope="module")
def record() -> bytes:
    return to_record(side(scene(2, (240, 180))))


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_an_altered_record_is_damaged(record: bytes, seed: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(record) - 1))
    altered = bytearray(record)
    altered[at] ^= random.Random(seed).randrange(1, 256)
    with pytest.raises(Damaged):
        from_record(bytes(altered))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, 4000))
def test_a_truncated_record_is_damaged(record: bytes, length: int) -> None:
    with pytest.raises(Damaged):
        from_record(record[: min(length, len(record) - 1)])
