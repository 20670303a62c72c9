"""The Milvus index beyond the contract: index types, tuning, partitions, alias swaps, addresses."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from benchmarks import cached_features

from lookalike.distances import nearest, normalise
from lookalike.errors import BadSetting, FeatureMismatch, Unavailable, UnsupportedQuery
from lookalike.indexes.milvus import writer
from lookalike.indexes.milvus.client import probe
from lookalike.indexes.milvus.config import Settings, suggest
from lookalike.indexes.milvus.index import MilvusIndex, drop_index, open_index
from lookalike.indexes.milvus.search import MAX_MATCHES
from lookalike.types import NO_GUARANTEE, Condition, Features, FeatureSpec, ResolvedFilter, Rows
from tests.support.engines.milvus import milvus_url, new_gallery
from tests.support.engines.milvus_rows import SPEC, rows

VGG16 = FeatureSpec("vgg16", "cosine", 512, "test")
EVERY, NEIGHBOURS = 60, 120
"""Every 60th photo, as in tests/index_contract/test_photo_neighbours.py, and the rows derived from each."""
QUERIES = 50


@pytest.fixture
def gallery() -> Iterator[str]:
    name = new_gallery()
    yield name
    drop_index(SPEC, milvus_url(), name)


def open_strong(gallery: str, **options: str) -> MilvusIndex:
    words = {"index": "FLAT", "consistency": "strong"} | options
    return open_index(SPEC, f"{milvus_url()}?{'&'.join(f'{k}={v}' for k, v in words.items())}", gallery)


@pytest.fixture(scope="module")
def features(photos: Path, cache: Path) -> Features:
    """Features of real photos and rows derived from each, as near as edited copies and farther."""
    real = cached_features.features(EVERY)
    rng = np.random.default_rng(0)
    size = rng.uniform(0.1, 1.2, (NEIGHBOURS, len(real), 1)) / np.sqrt(real.shape[1])
    near = np.maximum(real + size * rng.normal(size=(NEIGHBOURS, *real.shape)), 0)
    return normalise(np.concatenate([real, near.reshape(-1, real.shape[1])]))


@pytest.mark.parametrize("kind", ["HNSW", "IVF_FLAT", "IVF_SQ8"])
def test_every_index_type_reaches_its_recall(kind: str, features: Features) -> None:
    """Filled by a rebuild: sealed, indexed, loaded and tuned before the swap."""
    gallery, url = new_gallery(), f"{milvus_url()}?index={kind}&recall=0.98"
    ids, tenants = np.arange(len(features)) + 1, np.arange(len(features)) % 3
    index = open_index(VGG16, url, gallery)
    with index.rebuilding() as filling:
        filling.upsert(Rows(ids, features, tenants))
        filling.flush(5)
    assert (index.sequence, index.count(), index.collection.index_type) == (5, len(features), kind)
    assert index.collection.effort > 0
    queries = features[:QUERIES]
    found, truth = index.search(queries, 10, fresh=True), nearest("cosine", queries, features, ids, 10)
    assert found.exact_within == NO_GUARANTEE
    assert (found.distances <= truth.distances[:, -1:] + 1e-5).mean() >= 0.98
    pairs = features[found.ids - 1]
    np.testing.assert_allclose(found.distances, 1 - np.einsum("ijk,ik->ij", pairs, queries), atol=1e-5)
    mine = index.search(queries, 10, tenant=1)
    assert (tenants[mine.ids - 1] == 1).all()
    nearest_mine = nearest("cosine", queries, features, ids, 10, keep=np.flatnonzero(tenants == 1))
    assert (mine.distances <= nearest_mine.distances[:, -1:] + 1e-5).mean() >= 0.98
    again = index.tune(0.9)
    assert again is not None
    assert (again.reached, again.reference, again.rows) == (True, "exact", len(features))
    assert again.value <= index.collection.effort
    assert open_index(VGG16, url, gallery).collection.effort == again.value  # kept on the server
    index.close()
    drop_index(VGG16, url, gallery)


def test_searches_continue_during_a_rebuild(gallery: str) -> None:
    index, other = open_strong(gallery), open_strong(gallery)
    index.upsert(rows(range(1, 51)))
    index.flush(1)
    query, stop, problems = rows([7]).features, threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not stop.is_set():
                assert other.search(query, 1).ids.tolist() == [[7]]
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    with index.rebuilding() as filling:
        filling.upsert(rows(range(1, 21)))
        assert (index.count(), other.count(), filling.count()) == (50, 50, 20)
        filling.flush(2)
        assert other.sequence == 1
    assert (index.sequence, index.count(), other.sequence, other.count()) == (2, 20, 2, 20)
    with suppress(KeyError), index.rebuilding() as filling:
        filling.upsert(rows([1]))
        raise KeyError
    stop.set()
    reader.join()
    assert problems == []
    assert (index.sequence, index.count()) == (2, 20)
    left = index._manager.create(0)  # as a crash leaves it
    index.clear()
    assert left.name not in index._server.collections()
    assert len([name for name in index._server.collections() if gallery in name]) == 1
    index.close()
    other.close()


def test_one_partition_per_tenant(gallery: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index, other = open_strong(gallery, tenants="partitions"), open_strong(gallery, tenants="partitions")
    index.upsert(rows(range(1, 31), np.arange(30) % 3))
    assert [index.count(tenant) for tenant in (0, 1, 2, 3, None)] == [10, 10, 10, 0, 30]
    index.upsert(rows(range(1, 11), 7))  # they move, and leave nothing behind
    assert [index.count(tenant) for tenant in (0, 1, 2, 7, None)] == [6, 7, 7, 10, 30]
    for tenant in (0, 1, 2, 7, None):
        found = other.search(rows([4]).features, 40, tenant=tenant).ids
        assert (found > 0).sum() == other.count(tenant)
        assert (4 in found) == (tenant in (7, None))
    index.update_attributes(np.array([4, 12, 99]), np.array([7, 2, 7]), [{"album": "new"}] * 3)  # 12 is tenant 2's
    new = ResolvedFilter((Condition("album", "eq", "new"),), list)  # type: ignore[arg-type]
    assert [set(other.search(rows([4]).features, 9, tenant=t, filter=new).ids[0]) for t in (7, 2, 0)] == [
        {4, -1},
        {12, -1},
        {-1},
    ]
    assert [index.count(tenant) for tenant in (0, 1, 2, 7, None)] == [6, 7, 7, 10, 30]
    assert other.search(rows([4]).features, 5, tenant=99).ids.max() == -1
    index.delete(np.array([4, 5]))
    index.flush(3)
    assert (index.count(7), index.count(), index.sequence) == (8, 28, 3)
    monkeypatch.setattr(writer, "MAX_PARTITIONS", 4)
    with pytest.raises(BadSetting, match="tenants=key"):
        index.upsert(rows([90], 12))
    index.close()
    other.close()


def test_fresh_searches_see_what_another_process_flushed(gallery: str) -> None:
    """With bounded consistency, a fresh search sees what another process has just flushed."""
    index, other = (open_index(SPEC, f"{milvus_url()}?index=FLAT", gallery) for _ in range(2))
    for sequence in range(1, 6):
        index.upsert(rows([sequence]))
        index.flush(sequence)
        assert other.sequence == sequence
        assert other.search(rows([sequence]).features, 1, fresh=True).ids.tolist() == [[sequence]]
    assert probe(milvus_url())["version"].startswith("v2")
    with pytest.raises(UnsupportedQuery, match=str(MAX_MATCHES)):
        index.search(rows([1]).features, MAX_MATCHES + 1)
    assert (index.search(rows([1]).features, MAX_MATCHES, fresh=True).ids > 0).sum() == 5
    with pytest.raises(FeatureMismatch, match="another"):
        open_index(FeatureSpec("vector", "cosine", 64, "another"), milvus_url(), gallery)
    index.close()
    other.close()


def test_milvus_lite_is_durable_and_opened_by_one_process(tmp_path: Path) -> None:
    """What was flushed survives a kill; while it is open, another process gets an error."""
    url = f"milvus-lite://{tmp_path / 'gallery.db'}"
    words = (
        "import os, signal\nfrom lookalike.indexes.milvus.index import open_index\n"
        "from tests.support.engines.milvus_rows import SPEC, rows\n"
        f"index = open_index(SPEC, {url!r}, 'g')\n"
        "index.upsert(rows(range(1, 101)))\nindex.delete(rows([5]).ids)\nindex.flush(9)\n"
    )
    run_python(words + "os.kill(os.getpid(), signal.SIGKILL)")
    index = open_index(SPEC, url, "g")
    assert (index.sequence, index.count()) == (9, 99)
    assert index.search(rows([6]).features, 1).ids.tolist() == [[6]]
    assert "one process at a time" in run_python(words)
    index.close()


def run_python(words: str) -> str:
    """Run a program in a new process; returns its stderr."""
    return subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=120).stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("milvus://", "no host"),
        ("milvus://h?index=IVF_PQ", "one of auto"),
        ("milvus://h?index=hnsw", "one of auto"),
        ("milvus://h?indx=HNSW", "no option"),
        ("milvus://h?recall=2", "recall"),
        ("milvus://h?buckets=9&tenants=partitions", "buckets"),
        ("milvus://u:secret@h?token=x", "or a token"),
        ("milvus-lite:///tmp/x.db?index=DISKANN", "Milvus Lite scans"),
        ("milvus-lite:///tmp/x.db?tenants=partitions", "tenants=key"),
        ("milvus-lite:///tmp/x.db?replicas=2", "replicas"),
        ("milvus-lite:///tmp/x", "name.db"),
        ("milvus-lite:///no/such/folder/x.db", "no folder"),
        ("elasticsearch://h", "no Milvus"),
    ],
)
def test_invalid_addresses_are_refused(url: str, words: str) -> None:
    with pytest.raises(BadSetting, match=words) as caught:
        Settings.read(url)
    assert "secret" not in str(caught.value)


def test_credentials_leave_the_machine_under_tls_only() -> None:
    def uri(url: str) -> str:
        return Settings.read(url).connection.uri

    assert uri("milvus://user:secret@far.example") == "https://far.example:19530"
    assert uri("milvus://far.example?token=secret") == "https://far.example:19530"
    assert uri("milvus://user:secret@127.0.0.1:7") == "http://127.0.0.1:7"
    assert uri("milvus://far.example") == "http://far.example:19530"
    assert uri("milvus://user:secret@far.example?tls=false") == "http://far.example:19530"


def test_hashes_are_refused() -> None:
    with pytest.raises(BadSetting, match="elasticsearch"):
        open_index(FeatureSpec("phash", "hamming", 8, "v1"), "milvus://h", "g")


def test_index_type_by_size_and_memory() -> None:
    gigabytes = 16 << 30
    assert [suggest(rows, 512, gigabytes) for rows in (1000, 10**6, 10**7, 10**9)] == [
        "FLAT",
        "HNSW",
        "IVF_SQ8",
        "DISKANN",
    ]
    assert suggest(10**9, 512, gigabytes, lite=True) == "IVF_SQ8"
    assert Settings.read("milvus://h?index=IVF_FLAT").index_type(VGG16, 10) == "IVF_FLAT"


def test_old_servers_get_one_bucket(gallery: str) -> None:
    """2.3.5 puts replaced rows into the bucket of their id instead of their tenant's."""
    if not probe(milvus_url())["version"].startswith("v2.3.5"):
        pytest.skip("a newer server")
    with pytest.raises(BadSetting, match=r"2\.3\.10"):
        open_index(SPEC, f"{milvus_url()}?buckets=16", gallery)
    with pytest.raises(Unavailable):
        open_index(SPEC, "milvus://127.0.0.1:1?timeout=1", gallery)
