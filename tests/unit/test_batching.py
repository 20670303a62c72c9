"""Calls of several threads go together, each gets its own back, and a lone caller waits for nobody."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lookalike.encoders import load_encoder
from lookalike.encoders.micro_batching import BatchingEncoder
from lookalike.errors import BadInput, BadSetting, Unavailable
from lookalike.imaging import prepare
from lookalike.interfaces import Encoder
from lookalike.types import Encoded, EncodedViews, FeatureSpec, InputSpec, Pixels
from tests.support.drawn_images import drawn, encoded


class Slow:
    """A real encoder, slowed down and watched; it refuses images whose first pixel is 255."""

    def __init__(self, encoder: Encoder, seconds: float) -> None:
        self._encoder = encoder
        self._seconds = seconds
        self.sizes: list[int] = []

    @property
    def spec(self) -> FeatureSpec:
        return self._encoder.spec

    @property
    def input(self) -> InputSpec:
        return self._encoder.input

    def encode(self, images: Pixels) -> Encoded:
        self._note(images)
        return self._encoder.encode(images)

    def encode_views(self, images: Pixels) -> EncodedViews:
        self._note(images)
        return self._encoder.encode_views(images)

    def _note(self, images: Pixels) -> None:
        self.sizes.append(len(images))
        time.sleep(self._seconds)
        if (images.reshape(len(images), -1)[:, 0] == 255).any():
            raise BadInput("an image that this encoder refuses")


@pytest.fixture
def phash(tmp_path) -> Encoder:
    return load_encoder("phash", tmp_path)


def inputs(encoder: Encoder, n: int) -> list[Pixels]:
    made = []
    for seed in range(n):
        [grey] = prepare(encoded(drawn(seed)), [encoder.input]).inputs
        grey = grey.copy()
        grey.flat[0] = 7
        made.append(grey[None])
    return made


def test_each_thread_gets_its_own_rows(phash: Encoder) -> None:
    slow = Slow(phash, 0.01)
    batching = BatchingEncoder(slow, most=8)
    images = inputs(phash, 40)
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(batching.encode, images))
        views = list(pool.map(batching.encode_views, images))
    for image, row, view in zip(images, rows, views, strict=True):
        alone = phash.encode(image)
        assert np.array_equal(row.features, alone.features)
        assert np.array_equal(row.usable, alone.usable)
        assert np.array_equal(row.quality, alone.quality)
        assert np.array_equal(view.features, phash.encode_views(image).features)
    assert sum(slow.sizes) == 80
    assert max(slow.sizes) <= 8
    assert len(slow.sizes) < 40, "fewer calls than images: they went together"


def test_a_lone_caller_waits_for_nobody(phash: Encoder) -> None:
    batching = BatchingEncoder(phash, patience_ms=2000)
    [image] = inputs(phash, 1)
    began = time.monotonic()
    for _ in range(20):
        batching.encode(image)
    assert time.monotonic() - began < 1.5


def test_an_error_reaches_only_whom_it_concerns(phash: Encoder) -> None:
    batching = BatchingEncoder(Slow(phash, 0.02))
    good = inputs(phash, 12)
    bad = good[5].copy()
    bad.flat[0] = 255

    def ask(at: int) -> Encoded | BadInput:
        try:
            return batching.encode(bad if at == 5 else good[at])
        except BadInput as error:
            return error

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert [isinstance(a, BadInput) for a in answers] == [at == 5 for at in range(12)]


def test_a_larger_request_than_a_batch_goes_alone(phash: Encoder) -> None:
    slow = Slow(phash, 0.0)
    batching = BatchingEncoder(slow, most=4)
    whole = np.concatenate(inputs(phash, 9))
    assert np.array_equal(batching.encode(whole).features, phash.encode(whole).features)
    assert slow.sizes == [9]


def test_closing_refuses_and_answers_what_is_under_way(phash: Encoder) -> None:
    batching = BatchingEncoder(Slow(phash, 0.3))
    [image] = inputs(phash, 1)
    with ThreadPoolExecutor(4) as pool:
        started = threading.Barrier(5)

        def ask() -> Encoded:
            started.wait()
            return batching.encode(image)

        asked = [pool.submit(ask) for _ in range(4)]
        started.wait()
        time.sleep(0.1)
        batching.close()
        batching.close()
        assert all(np.array_equal(a.result(5).features, phash.encode(image).features) for a in asked)
    with pytest.raises(Unavailable, match="closed"):
        batching.encode(image)


@pytest.mark.parametrize("wrong", [{"patience_ms": -1}, {"most": 0}])
def test_settings_that_make_no_sense(phash: Encoder, wrong: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        BatchingEncoder(phash, **wrong)
