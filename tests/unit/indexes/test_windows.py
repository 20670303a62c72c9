"""The index of windows: the nearest code of each image, exactly, whatever was deleted, saved or filtered."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import BadInput, FeatureMismatch, Unavailable
from lookalike.imaging.windows import WINDOW_COUNT
from lookalike.indexes.windows import WindowsIndex
from lookalike.types import FULLY_EXACT, Features, FeatureSpec, Rows

CODE = 64
SPEC = FeatureSpec("windows", "hamming", CODE * WINDOW_COUNT, "0" * 32)
IDS = np.arange(1, 41)
TENANTS = np.where(IDS % 4 == 0, 2, 1)


def random_rows(n: int, seed: int = 0) -> Features:
    return np.random.default_rng(seed).integers(0, 256, (n, SPEC.width), np.uint8)


def filled(folder: Path | None = None) -> WindowsIndex:
    index = WindowsIndex(SPEC, folder)
    index.upsert(Rows(IDS, random_rows(len(IDS)), TENANTS))
    return index


def least_bits(query: Features, rows: Features) -> list[int]:
    """By images: the least number of differing bits of any two codes, the plain way."""
    codes, parts = query.reshape(WINDOW_COUNT, CODE), rows.reshape(len(rows), WINDOW_COUNT, CODE)
    return [min(int(np.unpackbits(code ^ part).sum()) for code in codes for part in of) for of in parts]


def query_of(row: Features, window: int, flipped: int) -> Features:
    """A query that repeats one code of a row, of which so many bits are flipped."""
    code = row.reshape(WINDOW_COUNT, CODE)[window].copy()
    code[:flipped] ^= 1
    return np.tile(code, WINDOW_COUNT)[None]


def test_an_image_is_found_by_any_of_its_windows() -> None:
    index, rows = filled(), random_rows(len(IDS))
    for window in (0, 13, WINDOW_COUNT - 1):
        found = index.search(query_of(rows[6], window, 5), 3)
        assert found.ids[0, 0] == IDS[6]
        assert found.distances[0, 0] == 5 * WINDOW_COUNT
        assert found.exact_within == FULLY_EXACT


def test_distances_are_those_of_the_nearest_codes() -> None:
    rows = random_rows(len(IDS))
    queries = random_rows(2, seed=9)
    found = filled().search(queries, len(IDS))
    for query, ids, distances in zip(queries, found.ids, found.distances, strict=True):
        bits = least_bits(query, rows)
        assert distances.tolist() == [WINDOW_COUNT * n for n in sorted(bits)]
        assert [bits[id_ - 1] for id_ in ids] == sorted(bits)


def test_tenants_deletions_and_distances_limit_what_is_found() -> None:
    index, rows = filled(), random_rows(len(IDS))
    query = query_of(rows[3], 2, 0)  # id 4, of tenant 2
    assert index.search(query, 1, tenant=1).ids[0, 0] != 4
    assert index.search(query, 1, tenant=2).ids[0, 0] == 4
    assert index.search(query, 5, max_distance=0.0).ids[0].tolist() == [4, -1, -1, -1, -1]
    index.delete(np.array([4]))
    assert 4 not in index.search(query, len(IDS)).ids
    assert index.count() == len(IDS) - 1


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    index = filled(tmp_path)
    index.flush(7)
    again = WindowsIndex(SPEC, tmp_path)
    query = query_of(random_rows(len(IDS))[0], 1, 3)
    assert again.sequence == 7
    assert again.search(query, 4).ids.tolist() == index.search(query, 4).ids.tolist()


def test_more_images_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    index = filled()
    monkeypatch.setattr("lookalike.indexes.windows.MAX_WINDOWED_IMAGES", len(IDS) - 1)
    with pytest.raises(Unavailable, match="pipelines drop"):
        index.search(random_rows(1), 1)
    index.delete(IDS[:1])
    assert index.search(random_rows(1), 1).ids[0, 0] > 0


def test_codes_of_a_width_that_is_no_multiple_of_eight_words() -> None:
    spec = FeatureSpec("narrow", "hamming", 8 * WINDOW_COUNT, "0" * 32)
    index = WindowsIndex(spec, None)
    index.upsert(
        Rows(np.array([1, 2]), np.repeat(np.array([[0], [255]], np.uint8), spec.width, axis=1), np.ones(2, int))
    )
    found = index.search(np.full((1, spec.width), 1, np.uint8), 2)
    assert found.ids.tolist() == [[1, 2]]
    assert found.distances.tolist() == [[8.0 * WINDOW_COUNT, 56.0 * WINDOW_COUNT]]


@pytest.mark.parametrize("spec", [FeatureSpec("a", "cosine", 200, ""), FeatureSpec("a", "hamming", 64, "")])
def test_other_features_are_refused(spec: FeatureSpec) -> None:
    with pytest.raises(BadInput, match="codes"):
        WindowsIndex(spec, None)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(FeatureMismatch):
        filled().search(np.zeros((1, CODE), np.uint8), 1)
