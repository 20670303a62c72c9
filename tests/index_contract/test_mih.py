"""Multi-index hashing: the index contract, invalid arguments, and the completeness of its probes."""

from collections.abc import Iterable

import numpy as np
import pytest

from lookalike.errors import BadInput, BadSetting, FeatureMismatch, UnsupportedQuery
from lookalike.indexes.mih import index as mih_index
from lookalike.indexes.mih import state
from lookalike.indexes.mih.bucket_tables import TABLES, even_probes, own_buckets, probes, radius_splits
from lookalike.indexes.mih.index import MihIndex
from lookalike.types import FeatureSpec, Rows
from tests.index_contract import IndexContract, IndexFactory

SPEC = FeatureSpec("phash", "hamming", 8, "test 1")


class TestMihIndex(IndexContract):
    spec = SPEC
    exact = True

    @pytest.fixture
    def make_index(self) -> IndexFactory:
        return MihIndex


class TestMihIndexOfManySmallRuns(IndexContract):
    spec = SPEC
    exact = True

    @pytest.fixture
    def make_index(self, monkeypatch: pytest.MonkeyPatch) -> IndexFactory:
        """A tiny buffer, so that runs are merged often, and probing even where a scan would be cheaper."""
        monkeypatch.setattr(state, "BUFFER_ROWS", 16)
        monkeypatch.setattr(state, "MERGE_RATIO", 2)
        monkeypatch.setattr(mih_index, "_ALWAYS_SCAN_COST", -1.0)
        return MihIndex


def unsupported() -> Iterable[tuple[FeatureSpec, dict[str, int]]]:
    yield FeatureSpec("vgg16", "cosine", 512, "x"), {}
    yield FeatureSpec("pdq", "hamming", 32, "x"), {}
    yield SPEC, {"equal_bytes": 9}
    yield SPEC, {"equal_bytes": -1}


@pytest.mark.parametrize(("spec", "options"), list(unsupported()))
def test_unsupported_features_and_options_are_refused(spec: FeatureSpec, options: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        MihIndex(spec, None, **options)


def test_invalid_input_is_refused() -> None:
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
def test_every_split_of_a_radius_finds_every_code_within_it(radius: int) -> None:
    rng = np.random.default_rng(21 + radius)
    splits = radius_splits(radius)
    assert (splits.sum(axis=1) == radius + 1).all()
    code = int(rng.integers(0, 2**63))
    own = own_buckets(code)
    chosen = [probes(tuple(split)) for split in rng.permutation(splits)[:6].tolist()]
    for each in (even_probes(radius), *chosen):
        seen = set(each.buckets(own).tolist())
        assert len(seen) == len(each.flips)
        for _ in range(50):
            other = code
            for bit in rng.choice(64, radius, replace=False).tolist():
                other ^= 1 << bit
            assert len(seen & set(own_buckets(other).tolist())) >= 1
    assert len(own) == TABLES
