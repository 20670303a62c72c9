"""What the graph index does beyond the contract: where it scans, how it fails over, what it keeps on disk."""

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
from tests.index_contract import Model, chosen, draw

SPEC = FeatureSpec("vector", "cosine", 48, "v1")


def open_index(folder: Path | None = None, **settings: Any) -> HnswIndex:
    return HnswIndex(SPEC, folder, **{"exact_below": 300, "loose": 100, "ef_construction": 80, "ef": 60, **settings})


def fill(index: FlatIndex, features: Features, *, first: int = 1, tenants: Any = 1) -> Model:
    rows = Rows(np.arange(first, first + len(features)), features, np.broadcast_to(tenants, len(features)).copy())
    index.upsert(rows)
    model = Model(SPEC)
    model.upsert(rows)
    return model


def some(n: int, seed: int = 1) -> Features:
    return draw(SPEC, np.random.default_rng(seed), n)


def test_it_says_when_it_promises_nothing() -> None:
    index = open_index()
    fill(index, some(290))
    assert index.search(some(2), 3).exact_within == FULLY_EXACT
    fill(index, some(6000, 2), first=1000, tenants=np.arange(6000) // 5900)
    assert index.search(some(2), 3).exact_within == NO_GUARANTEE
    assert index.search(some(2), 3, tenant=1).exact_within == FULLY_EXACT  # 100 rows and the first 290
    assert index.search(some(2), 3, filter=chosen([5, 1007])).exact_within == FULLY_EXACT
    assert index.search(some(2), 3, filter=chosen(range(1000, 6500))).exact_within == NO_GUARANTEE


@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_recall_with_any_k(k: int) -> None:
    index = open_index()
    model = fill(index, some(8000))
    queries = some(50, 2)
    assert model.check(index.search(queries, k), queries, k) >= 0.98


@pytest.mark.parametrize("unlike", [1e-3, 0.3, 0.7])
def test_a_tenant_unlike_the_query_is_found_all_the_same(unlike: float) -> None:
    """A third of the rows, all far from the query: nothing near the query passes the filter."""
    other = some(3000, 2)
    other[:, :24] *= unlike
    index = open_index(exact_below=50)
    model = fill(index, np.concatenate([some(6000), distances.normalise(other)]), tenants=np.arange(9000) // 6000)
    queries = some(30, 3)
    queries[:, 24:] *= unlike
    queries = distances.normalise(queries)
    assert model.check(index.search(queries, 10, tenant=1), queries, 10, tenant=1) >= 0.98


@pytest.mark.parametrize("nearly", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_many_equal_rows_do_not_hide_the_others(nearly: bool, mixed: bool) -> None:
    features = some(6000)
    rng = np.random.default_rng(7)
    popular = features[:1].copy()
    features[:3000] = popular
    if nearly:
        features[:3000] += (3e-4 * rng.normal(size=(3000, SPEC.width))).astype(np.float32)
        features = distances.normalise(features)
    features = features[rng.permutation(6000)] if mixed else features
    index = open_index()
    model = fill(index, features)
    queries = np.concatenate([popular, features[5000:5030], some(30, 2)])
    assert model.check(index.search(queries, 10), queries, 10) >= 0.98
    if not nearly:
        found = index.search(popular, 10)
        assert found.distances.max() == 0
        assert found.ids.tolist() == [sorted(i for i, row in model.rows.items() if (row[1] == popular).all())[:10]]


def test_new_rows_are_found_at_once_and_dead_ones_never(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    model = fill(index, some(3000))
    index.flush(1)
    for step in range(12):
        new = Rows(np.arange(step * 250 + 1, step * 250 + 251), some(250, 50 + step), np.ones(250, np.int64))
        index.upsert(new)
        model.upsert(new)
        dead = np.arange(step * 250 + 1, step * 250 + 51)
        index.delete(dead)
        model.delete(dead)
        assert model.check(index.search(new.features[::5], 5), new.features[::5], 5) >= 0.98
        assert index.count() == model.count()


def test_a_graph_on_disk_may_lag_behind_its_rows(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    model = fill(index, some(4000))
    index.flush(1)
    graph = next(tmp_path.glob("snapshot-*/graph.faiss")).stat().st_ino
    model.rows.update(fill(index, some(60, 2), first=6001).rows)
    index.flush(2)
    assert next(tmp_path.glob("snapshot-*/graph.faiss")).stat().st_ino == graph  # not written again
    queries = some(30, 3)
    for opened in (index, open_index(tmp_path), open_index(tmp_path, writable=False)):
        assert model.check(opened.search(queries, 10), queries, 10) >= 0.98
        assert opened.count() == 4060
    model.rows.update(fill(index, some(600, 4), first=7001).rows)
    index.flush(3)
    assert next(tmp_path.glob("snapshot-*/graph.faiss")).stat().st_ino != graph
    opened = open_index(tmp_path, writable=False)
    assert model.check(opened.search(queries, 10), queries, 10) >= 0.98


def test_a_reader_keeps_its_snapshot_while_the_writer_goes_on(tmp_path: Path) -> None:
    writer = open_index(tmp_path)
    model = fill(writer, some(3500))
    writer.flush(1)
    reader = open_index(tmp_path, writable=False)
    for step in range(2, 5):
        fill(writer, some(1500, step), first=1500 * step)
        writer.delete(np.arange(1, 1500))
        writer.flush(step)
    assert model.check(reader.search(some(20, 9), 10), some(20, 9), 10) >= 0.98
    with pytest.raises(BadInput, match="reading only"):
        reader.flush(9)
    reader.delete(np.array([1500]))  # in memory alone, as the catalog says
    fill(reader, some(5, 11), first=9001)
    assert reader.count() == 3500 - 1 + 5
    reader.clear()
    assert open_index(tmp_path).count() == writer.count()


def test_it_reads_a_flat_snapshot_and_shrinks_back(tmp_path: Path) -> None:
    flat = FlatIndex(SPEC, tmp_path)
    model = fill(flat, some(4000))
    flat.flush(1)
    index = open_index(tmp_path)
    assert index.search(some(2), 3).exact_within == FULLY_EXACT
    index.flush(2)  # builds the graph
    assert index.search(some(2), 3).exact_within == NO_GUARANTEE
    gone = np.arange(1, 3901)
    index.delete(gone)
    model.delete(gone)
    index.flush(3)
    assert not list(tmp_path.glob("snapshot-*/graph.faiss"))
    for opened in (index, open_index(tmp_path)):
        found = opened.search(some(9), 10)
        assert found.exact_within == FULLY_EXACT
        assert model.check(found, some(9), 10) == 1


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(BadSetting, match="use mih"):
        HnswIndex(FeatureSpec("code", "hamming", 8, "v1"), None)
    for setting, value in {"m": 1, "ef": 0, "ef_construction": 0, "loose": 0}.items():
        with pytest.raises(BadSetting):
            open_index(None, **{setting: value})


def test_a_closed_index_says_so(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    index.close()
    with pytest.raises(BadInput, match="closed"):
        index.search(some(1), 1)
    with pytest.raises(BadInput, match="closed"):
        index.count()
    with pytest.raises(BadInput, match="closed"):
        index.flush(1)


def test_wiping_makes_way_for_other_features(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    fill(index, some(400))
    index.flush(1)
    index.close()
    snapshot.wipe(tmp_path)
    assert HnswIndex(FeatureSpec("vector", "cosine", 48, "v2"), tmp_path).count() == 0
