"""Multi-index hashing: the contract of every index, what it refuses, and the proof of its probes."""

from collections.abc import Iterable

import numpy as np
import pytest

from lookalike.errors import BadInput, BadSetting, FeatureMismatch, UnsupportedQuery
from lookalike.indexes.mih import index as mih_index
from lookalike.indexes.mih import state
from lookalike.indexes.mih.index import MihIndex
from lookalike.indexes.mih.probing import TABLES, even_probes, own_buckets, probes, sharings
from lookalike.types import FeatureSpec, Rows
from tests.index_contract import IndexContract, MakeIndex

SPEC = FeatureSpec("phash", "hamming", 8, "test 1")


class TestMihIndex(IndexContract):
    spec = SPEC
    exact = True

    @pytest.fixture
    def make_index(self) -> MakeIndex:
        return MihIndex


class TestMihIndexOfManySmallRuns(IndexContract):
    spec = SPEC
    exact = True

    @pytest.fixture
    def make_index(self, monkeypatch: pytest.MonkeyPatch) -> MakeIndex:
        """A tiny buffer, so that runs come and merge all the time, and probing even where a scan would be cheaper."""
        monkeypatch.setattr(state, "BUFFER_ROWS", 16)
        monkeypatch.setattr(state, "RATIO", 2)
        monkeypatch.setattr(mih_index, "_SCANNED", -1.0)
        return MihIndex


def refused() -> Iterable[tuple[FeatureSpec, dict[str, int]]]:
    yield FeatureSpec("vgg16", "cosine", 512, "x"), {}
    yield FeatureSpec("pdq", "hamming", 32, "x"), {}
    yield SPEC, {"equal_bytes": 9}
    yield SPEC, {"equal_bytes": -1}


@pytest.mark.parametrize(("spec", "how"), list(refused()))
def test_what_it_cannot_hold_is_refused(spec: FeatureSpec, how: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        MihIndex(spec, None, **how)


def test_bad_input_is_named() -> None:
    index = MihIndex(SPEC, None)
    with pytest.raises(FeatureMismatch):
        index.search(np.zeros((1, 16), np.uint8), 1)
    with pytest.raises(UnsupportedQuery):
        index.search(np.zeros((1, 8), np.uint8), 0)
    with pytest.raises(UnsupportedQuery):
        index.search(np.zeros((1, 8), np.uint8), 1, max_distance=float("nan"))
    with pytest.raises(BadInput):
        index.upsert(Rows(np.array([5, 5]), np.zeros((2, 8), np.uint8), np.array([1, 1])))
    assert index.count() == 0


@pytest.mark.parametrize("radius", [0, 3, 6, 7, 8, 11, 15, 19])
def test_every_sharing_of_a_radius_sees_every_code_within_it(radius: int) -> None:
    rng = np.random.default_rng(21 + radius)
    ways = sharings(radius)
    assert (ways.sum(axis=1) == radius + 1).all()
    code = int(rng.integers(0, 2**63))
    own = own_buckets(code)
    chosen = [probes(tuple(way)) for way in rng.permutation(ways)[:6].tolist()]
    for one in (even_probes(radius), *chosen):
        seen = set(one.buckets(own).tolist())
        assert len(seen) == len(one.flips)
        for _ in range(50):
            other = code
            for bit in rng.choice(64, radius, replace=False).tolist():
                other ^= 1 << bit
            assert len(seen & set(own_buckets(other).tolist())) >= 1
    assert len(own) == TABLES
