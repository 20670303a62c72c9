"""The index contract on Milvus: a real server, and Milvus Lite in a file."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from lookalike.indexes.milvus.index import drop_index, open_index
from lookalike.interfaces import VectorIndex
from lookalike.types import FeatureSpec
from tests.index_contract import IndexContract, IndexFactory
from tests.support.engines.milvus import milvus_url, new_gallery

SPEC = FeatureSpec("vector", "cosine", 48, "v1")
PREPARED = 4


class Galleries:
    """Galleries created in advance, in threads: a server takes 2 s to load a new collection, mostly waiting."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._workers = ThreadPoolExecutor(PREPARED)
        self._made: deque[Future[str]] = deque()

    def take(self) -> str:
        """The name of an empty gallery."""
        while len(self._made) < PREPARED:
            self._made.append(self._workers.submit(self._make))
        return self._made.popleft().result()

    def give_back(self, gallery: str) -> None:
        self._workers.submit(drop_index, SPEC, self.url, gallery)

    def close(self) -> None:
        for made in self._made:
            self.give_back(made.result())
        self._workers.shutdown()

    def _make(self) -> str:
        gallery = new_gallery()
        open_index(SPEC, self.url, gallery).close()
        return gallery


@pytest.fixture(scope="module")
def on_server() -> Iterator[Galleries]:
    """Exact by scanning; strongly consistent, because the contract searches right after its writes."""
    galleries = Galleries(f"{milvus_url()}?index=FLAT&consistency=strong&rows=1000")
    yield galleries
    galleries.close()


@pytest.fixture(scope="module")
def in_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Galleries]:
    """One file for all tests, because the process keeps it open until it exits."""
    galleries = Galleries(f"milvus-lite://{tmp_path_factory.mktemp('lite') / 'gallery.db'}")
    yield galleries
    galleries.close()


def maker(galleries: Galleries) -> Iterator[IndexFactory]:
    """Opens one gallery per folder of a test."""
    names: dict[Path, str] = {}

    def make(spec: FeatureSpec, folder: Path) -> VectorIndex:
        if folder not in names:
            names[folder] = galleries.take() if spec.width == SPEC.width else new_gallery()
        return open_index(spec, galleries.url, names[folder])

    yield make
    for gallery in names.values():
        galleries.give_back(gallery)


class TestServer(IndexContract):
    """A Milvus server."""

    spec = SPEC
    exact = True
    snapshots = False
    histories = 2
    size = 2000

    @pytest.fixture
    def make_index(self, on_server: Galleries) -> Iterator[IndexFactory]:
        yield from maker(on_server)


class TestLite(IndexContract):
    """Milvus Lite, which is slow: fewer rows."""

    spec = SPEC
    exact = True
    snapshots = False
    histories = 1
    size = 1000
    recall_rows = 1000

    @pytest.fixture
    def make_index(self, in_file: Galleries) -> Iterator[IndexFactory]:
        yield from maker(in_file)
