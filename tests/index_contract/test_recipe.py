"""The recipe "How to add an index engine" of docs/recipes.md, followed for a brute-force engine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lookalike import distances, factory
from lookalike.config import GallerySettings, from_environment
from lookalike.indexes import snapshot
from lookalike.indexes.base import EmbeddedIndex
from lookalike.types import Features, FeatureSpec, Ids, Matches
from tests.index_contract import IndexContract, IndexFactory
from tests.support.drawn_images import drawn, encoded


@dataclass(frozen=True)
class State:
    """Immutable rows: the writer replaces the whole state, so that readers need no lock."""

    ids: Ids
    features: Features
    tenants: Ids

    def keep(self, mask: np.ndarray) -> "State":
        return State(self.ids[mask], self.features[mask], self.tenants[mask])


class BruteForceIndex(EmbeddedIndex):
    """Compares each query with every row; `step` queries at a time."""

    def __init__(self, spec: FeatureSpec, folder: Path | None, *, writable: bool = True, step: int = 16) -> None:
        super().__init__(spec, folder, writable=writable)
        self._step = step
        self._state = self._empty()
        if folder is not None and (loaded := snapshot.load(folder, spec)) is not None:
            self._state, self._sequence = State(**loaded.arrays), loaded.sequence

    def count(self, tenant: int | None = None) -> int:
        self._check_open()
        tenants = self._state.tenants
        return len(tenants) if tenant is None else int((tenants == tenant).sum())

    def _put(self, ids: Ids, features: Features, tenants: Ids) -> None:
        old = self._state.keep(~np.isin(self._state.ids, ids))
        pairs = [(old.ids, ids), (old.features, features), (old.tenants, tenants)]
        self._state = State(*(np.concatenate(pair) for pair in pairs))

    def _remove(self, ids: Ids) -> None:
        self._state = self._state.keep(~np.isin(self._state.ids, ids))

    def _search(
        self, queries: Features, k: int, tenant: int | None, ids: Ids | None, max_distance: float | None
    ) -> Matches:
        state = self._state
        if tenant is not None:
            state = state.keep(state.tenants == tenant)
        if ids is not None:
            state = state.keep(np.isin(state.ids, ids))
        parts = []
        for start in range(0, len(queries), self._step):
            matrix = distances.pairwise(self.spec.metric, queries[start : start + self._step], state.features)
            query, row = np.nonzero(matrix <= (np.inf if max_distance is None else np.float32(max_distance)))
            parts.append(distances.top_k(query, state.ids[row], matrix[query, row], len(matrix), k))
        found = np.concatenate([np.empty((0, k), np.int64), *(part[0] for part in parts)])
        return Matches(found, np.concatenate([np.empty((0, k), np.float32), *(part[1] for part in parts)]), np.inf)

    def _save(self, sequence: int) -> None:
        if self._folder is not None:
            snapshot.save(self._folder, self.spec, sequence, vars(self._state))

    def _reset(self) -> None:
        self._state = self._empty()

    def _empty(self) -> State:
        features = np.empty((0, self.spec.width), self.spec.dtype)
        return State(np.empty(0, np.int64), features, np.empty(0, np.int64))


class TestVectors(IndexContract):
    spec = FeatureSpec("vector", "cosine", 16, "v1")
    exact = True
    size = 1000
    recall_rows = 500

    @pytest.fixture
    def make_index(self) -> IndexFactory:
        return BruteForceIndex


class TestCodes(TestVectors):
    spec = FeatureSpec("code", "hamming", 8, "v1")


def test_a_gallery_uses_a_registered_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = factory.EmbeddedEngine(f"{__name__}:BruteForceIndex", {"step": "step"})
    monkeypatch.setitem(factory.INDEXES, "brute-force", engine)
    settings = GallerySettings(("phash",), index={"phash": "brute-force?step=4"})
    factory.create_gallery(tmp_path / "gallery", settings, from_environment())
    images = {f"image {n}": drawn(n) for n in range(6)}
    with factory.open_gallery(tmp_path / "gallery") as gallery:
        for key, image in images.items():
            gallery.put(key, encoded(image))
    with factory.open_gallery(tmp_path / "gallery") as gallery:
        assert gallery.status().pipelines[0].engine == "brute-force"
        for key, image in images.items():
            copy = encoded(image.resize((80, 60)), "JPEG", quality=50)
            hits = gallery.search(copy).hits
            assert (hits[0].key, hits[0].evidence) == (key, "copy")
