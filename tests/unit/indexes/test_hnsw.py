"""The graph index beyond the contract: where it scans, incomplete graph searches, and files on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import distances
from lookalike.errors import BadInput, BadSetting
from lookalike.indexes import snapshot
from lookalike.indexes.flat import FlatIndex
from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.types import FULLY_EXACT, NO_GUARANTEE, Features, FeatureSpec, Rows
from tests.index_contract import ReferenceIndex, id_filter, random_features

SPEC = FeatureSpec("vector", "cosine", 48, "v1")


def open_index(folder: Path | None = None, **settings: Any) -> HnswIndex:
    return HnswIndex(
        SPEC, folder, **{"exact_below": 300, "max_unindexed": 100, "ef_construction": 80, "ef": 60, **settings}
    )


def fill(index: FlatIndex, features: Features, *, first: int = 1, tenants: Any = 1) -> ReferenceIndex:
    rows = Rows(np.arange(first, first + len(features)), features, np.broadcast_to(tenants, len(features)).copy())
    index.upsert(rows)
    reference = ReferenceIndex(SPEC)
    reference.upsert(rows)
    return reference


def vectors(n: int, seed: int = 1) -> Features:
    return random_features(SPEC, np.random.default_rng(seed), n)


def test_exact_within() -> None:
    index = open_index()
    fill(index, vectors(290))
    assert index.search(vectors(2), 3).exact_within == FULLY_EXACT
    fill(index, vectors(6000, 2), first=1000, tenants=np.arange(6000) // 5900)
    assert index.search(vectors(2), 3).exact_within == NO_GUARANTEE
    assert index.search(vectors(2), 3, tenant=1).exact_within == FULLY_EXACT  # 100 rows and the first 290
    assert index.search(vectors(2), 3, filter=id_filter([5, 1007])).exact_within == FULLY_EXACT
    assert index.search(vectors(2), 3, filter=id_filter(range(1000, 6500))).exact_within == NO_GUARANTEE


@pytest.fixture(scope="module")
def filled() -> tuple[HnswIndex, ReferenceIndex]:
    """A graph that is only searched, for building it takes a second."""
    index = open_index()
    return index, fill(index, vectors(8000))


@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_recall_with_any_k(filled: tuple[HnswIndex, ReferenceIndex], k: int) -> None:
    index, reference = filled
    queries = vectors(50, 2)
    assert reference.check(index.search(queries, k), queries, k) >= 0.98


@pytest.mark.parametrize("unlike", [1e-3, 0.3, 0.7])
def test_recall_in_a_tenant_far_from_the_query(unlike: float) -> None:
    """A third of the rows, all far from the query: nothing near the query passes the filter."""
    other = vectors(3000, 2)
    other[:, :24] *= unlike
    index = open_index(exact_below=50)
    reference = fill(
        index, np.concatenate([vectors(6000), distances.normalise(other)]), tenants=np.arange(9000) // 6000
    )
    queries = vectors(30, 3)
    queries[:, 24:] *= unlike
    queries = distances.normalise(queries)
    assert reference.check(index.search(queries, 10, tenant=1), queries, 10, tenant=1) >= 0.98


@pytest.mark.parametrize("nearly", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_recall_with_many_equal_rows(nearly: bool, mixed: bool) -> None:
    features = vectors(6000)
    rng = np.random.default_rng(7)
    popular = features[:1].copy()
    features[:3000] = popular
    if nearly:
        features[:3000] += (3e-4 * rng.normal(size=(3000, SPEC.width))).astype(np.float32)
        features = distances.normalise(features)
    features = features[rng.permutation(6000)] if mixed else features
    index = open_index()
    reference = fill(index, features)
    queries = np.concatenate([popular, features[5000:5030], vectors(30, 2)])
    assert reference.check(index.search(queries, 10), queries, 10) >= 0.98
    if not nearly:
        found = index.search(popular, 10)
        assert found.distances.max() == 0
        assert found.ids.tolist() == [sorted(i for i, row in reference.rows.items() if (row[1] == popular).all())[:10]]


def test_new_rows_are_found_and_deleted_ones_never(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    reference = fill(index, vectors(3000))
    index.flush(1)
    for step in range(12):
        new = Rows(np.arange(step * 250 + 1, step * 250 + 251), vectors(250, 50 + step), np.ones(250, np.int64))
        index.upsert(new)
        reference.upsert(new)
        deleted = np.arange(step * 250 + 1, step * 250 + 51)
        index.delete(deleted)
        reference.delete(deleted)
        assert reference.check(index.search(new.features[::5], 5), new.features[::5], 5) >= 0.98
        assert index.count() == reference.count()


def test_a_graph_on_disk_may_lag_behind_its_rows(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    reference = fill(index, vectors(4000))
    index.flush(1)
    graph = next(tmp_path.glob("snapshot-*/graph.faiss")).stat().st_ino
    reference.rows.update(fill(index, vectors(60, 2), first=6001).rows)
    index.flush(2)
    assert next(tmp_path.glob("snapshot-*/graph.faiss")).stat().st_ino == graph  # not written again
    queries = vectors(30, 3)
    for opened in (index, open_index(tmp_path), open_index(tmp_path, writable=False)):
        assert reference.check(opened.search(queries, 10), queries, 10) >= 0.98
        assert opened.count() == 4060
    reference.rows.update(fill(index, vectors(600, 4), first=7001).rows)
    index.flush(3)
    assert next(tmp_path.glob("snapshot-*/graph.faiss")).stat().st_ino != graph
    opened = open_index(tmp_path, writable=False)
    assert reference.check(opened.search(queries, 10), queries, 10) >= 0.98


def test_a_reader_keeps_its_snapshot_while_the_writer_continues(tmp_path: Path) -> None:
    writer = open_index(tmp_path)
    reference = fill(writer, vectors(3500))
    writer.flush(1)
    reader = open_index(tmp_path, writable=False)
    for step in range(2, 5):
        fill(writer, vectors(1500, step), first=1500 * step)
        writer.delete(np.arange(1, 1500))
        writer.flush(step)
    assert reference.check(reader.search(vectors(20, 9), 10), vectors(20, 9), 10) >= 0.98
    with pytest.raises(BadInput, match="read-only"):
        reader.flush(9)
    reader.delete(np.array([1500]))  # in memory alone, as the catalog says
    fill(reader, vectors(5, 11), first=9001)
    assert reader.count() == 3500 - 1 + 5
    reader.clear()
    assert open_index(tmp_path).count() == writer.count()


def test_flat_snapshots_are_read_and_small_graphs_dropped(tmp_path: Path) -> None:
    flat = FlatIndex(SPEC, tmp_path)
    reference = fill(flat, vectors(4000))
    flat.flush(1)
    index = open_index(tmp_path)
    assert index.search(vectors(2), 3).exact_within == FULLY_EXACT
    index.flush(2)  # builds the graph
    assert index.search(vectors(2), 3).exact_within == NO_GUARANTEE
    deleted = np.arange(1, 3901)
    index.delete(deleted)
    reference.delete(deleted)
    index.flush(3)
    assert not list(tmp_path.glob("snapshot-*/graph.faiss"))
    for opened in (index, open_index(tmp_path)):
        found = opened.search(vectors(9), 10)
        assert found.exact_within == FULLY_EXACT
        assert reference.check(found, vectors(9), 10) == 1


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(BadSetting, match="use mih"):
        HnswIndex(FeatureSpec("code", "hamming", 8, "v1"), None)
    for setting, value in {"m": 1, "ef": 0, "ef_construction": 0, "max_unindexed": 0}.items():
        with pytest.raises(BadSetting):
            open_index(None, **{setting: value})


def test_a_closed_index_is_refused(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    index.close()
    with pytest.raises(BadInput, match="closed"):
        index.search(vectors(1), 1)
    with pytest.raises(BadInput, match="closed"):
        index.count()
    with pytest.raises(BadInput, match="closed"):
        index.flush(1)


def test_a_wiped_folder_takes_other_features(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    fill(index, vectors(400))
    index.flush(1)
    index.close()
    snapshot.wipe(tmp_path)
    assert HnswIndex(FeatureSpec("vector", "cosine", 48, "v2"), tmp_path).count() == 0
