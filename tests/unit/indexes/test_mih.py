"""Multi-index hashing equals a scan of all rows, for any rows, queries, deletions and distributions of codes."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.distances import nearest
from lookalike.errors import BadInput
from lookalike.indexes.flat import FlatIndex
from lookalike.indexes.mih import index as mih_index
from lookalike.indexes.mih import state
from lookalike.indexes.mih.bucket_tables import MAX_RADIUS
from lookalike.indexes.mih.index import MihIndex
from lookalike.indexes.mih.runs import Run
from lookalike.types import FULLY_EXACT, FeatureSpec, Ids, Matches, ResolvedFilter, Rows

SPEC = FeatureSpec("phash", "hamming", 8, "test 1")
Bits = NDArray[np.uint8]


def random_codes(rng: np.random.Generator, count: int) -> Bits:
    return rng.integers(0, 256, (count, 8), dtype=np.uint8)


def near(rng: np.random.Generator, codes: Bits, flips: int) -> Bits:
    """The codes with up to `flips` bits flipped."""
    order = rng.random((len(codes), 64)).argsort(axis=1)
    return codes ^ np.packbits(order < rng.integers(0, flips + 1, (len(codes), 1)), axis=1)


def crowded(rng: np.random.Generator, count: int) -> Bits:
    """Codes like those of real images and worse: dense clusters, equal codes, a segment that is equal in most."""
    centres = random_codes(rng, 5)
    codes = near(rng, centres[rng.integers(0, 5, count)], 12)
    codes[: count // 3, 2:4] = 7
    codes[count // 3 : count // 2] = centres[0]
    return codes


def planned_to_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make scanning so expensive in the cost model that every search probes if it can."""
    monkeypatch.setattr("lookalike.indexes.mih.runs.SCAN_COST", 1e9)
    monkeypatch.setattr("lookalike.indexes.mih.runs.LISTED_ROW_COST", 1e9)
    monkeypatch.setattr("lookalike.indexes.mih.runs.ID_LOOKUP_COST", 1e9)


def same(found: Matches, expected: Matches) -> None:
    np.testing.assert_array_equal(found.distances, expected.distances)
    np.testing.assert_array_equal(found.ids, expected.ids)


def filled(codes: Bits, tenants: Ids | None = None, **how: int) -> MihIndex:
    index = MihIndex(SPEC, None, **how)
    index.upsert(
        Rows(np.arange(1, len(codes) + 1), codes, np.ones(len(codes), np.int64) if tenants is None else tenants)
    )
    return index


CODES = 40_000
"""More than the write buffer holds, so that there is a run."""


@pytest.fixture(scope="module", params=["random", "crowded"])
def codes(request: pytest.FixtureRequest) -> Bits:
    rng = np.random.default_rng(11)
    return random_codes(rng, CODES) if request.param == "random" else crowded(rng, CODES)


@pytest.fixture(scope="module")
def index(codes: Bits) -> MihIndex:
    """The codes of one tenant; no test changes it."""
    return filled(codes)


@pytest.fixture(scope="module")
def shared_by_tenants(codes: Bits) -> tuple[Ids, MihIndex]:
    """The owner of each code, in a large, a small and a tiny tenant, and their index; no test changes it."""
    tenants = np.random.default_rng(13).choice([1, 2, 3], CODES, p=[0.9, 0.0995, 0.0005])
    return tenants, filled(codes, tenants)


@pytest.fixture(params=["as priced", "always probing", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "as priced":
        planned_to_probe(monkeypatch)
    if request.param == "step by step":
        monkeypatch.setattr(mih_index, "_CROWDED_COST", 0.0)
    monkeypatch.setattr(mih_index, "_ALWAYS_SCAN_COST", -1.0)
    return str(request.param)


@pytest.mark.parametrize("max_distance", [0, 3, 4, 8, 9.5, 15, 19, 20, None])
def test_every_radius_equals_a_scan(
    codes: Bits, index: MihIndex, way: str, max_distance: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(12)
    queries = np.concatenate([near(rng, codes[::4000], 9), random_codes(rng, 3)])
    ids = np.arange(1, len(codes) + 1)
    if way != "as priced" and max_distance is not None and max_distance <= MAX_RADIUS:
        monkeypatch.setattr(Run, "scan", lambda *_: pytest.fail("it scans"))
    for k in (1, 10, 300):
        expected = nearest("hamming", queries, codes, ids, k, max_distance=max_distance)
        found = index.search(queries, k, max_distance=max_distance)
        same(found, expected)
        assert found.exact_within == FULLY_EXACT


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from([random_codes, crowded]),
    k=st.sampled_from([1, 2, 10, 100, 5000]),
    max_distance=st.one_of(st.none(), st.integers(-1, 65), st.floats(0, 64)),
    tenant=st.one_of(st.none(), st.integers(0, 6)),
    share=st.one_of(st.none(), st.sampled_from([0.0, 0.001, 0.05, 0.5, 1.0])),
    probing=st.booleans(),
    capacity=st.sampled_from([8, 300, 1 << 15]),
)
@settings(max_examples=150, deadline=None)
def test_it_equals_flat_after_any_operations(
    seed: int,
    kind: object,
    k: int,
    max_distance: float | None,
    tenant: int | None,
    share: float | None,
    probing: bool,
    capacity: int,
) -> None:
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "BUFFER_ROWS", capacity)
        if probing:
            planned_to_probe(patch)
            patch.setattr(mih_index, "_ALWAYS_SCAN_COST", -1.0)
            patch.setattr(mih_index, "_CROWDED_COST", float(rng.choice([0, 1e5])))
        flat, index = FlatIndex(SPEC, None), MihIndex(SPEC, None)
        pool = kind(rng, 3000)  # type: ignore[operator]
        for _ in range(int(rng.integers(1, 6))):
            ids = rng.choice(2500, int(rng.integers(1, 900)), replace=False) + 1
            rows = Rows(ids, pool[rng.integers(0, len(pool), len(ids))], rng.integers(1, rng.integers(2, 6), len(ids)))
            deleted = rng.choice(2600, int(rng.integers(0, 300)), replace=False)
            for each in (flat, index):
                each.upsert(rows)
                each.delete(deleted)
        filter = None
        if share is not None:
            allowed = np.sort(rng.choice(2600, int(share * 2600), replace=False))
            filter = ResolvedFilter((), lambda: allowed)
        queries = np.concatenate([near(rng, pool[:4], 8), random_codes(rng, 1)])
        how = {"tenant": tenant, "filter": filter, "max_distance": max_distance}
        same(index.search(queries, k, **how), flat.search(queries, k, **how))
        assert index.count(tenant) == flat.count(tenant)


@pytest.mark.parametrize("tenant", [1, 2, 3, 9])
@pytest.mark.parametrize("max_distance", [5, None])
def test_large_and_small_tenants_and_filters(
    codes: Bits, shared_by_tenants: tuple[Ids, MihIndex], way: str, tenant: int, max_distance: float | None
) -> None:
    rng = np.random.default_rng(13)
    tenants, index = shared_by_tenants
    ids = np.arange(1, len(codes) + 1)
    queries = near(rng, codes[::6000], 4)
    same(
        index.search(queries, 20, tenant=tenant, max_distance=max_distance),
        nearest("hamming", queries, codes, ids, 20, keep=np.flatnonzero(tenants == tenant), max_distance=max_distance),
    )
    for count in (0, 3, 500, 5 * CODES // 6):
        allowed = np.sort(rng.choice(ids, count, replace=False))
        keep = np.flatnonzero((tenants == tenant) & np.isin(ids, allowed))
        same(
            index.search(
                queries, 20, tenant=tenant, filter=ResolvedFilter((), lambda a=allowed: a), max_distance=max_distance
            ),
            nearest("hamming", queries, codes, ids, 20, keep=keep, max_distance=max_distance),
        )


def published_rule(queries: Bits, codes: Bits, equal_bytes: int, k: int) -> list[list[tuple[int, int]]]:
    answers = []
    for query in queries:
        equal = (codes == query).sum(axis=1)
        distance = np.unpackbits(codes ^ query, axis=1).sum(axis=1)
        answers.append(sorted((int(distance[i]), int(i) + 1) for i in np.flatnonzero(equal >= equal_bytes))[:k])
    return answers


@pytest.mark.parametrize("equal_bytes", [1, 3, 4, 5, 6, 7, 8])
def test_the_published_rule(codes: Bits, way: str, equal_bytes: int) -> None:
    rng = np.random.default_rng(14)
    queries = codes[::8000].copy()
    for query in queries:
        query[rng.choice(8, 3, replace=False)] ^= rng.integers(0, 256, 3, dtype=np.uint8)
    index = filled(codes, equal_bytes=equal_bytes)
    by_rule = published_rule(queries, codes, equal_bytes, 200)
    for k in (5, 200):
        found = index.search(queries, k)
        assert found.exact_within == 8 - equal_bytes
        for ids, distances, expected in zip(found.ids, found.distances, by_rule, strict=True):
            real = ids >= 0
            assert list(zip(distances[real].astype(int).tolist(), ids[real].tolist(), strict=True)) == expected[:k]


def test_the_published_rule_keeps_its_guarantee() -> None:
    rng = np.random.default_rng(15)
    codes = random_codes(rng, 50_000)
    queries = near(rng, codes[:300], 3)
    found = filled(codes, equal_bytes=5).search(queries, 1, max_distance=3)
    assert np.array_equal(found.ids[:, 0], np.arange(1, 301))


def test_reopening_and_linking_of_unchanged_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(16)
    codes = random_codes(rng, 50_000)
    ids = np.arange(1, 50_001)
    index = MihIndex(SPEC, tmp_path)
    index.upsert(Rows(ids, codes, ids % 3))
    index.flush(1)
    first = {path.stat().st_ino for path in tmp_path.glob("*/run0-table-codes.npy")}
    index.delete(np.arange(1, 100))
    index.upsert(Rows(np.array([60_000]), codes[:1], np.array([2])))
    index.flush(2)
    assert {path.stat().st_ino for path in tmp_path.glob("*/run0-table-codes.npy")} == first
    index.upsert(Rows(np.array([70_000]), codes[:1], np.array([2])))  # never flushed
    expected = index.search(codes[:50], 5, max_distance=10)
    index.close()
    again = MihIndex(SPEC, tmp_path, writable=False)
    expected_of_2 = int((ids[99:] % 3 == 2).sum()) + 1
    assert (again.sequence, again.count(), again.count(2)) == (2, 50_000 - 99 + 1, expected_of_2)
    found = again.search(codes[:50], 5, max_distance=10)
    assert found.ids[0, 0] == 60_000
    same(
        Matches(found.ids[1:], found.distances[1:], FULLY_EXACT),
        Matches(expected.ids[1:], expected.distances[1:], FULLY_EXACT),
    )
    with pytest.raises(BadInput, match="read-only"):
        again.flush(3)
    again.delete(np.array([60_000]))  # in memory alone, as the catalog says
    again.upsert(Rows(np.array([90_000]), codes[:1], np.array([2])))
    assert again.search(codes[:1], 1).ids[0, 0] == 90_000
    again.clear()
    assert MihIndex(SPEC, tmp_path).count() == 50_000 - 99 + 1


def test_deleting_most_rows_shrinks_the_runs() -> None:
    rng = np.random.default_rng(17)
    codes = random_codes(rng, 80_000)
    index = filled(codes)
    index.delete(np.arange(1, 70_001))
    assert index.count() == 10_000
    assert sum(len(run.ids) for run in index._state.runs) == 10_000
    same(
        index.search(codes[:20], 3, max_distance=20),
        nearest("hamming", codes[:20], codes[70_000:], np.arange(70_001, 80_001), 3, max_distance=20),
    )
    index.delete(np.arange(1, 80_001))
    assert index.count() == 0
    assert not index._state.runs


def test_many_small_upserts_keep_few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BUFFER_ROWS", 64)
    rng = np.random.default_rng(18)
    codes = random_codes(rng, 20_000)
    index = MihIndex(SPEC, None)
    for start in range(0, 20_000, 50):
        ids = np.arange(start + 1, start + 51)
        index.upsert(Rows(ids, codes[start : start + 50], np.ones(50, np.int64)))
        sizes = [len(run.ids) for run in index._state.runs]
        assert all(large >= state.MERGE_RATIO * small for large, small in itertools.pairwise(sizes))
    same(index.search(codes[:50], 4), nearest("hamming", codes[:50], codes, np.arange(1, 20_001), 4))


def test_readers_see_batches_atomically(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch replaces the code of 40 ids: a reader finds 40 rows with one code, never a mixture."""
    monkeypatch.setattr(state, "BUFFER_ROWS", 200)
    rng = np.random.default_rng(19)
    index = filled(random_codes(rng, 3000))
    marks = random_codes(rng, 300)
    ids = np.arange(10_001, 10_041)
    filter = ResolvedFilter((), lambda: ids)
    mixtures: list[Ids] = []
    done = threading.Event()
    index.upsert(Rows(ids, np.repeat(marks[:1], 40, axis=0), np.ones(40, np.int64)))

    def read() -> None:
        while not done.is_set():
            found = index.search(marks[:1], 50, filter=filter)
            if (found.ids[0] >= 0).sum() != 40 or len(np.unique(found.distances[0, :40])) != 1:
                mixtures.append(found.ids)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for mark in marks:
        index.upsert(Rows(ids, np.repeat(mark[None], 40, axis=0), np.ones(40, np.int64)))
    done.set()
    for reader in readers:
        reader.join()
    assert not mixtures
