"""What the golden suites share."""

from collections.abc import Iterator
from functools import cache

import pytest

from lookalike import factory


@pytest.fixture(scope="session", autouse=True)
def each_network_loaded_once() -> Iterator[None]:
    """Have all galleries of a process use the same encoder: they open many times, and compiling takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "load_encoder", cache(factory.load_encoder))
        yield
