"""All pairs of hashes within a radius, against a comparison of every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.gallery import hash_join
from lookalike.gallery.hash_join import join_hashes


def drawn_views(rng: np.random.Generator, count: int, views: int) -> np.ndarray:
    """Codes near one another, and views near the codes of others, as those of turned copies are."""
    codes = rng.integers(0, 2**64, (count, views), dtype=np.uint64)
    for row in range(1, count):
        if rng.random() < 0.7:
            flipped = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, rng.integers(1, 10)).astype(np.uint64))
            column, other = rng.integers(0, views, 2)
            codes[row, column] = codes[rng.integers(0, row), other] ^ flipped
    return codes


def all_pairs(views: np.ndarray, radius: int) -> dict[tuple[int, int], int]:
    bits = np.bitwise_count(views[:, None, :] ^ views[None, :, :1]).min(axis=2)
    bits = np.maximum(bits, bits.T)
    return {
        (a, b): int(bits[a, b]) for a in range(len(views)) for b in range(a + 1, len(views)) if bits[a, b] <= radius
    }


@pytest.mark.parametrize("segments", [None, 0, 1, 2, 4])
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 80), st.sampled_from([1, 8]), st.integers(0, 9), st.booleans())
def test_every_pair_is_found_once(
    segments: int | None, seed: int, count: int, columns: int, radius: int, partly: bool
) -> None:
    rng = np.random.default_rng(seed)
    views = drawn_views(rng, count, columns)
    changed = np.flatnonzero(rng.random(count) < 0.3) if partly else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_join, "_TILE", 16)
        patch.setattr(hash_join, "_BLOCK", 7)
        patch.setattr(hash_join, "_CANDIDATES", 11)
        if segments is not None:
            number = radius + segments if segments else 0
            patch.setattr(hash_join, "_cheapest_segments", lambda *_: number)
        pairs = join_hashes(views, radius, changed=changed)
    found = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    expected = all_pairs(views, radius)
    if changed is not None:
        expected = {pair: bits for pair, bits in expected.items() if {*pair} & {*changed.tolist()}}
    assert len(found) == len(set(found))
    assert dict(zip(found, pairs.bits.tolist(), strict=True)) == expected


def test_no_pairs() -> None:
    for views in (np.empty((0, 8), np.uint64), np.zeros((1, 8), np.uint64)):
        assert not len(join_hashes(views, 8).first)
    assert not len(join_hashes(np.zeros((5, 8), np.uint64), -1).first)
    assert len(join_hashes(np.zeros((5, 8), np.uint64), 0).first) == 10
