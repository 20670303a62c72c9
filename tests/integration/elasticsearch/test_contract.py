"""The index contract on Elasticsearch: in full for the exact mode, within its radius for the guaranteed mode."""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.indexes.elasticsearch.index import open_index
from lookalike.interfaces import VectorIndex
from lookalike.types import FeatureSpec, Matches
from tests.index_contract import IndexContract, IndexFactory, ReferenceIndex, id_filter, random_features
from tests.index_contract.base import ContractTests
from tests.index_contract.queries import QueryTests
from tests.index_contract.writes import WriteTests
from tests.support.engines.elasticsearch import server, sweep

SPEC = FeatureSpec("phash", "hamming", 8, "contract 1")


class ServerTests(ContractTests):
    """The folder gives the name of the index."""

    spec = SPEC
    exact = True
    size = 1000
    snapshots = False
    histories = 1
    options = ""

    @pytest.fixture
    def make_index(self, tmp_path: Path) -> Iterator[IndexFactory]:
        first = f"test-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"

        def make(spec: FeatureSpec, folder: Path) -> VectorIndex:
            return open_index(spec, f"{server()}?name={first}-{folder.name}&{self.options}", "contract")

        yield make
        sweep(first)


class TestExact(ServerTests, IndexContract):
    options = "mode=exact"


class TestExactOnThreeShards(ServerTests, WriteTests):
    """Rows are routed by tenant, so a row that changes its tenant changes its shard."""

    options = "mode=exact&shards=3"


class TestGuaranteed(ServerTests, WriteTests, QueryTests):
    """Everything within the radius and nothing beyond: the contract of queries within it."""

    options = "mode=guaranteed&radius=6"

    def search_and_check(
        self, index: VectorIndex, reference: ReferenceIndex, k: int, *, max_distance: float | None = None, **scope: Any
    ) -> Matches:
        within = min(max_distance or 6.0, 6.0)
        matches = super().search_and_check(index, reference, k, max_distance=within, **scope)
        assert matches.exact_within == 6.0
        return matches

    def test_arrays_in_any_layout(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        """As inherited, but k is not reached within the radius."""
        rows = self.rows(1, range(1, 61))
        index.upsert(rows)
        queries = np.asfortranarray(rows.features)[::3]
        queries.setflags(write=False)
        assert index.search(queries, 1).ids[:, 0].tolist() == rows.ids[::3].tolist()

    def test_filters(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        """As inherited, but k is not reached within the radius."""
        self.write(index, reference, self.rows(1, np.arange(self.size) + 1, np.arange(self.size) % 3))
        for one_in, tenant in itertools.product((1, 10, 1000), (None, 2)):
            self.search_and_check(index, reference, 10, ids=np.arange(1, self.size + 500, one_in), tenant=tenant)

    def test_readers_beside_a_writer(self, index: VectorIndex) -> None:
        """Rows exist in one of two versions, and are found by a query near both."""
        first = self.rows(1, range(1, 201))
        second = self.rows(1, range(1, 201))
        second.features[:, 0] ^= 1
        index.upsert(first)
        queries = np.concatenate([first.features[:3], random_features(self.spec, np.random.default_rng(3), 3)])
        for step in range(6):
            index.upsert(second if step % 2 else first)
            found = index.search(queries, 200, filter=id_filter(range(1, 201)))
            assert {1, 2, 3} <= set(found.ids[:3, 0].tolist())
