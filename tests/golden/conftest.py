"""What the golden suites share."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike import factory
from lookalike.encoders.openvino_runtime import OpenVinoEncoder
from lookalike.types import Pixels


@pytest.fixture(scope="session", autouse=True)
def each_network_loaded_once() -> Iterator[None]:
    """Have all galleries of a process use the same encoder: they open many times, and compiling takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "load_encoder", cache(factory.load_encoder))
        yield


@pytest.fixture(scope="session", autouse=True)
def each_image_encoded_once() -> Iterator[None]:
    """Run a network once on the same pixels: a few images are searched for hundreds of times, in many galleries."""
    run = OpenVinoEncoder.raw
    known: dict[tuple[str, str, bytes], NDArray[np.float32]] = {}

    def raw(encoder: OpenVinoEncoder, images: Pixels) -> NDArray[np.float32]:
        keys = [(encoder.spec.fingerprint, encoder.precision, image.tobytes()) for image in images]
        new = {key: place for place, key in enumerate(keys) if key not in known}
        rows = run(encoder, images[list(new.values())])  # also of no image: it checks their shape
        known.update(zip(new, rows, strict=True))
        return np.array([known[key] for key in keys], np.float32).reshape(len(images), rows.shape[1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenVinoEncoder, "raw", raw)
        yield
