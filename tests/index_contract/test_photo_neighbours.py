"""Approximate indexes find what is near among neighbours of real photos: the contract's recall, on VGG16's features.

At any size: LOOKALIKE_CONTRACT_ROWS=200000 pytest tests/index_contract/test_photo_neighbours.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from benchmarks import originals as kept

from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.indexes.milvus.index import drop_index, open_index
from lookalike.interfaces import VectorIndex
from lookalike.types import Features, FeatureSpec
from tests.index_contract import Finding, MakeIndex
from tests.support.engines.milvus import milvus_url, new_gallery

EVERY = 15
"""Of the photos: 114 of 1,710, encoded in some 10 s, once a machine."""


class OfPhotos(Finding):
    """Rows made of real features."""

    spec = FeatureSpec("vector", "cosine", 512, "v1")
    exact = False

    @pytest.fixture
    def originals(self, photos: Path, cache: Path) -> Features:
        return kept.features(EVERY)


class TestEmbedded(OfPhotos):
    """More rows than the graph's index scans."""

    neighbours = 8000

    @pytest.fixture
    def make_index(self) -> MakeIndex:
        return HnswIndex


class OnMilvus(OfPhotos):
    """An index type, built by a server and tuned by us."""

    kind: ClassVar[str]

    @pytest.fixture
    def make_index(self) -> Iterator[MakeIndex]:
        url, gallery = f"{milvus_url()}?index={self.kind}", new_gallery()

        def make(spec: FeatureSpec, folder: Path) -> VectorIndex:
            return open_index(spec, url, gallery)

        yield make
        drop_index(self.spec, url, gallery)


class TestHnsw(OnMilvus):
    kind = "HNSW"


class TestIvfSq8(OnMilvus):
    kind = "IVF_SQ8"
