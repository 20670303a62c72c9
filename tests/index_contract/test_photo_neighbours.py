"""Recall of the graph index on VGG16 features of real photos, and on features derived from them.

The same on Milvus, with each of its index types: tests/integration/milvus/test_index.py.

At any size: LOOKALIKE_CONTRACT_ROWS=200000 pytest tests/index_contract/test_photo_neighbours.py
"""

from pathlib import Path

import pytest
from benchmarks import cached_features

from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.types import Features, FeatureSpec
from tests.index_contract import IndexFactory, RecallTests

EVERY = 60
"""Every 60th photo: 29 of 1,710, encoded once per machine."""


class TestEmbedded(RecallTests):
    """More rows than the graph index scans, derived from real features."""

    spec = FeatureSpec("vector", "cosine", 512, "v1")
    exact = False
    recall_rows = 8000

    @pytest.fixture
    def originals(self, photos: Path, cache: Path) -> Features:
        return cached_features.features(EVERY)

    @pytest.fixture
    def make_index(self) -> IndexFactory:
        return HnswIndex
