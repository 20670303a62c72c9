"""What all unit tests share."""

from collections.abc import Iterator

import pytest

SIMILAR_VERIFIED = 2
"""Instead of 10: comparing the pixels of two images that differ takes 30 ms, and most searches here have such
candidates only."""


@pytest.fixture(scope="session", autouse=True)
def few_similar_verified() -> Iterator[None]:
    """Verify few of the candidates beyond the copy threshold; a test of verification itself restores the number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.gallery.verification.MAX_SIMILAR_VERIFIED", SIMILAR_VERIFIED)
        yield
