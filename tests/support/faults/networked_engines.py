"""Real servers, each beyond a network of its own that can be cut, and rows to fill them with."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from scripts.milvus import QUICK, CannotStart

from lookalike.indexes.elasticsearch import index as elasticsearch_index
from lookalike.indexes.milvus import index as milvus_index
from lookalike.interfaces import VectorIndex
from lookalike.types import Features, FeatureSpec, Rows
from tests.support import supervisor
from tests.support.engines import elasticsearch, postgresql
from tests.support.engines.milvus import own_server
from tests.support.faults.network_namespace import Network, network
from tests.support.requirements import skip_or_fail

BATCH = 100
Server = TypeVar("Server")


@dataclass(frozen=True)
class Engine:
    """A server of vectors or hashes beyond a network, and the features that it is given."""

    network: Network
    url: str
    spec: FeatureSpec
    opener: Callable[[FeatureSpec, str, str], VectorIndex]

    def opened(self, gallery: str) -> VectorIndex:
        """Its index of a gallery."""
        return self.opener(self.spec, self.url, gallery)

    def batch(self, number: int) -> Rows:
        """Rows of batch n, the ids n * BATCH + 1 and on; no two rows alike."""
        rng, ids = np.random.default_rng(number), np.arange(BATCH) + number * BATCH + 1
        features: Features = rng.integers(0, 256, (BATCH, self.spec.width), dtype=np.uint8)
        if self.spec.metric == "cosine":
            raw = rng.normal(size=(BATCH, self.spec.width))
            features = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
        return Rows(ids, features, np.ones(BATCH, np.int64))

    def found(self, index: VectorIndex, number: int, *, fresh: bool = True) -> set[int]:
        """The ids that are found by the features of batch n, each by its own."""
        found = index.search(self.batch(number).features, 1, max_distance=1e-3, fresh=fresh)
        return {int(id_) for id_ in found.ids.ravel() if id_ > 0}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL beyond a network."""

    network: Network
    url: str


@contextmanager
def elasticsearch_beyond(options: str) -> Iterator[Engine]:
    """Elasticsearch, asked with these options."""
    nodes = elasticsearch.nodes(settings={"http.host": "0.0.0.0"}, heap_mb=384)
    with network() as net, _started_in(net, nodes) as [node]:
        url = f"elasticsearch://{net.address}:{node.port}?replicas=0&{options}"
        yield Engine(net, url, FeatureSpec("phash", "hamming", 8, "cut 1"), elasticsearch_index.open_index)


@contextmanager
def milvus_beyond(options: str) -> Iterator[Engine]:
    """Milvus, asked with these options."""
    try:
        with network() as net, _started_in(net, own_server(settings=QUICK)) as server:
            url = f"milvus://{net.address}:{server.port}?index=FLAT&{options}"
            yield Engine(net, url, FeatureSpec("vector", "cosine", 64, "cut 1"), milvus_index.open_index)
    except CannotStart as problem:
        skip_or_fail(f"no Milvus server: {problem}")


@contextmanager
def postgresql_beyond() -> Iterator[Database]:
    """PostgreSQL, waiting for the disk as a real one does."""
    with network() as net, _started_in(net, _cluster(net.address)) as url:
        yield Database(net, url)


@contextmanager
def _started_in(net: Network, server: AbstractContextManager[Server]) -> Iterator[Server]:
    """A server that is started in a namespace, and used, and ended, from outside."""
    with ExitStack() as ends:
        with net.inside():
            running = ends.enter_context(server)
        yield running


@contextmanager
def _cluster(address: str) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="lookalike-postgresql-", dir=supervisor.run_folder()))
    folder.chmod(0o755)  # the server is not run by root
    try:
        yield postgresql.script("start", str(folder), "--listen", address)
    except RuntimeError as problem:
        skip_or_fail(f"no PostgreSQL: {problem}")
    finally:
        postgresql.script("stop", str(folder), check=False)
        shutil.rmtree(folder, ignore_errors=True)
