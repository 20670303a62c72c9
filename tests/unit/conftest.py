"""What all unit tests share: galleries that are quick to open and to search."""

from collections.abc import Iterator

import pytest

SIMILAR_VERIFIED = 2
"""Instead of 10: comparing the pixels of two images that differ takes 30 ms, and most searches here have such
candidates only."""
INLINE_LIMIT = 64
"""Instead of 4: starting processes that decode takes longer than decoding what a test adds. They have tests of their
own, imaging/test_decode_pool.py, and every server has them."""


@pytest.fixture(scope="session", autouse=True)
def quick_galleries() -> Iterator[None]:
    """Galleries that this process opens decode in it, and verify few of the candidates beyond the copy threshold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.gallery.verification.MAX_SIMILAR_VERIFIED", SIMILAR_VERIFIED)
        patch.setattr("lookalike.factory.INLINE_LIMIT", INLINE_LIMIT)
        yield
