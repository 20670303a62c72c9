"""Recall of approximate indexes on VGG16 features of real photos, and on features derived from them.

At any size: LOOKALIKE_CONTRACT_ROWS=200000 pytest tests/index_contract/test_photo_neighbours.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from benchmarks import cached_features

from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.indexes.milvus.index import drop_index, open_index
from lookalike.interfaces import VectorIndex
from lookalike.types import Features, FeatureSpec
from tests.index_contract import IndexFactory, RecallTests
from tests.support.engines.milvus import milvus_url, new_gallery

EVERY = 15
"""Every 15th photo: 114 of 1,710, encoded in about 10 s, once per machine."""


class PhotoRecallTests(RecallTests):
    """Rows derived from real features."""

    spec = FeatureSpec("vector", "cosine", 512, "v1")
    exact = False

    @pytest.fixture
    def originals(self, photos: Path, cache: Path) -> Features:
        return cached_features.features(EVERY)


class TestEmbedded(PhotoRecallTests):
    """More rows than the graph index scans."""

    recall_rows = 8000

    @pytest.fixture
    def make_index(self) -> IndexFactory:
        return HnswIndex


class MilvusRecallTests(PhotoRecallTests):
    """An index type, built by a server and tuned."""

    kind: ClassVar[str]

    @pytest.fixture
    def make_index(self) -> Iterator[IndexFactory]:
        url, gallery = f"{milvus_url()}?index={self.kind}", new_gallery()

        def make(spec: FeatureSpec, folder: Path) -> VectorIndex:
            return open_index(spec, url, gallery)

        yield make
        drop_index(self.spec, url, gallery)


class TestHnsw(MilvusRecallTests):
    kind = "HNSW"


class TestIvfSq8(MilvusRecallTests):
    kind = "IVF_SQ8"
