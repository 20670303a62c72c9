"""Queries: tenants, filters, limits, ties, edge sizes, and invalid input."""

import threading
from typing import Any

import numpy as np
import pytest

from lookalike.errors import BadInput, FeatureMismatch, UnsupportedQuery
from lookalike.interfaces import VectorIndex
from lookalike.types import Rows
from tests.index_contract.base import ContractTests
from tests.index_contract.reference import ReferenceIndex, id_filter, random_features


class QueryTests(ContractTests):
    """Tenants, filters, limits, ties, edge sizes, and invalid input."""

    def test_sizes_of_k(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.write(index, reference, self.rows(1, range(1, 31)))
        for k in (1, 30, 31, 100):
            self.search_and_check(index, reference, k)

    def test_an_empty_index_and_no_queries(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.search_and_check(index, reference, 3)
        self.search_and_check(index, reference, 3, tenant=1, ids=[1, 2])
        self.write(index, reference, self.rows(1, range(1, 11)))
        assert index.search(random_features(self.spec, np.random.default_rng(1), 0), 3).ids.shape == (0, 3)

    def test_ties_are_ordered_by_id(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        ids = np.random.default_rng(3).permutation(90) + 1
        rows = self.rows(1, ids)
        rows.features[:] = np.resize(rows.features[:3], rows.features.shape)
        self.write(index, reference, rows)
        queries = rows.features[:3]
        found = index.search(queries, 25)
        reference.check(found, queries, 25)
        if self.exact:
            for query in range(3):
                assert found.ids[query].tolist() == sorted(ids[query::3].tolist())[:25]

    def test_max_distance_is_inclusive(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.write(index, reference, self.rows(1, range(1, 201)))
        found = self.search_and_check(index, reference, 10)
        for limit in (float(found.distances[0, 4]), 0.0):
            near = self.search_and_check(index, reference, 10, max_distance=limit)
            assert (near.distances[0] <= limit).sum() >= (5 if limit else 1)
        assert (
            index.search(random_features(self.spec, np.random.default_rng(1), 2), 3, max_distance=-1.0).ids == -1
        ).all()

    def test_tenants_never_mix(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        """One large tenant, one small, one of a single row."""
        tenants = np.where(np.arange(self.size) % 40, 1, 2)
        tenants[77] = 3
        self.write(index, reference, self.rows(1, np.arange(self.size) + 1, tenants))
        for tenant in (1, 2, 3, 4):
            assert index.count(tenant) == reference.count(tenant)
            self.search_and_check(index, reference, 10, tenant=tenant)

    def test_filters(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        """From all rows to 1 in 1,000 and to none; a filter may contain unknown ids."""
        self.write(index, reference, self.rows(1, np.arange(self.size) + 1, np.arange(self.size) % 3))
        for one_in in (1, 2, 10, 100, 1000):
            ids = np.arange(1, self.size + 500, one_in)
            found = self.search_and_check(index, reference, 10, ids=ids)
            assert ((found.ids >= 0).sum(axis=1) == min(10, self.size // one_in)).all()
            self.search_and_check(index, reference, 10, ids=ids, tenant=2)
        for nothing in ([], [self.size + 7], np.arange(self.size + 1, self.size + 300)):
            assert (self.search_and_check(index, reference, 3, ids=nothing).ids == -1).all()

    def test_filters_and_tenants_after_deletions(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        """Most rows of a tenant are deleted: the others must still be found."""
        ids = np.arange(self.size) + 1
        self.write(index, reference, self.rows(1, ids, np.where(ids % 5, 1, 2)))
        gone = ids[(ids % 4 > 0) & (ids < self.size * 2 // 3)]
        index.delete(gone)
        reference.delete(gone)
        self.search_and_check(index, reference, 10)
        self.search_and_check(index, reference, 10, tenant=2)
        self.search_and_check(index, reference, 10, ids=ids[::3])
        index.delete(ids[5:])
        reference.delete(ids[5:])
        self.search_and_check(index, reference, 10)
        assert index.count() == reference.count()

    def test_features_of_another_kind_are_refused(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.write(index, reference, self.rows(1, range(1, 6)))
        good = random_features(self.spec, np.random.default_rng(1), 5)
        wide, narrow = np.concatenate([good, good[:, :1]], axis=1), good[:, :-1]
        retyped = good.astype(np.float64 if self.spec.metric == "cosine" else np.int16)
        for bad in (wide, narrow, retyped, good[0]):
            with pytest.raises(FeatureMismatch):
                index.search(bad, 3)
            with pytest.raises(FeatureMismatch):
                index.upsert(Rows(np.arange(1, 6), bad, np.ones(5, np.int64)))
        self.search_and_check(index, reference, 5)

    def test_nan_and_infinity_are_refused(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        if self.spec.metric == "hamming":
            return  # every bit pattern is a valid code
        self.write(index, reference, self.rows(1, range(1, 6)))
        rows = self.rows(2, range(1, 11))
        for value in (np.nan, np.inf, -np.inf):
            rows.features[7, 3] = value
            with pytest.raises(BadInput):
                index.upsert(rows)
            with pytest.raises(BadInput):
                index.search(rows.features, 3)
        assert index.count() == 5
        self.search_and_check(index, reference, 5)

    def test_invalid_ids_are_refused(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.write(index, reference, self.rows(1, range(1, 6)))
        two = self.rows(2, [1, 2])
        for ids in ([0, 1], [-4, 1], [3, 3], [1, 2, 3]):
            with pytest.raises(BadInput):
                index.upsert(Rows(np.array(ids), two.features, two.tenants))
        assert index.count() == 5
        self.search_and_check(index, reference, 5)

    def test_an_invalid_k_is_refused(self, index: VectorIndex) -> None:
        for k in (0, -1):
            with pytest.raises(UnsupportedQuery):
                index.search(random_features(self.spec, np.random.default_rng(1), 1), k)

    def test_readers_beside_a_writer(self, index: VectorIndex) -> None:
        """Rows 1..200 always exist, in one of two versions; a reader sees exactly one of them."""
        first, second = self.rows(1, range(1, 201)), self.rows(2, range(1, 201))
        index.upsert(first)
        stop, problems = threading.Event(), list[Any]()

        def read() -> None:
            try:
                while not stop.is_set():
                    found = index.search(first.features[:3], 200, filter=id_filter(range(1, 201)))
                    assert sorted(found.ids[0].tolist()) == list(range(1, 201))
                    assert index.count() >= 200
            except BaseException as error:  # noqa: BLE001 - handed to the test below
                problems.append(error)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for step in range(20):
            index.upsert(second if step % 2 else first)
            index.upsert(self.rows(step, range(1000 + 50 * step, 1050 + 50 * step)))
            index.delete(np.arange(1000 + 50 * step, 1025 + 50 * step))
        stop.set()
        for reader in readers:
            reader.join()
        assert problems == []
