"""The index contract on the flat index, under both metrics."""

import pytest

from lookalike.indexes.flat import FlatIndex
from lookalike.types import FeatureSpec
from tests.index_contract import IndexContract, IndexFactory


class TestCodes(IndexContract):
    spec = FeatureSpec("code", "hamming", 8, "v1")
    exact = True

    @pytest.fixture
    def make_index(self) -> IndexFactory:
        return FlatIndex


class TestLongCodes(TestCodes):
    spec = FeatureSpec("code", "hamming", 33, "v1")


class TestVectors(TestCodes):
    spec = FeatureSpec("vector", "cosine", 48, "v1")
