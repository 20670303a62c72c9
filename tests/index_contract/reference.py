"""The reference of the contract: a dict and a brute force that share no code with any index, and random rows."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Features, FeatureSpec, Matches, ResolvedFilter, Rows

BLOCK = 8192
"""Rows compared with all queries at a time."""


def random_features(spec: FeatureSpec, rng: np.random.Generator, n: int) -> Features:
    """Realistic rows: codes clustered around centres; non-negative vectors with few latent factors."""
    if spec.metric == "hamming":
        centres = np.random.default_rng(0).integers(0, 256, (50, spec.width), dtype=np.uint8)
        noise = rng.random((n, spec.width, 8)) < rng.choice([0.03, 0.12, 0.5], (n, 1, 1))
        return centres[rng.integers(0, 50, n)] ^ np.packbits(noise, axis=2)[:, :, 0]
    mixing = np.random.default_rng(0).normal(size=(8, spec.width))
    vectors = np.maximum(rng.normal(size=(n, 8)) @ mixing + 0.5 + 0.5 * rng.normal(size=(n, spec.width)), 0) + 1e-3
    unit: Features = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def reference_distances(spec: FeatureSpec, query: NDArray[Any], rows: Features) -> NDArray[np.float64]:
    """Distances of one query from rows, in the simplest way."""
    if spec.metric == "hamming":
        differing: NDArray[np.uint8] = np.bitwise_xor(query, rows)
        bits: NDArray[np.float64] = np.unpackbits(differing, axis=1).sum(axis=1, dtype=np.float64)
        return bits
    distances: NDArray[np.float64] = 1 - rows.astype(np.float64) @ query.astype(np.float64)
    return np.maximum(distances, 0.0)


def reference_neighbours(
    spec: FeatureSpec, queries: Features, rows: Features, k: int
) -> tuple[NDArray[np.intp], Features]:
    """The row numbers of the k nearest rows of each query, and their distances, by brute force over many rows.

    Both are `(queries, k)`, ties ordered by row number. Bits are mapped to +1 and -1, so that products count those
    that differ.
    """
    best_rows = np.zeros((len(queries), 0), np.intp)
    best = np.zeros((len(queries), 0), np.float32)
    left = _signs(queries) if spec.metric == "hamming" else queries
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        if spec.metric == "hamming":
            distances = (8 * spec.width - left @ _signs(block).T) / 2
        else:
            distances = np.maximum(1 - left @ block.T, 0)
        numbers = np.broadcast_to(np.arange(start, start + len(block)), distances.shape)
        both = np.concatenate([best, distances], axis=1)
        order = np.argsort(both, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(both, order, axis=1)
        best_rows = np.take_along_axis(np.concatenate([best_rows, numbers], axis=1), order, axis=1)
    return best_rows, best


def _signs(codes: Features) -> NDArray[np.float32]:
    bits: NDArray[np.float32] = np.unpackbits(codes, axis=1).astype(np.float32)
    return 2 * bits - 1


def id_filter(ids: Iterable[int]) -> ResolvedFilter:
    """A filter that exactly these ids pass."""
    array = np.array(sorted(ids), np.int64)
    return ResolvedFilter((), lambda: array)


class ReferenceIndex:
    """Expected state of an index: a dict of id -> (tenant, features)."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.rows: dict[int, tuple[int, NDArray[Any]]] = {}

    def upsert(self, rows: Rows) -> None:
        for id_, feature, tenant in zip(rows.ids.tolist(), rows.features, rows.tenants.tolist(), strict=True):
            self.rows[id_] = (tenant, feature.copy())

    def delete(self, ids: Iterable[int]) -> None:
        for id_ in ids:
            self.rows.pop(int(id_), None)

    def count(self, tenant: int | None = None) -> int:
        return sum(tenant in (None, owner) for owner, _ in self.rows.values())

    def check(
        self,
        found: Matches,
        queries: Features,
        k: int,
        *,
        tenant: int | None = None,
        ids: Iterable[int] | None = None,
        max_distance: float | None = None,
    ) -> float:
        """Assert index invariants; return recall, ignoring ties and rounding."""
        pool = set(self.rows) if ids is None else set(ids) & set(self.rows)
        allowed = np.array(sorted(i for i in pool if tenant in (None, self.rows[i][0])), np.int64)
        features = np.array([self.rows[i][1] for i in allowed.tolist()], self.spec.dtype).reshape(-1, self.spec.width)
        assert found.ids.shape == found.distances.shape == (len(queries), k)
        assert found.ids.dtype == np.dtype(np.int64)
        assert found.distances.dtype == np.dtype(np.float32)
        slack = 1e-5 if self.spec.metric == "cosine" else 0.0
        hits = total = 0
        for query, got_ids, got in zip(queries, found.ids, found.distances, strict=True):
            truth = reference_distances(self.spec, query, features)
            within = truth if max_distance is None else truth[truth <= max_distance + slack]
            best = np.sort(within)[:k]
            real = got_ids >= 0
            n = int(np.count_nonzero(real))
            assert real[:n].all()
            assert np.isinf(got[n:]).all()
            assert (got_ids[n:] == -1).all()
            assert len(set(got_ids[:n].tolist())) == n
            position = np.searchsorted(allowed, got_ids[:n])
            # otherwise a deleted row, one that does not pass the filter, or one of another tenant
            assert (allowed[position % max(1, len(allowed))] == got_ids[:n]).all()
            np.testing.assert_allclose(got[:n], truth[position], atol=slack, rtol=0)
            pairs = list(zip(got[:n].tolist(), got_ids[:n].tolist(), strict=True))
            assert pairs == sorted(pairs)  # nearest first, ties by id
            assert max_distance is None or (got[:n] <= np.float32(max_distance)).all()
            if max_distance is None:
                assert n == len(best)
            hits += int(np.count_nonzero(got[:n] <= best[:n] + slack))
            total += len(best)
            guaranteed = best[best <= found.exact_within]
            assert (got[: len(guaranteed)] <= guaranteed + slack).all()
        return hits / total if total else 1.0
