"""The index contract on the graph index: approximate with a minimum recall, and exact where it scans."""

from functools import partial

import pytest

from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.types import FeatureSpec
from tests.index_contract import IndexContract, IndexFactory


class TestGraph(IndexContract):
    spec = FeatureSpec("vector", "cosine", 48, "v1")
    exact = False
    size = 5000

    @pytest.fixture
    def make_index(self) -> IndexFactory:
        return partial(HnswIndex, exact_below=150, max_unindexed=100, ef_construction=80, ef=40)


class TestScanning(IndexContract):
    """With a larger `exact_below`, all of the contract's galleries are scanned."""

    spec = FeatureSpec("vector", "cosine", 48, "v1")
    exact = True
    histories = 1

    @pytest.fixture
    def make_index(self) -> IndexFactory:
        return partial(HnswIndex, exact_below=20_000)
