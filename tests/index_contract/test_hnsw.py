"""The graph index keeps the contract: approximate with a recall floor, and exact where it scans."""

from functools import partial

import pytest

from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.types import FeatureSpec
from tests.index_contract import IndexContract, MakeIndex


class TestGraph(IndexContract):
    spec = FeatureSpec("vector", "cosine", 48, "v1")
    exact = False
    size = 5000

    @pytest.fixture
    def make_index(self) -> MakeIndex:
        return partial(HnswIndex, exact_below=150, loose=100, ef_construction=80, ef=40)


class TestScanning(IndexContract):
    """As it comes: the contract's galleries are small enough to scan, all but one."""

    spec = FeatureSpec("vector", "cosine", 48, "v1")
    exact = True

    @pytest.fixture
    def make_index(self) -> MakeIndex:
        return partial(HnswIndex, exact_below=20_000)
