"""Elasticsearch keeps the contract: whole in the exact mode, within its radius in the guaranteed one."""

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
from tests.index_contract import IndexContract, MakeIndex, Model, chosen, draw
from tests.index_contract.base import Contract
from tests.index_contract.searching import Searching
from tests.index_contract.writing import Writing
from tests.support.engines.elasticsearch import server, sweep

SPEC = FeatureSpec("phash", "hamming", 8, "contract 1")


class OnServer(Contract):
    """A folder stands for the name of an index."""

    spec = SPEC
    exact = True
    size = 1000
    snapshots = False
    options = ""

    @pytest.fixture
    def make_index(self, tmp_path: Path) -> Iterator[MakeIndex]:
        first = f"test-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"

        def make(spec: FeatureSpec, folder: Path) -> VectorIndex:
            return open_index(spec, f"{server()}?name={first}-{folder.name}&{self.options}", "contract")

        yield make
        sweep(first)


class FewerOrders(OnServer, Writing):
    """A step costs a refresh here, so one order of random steps is tried instead of four."""

    @pytest.mark.parametrize("seed", [0])
    def test_anything_in_any_order(self, make_index: MakeIndex, tmp_path: Path, seed: int) -> None:
        super().test_anything_in_any_order(make_index, tmp_path, seed)


class TestExact(FewerOrders, IndexContract):
    options = "mode=exact"


class TestExactOnThreeShards(FewerOrders):
    """Tenants share out the shards, so a row that changes its tenant changes its shard."""

    options = "mode=exact&shards=3"


class TestGuaranteed(FewerOrders, Searching):
    """Everything within the radius and nothing beyond: the contract, asked within it."""

    options = "mode=guaranteed&radius=6"

    def ask(
        self, index: VectorIndex, model: Model, k: int, *, queries: int = 20, seed: int = 99, **how: Any
    ) -> Matches:
        how["max_distance"] = min(how.get("max_distance") or 6.0, 6.0)
        found = super().ask(index, model, k, queries=queries, seed=seed, **how)
        assert found.exact_within == 6.0
        return found

    def test_arrays_in_any_layout(self, index: VectorIndex, model: Model) -> None:
        """As inherited, but k is not reached within the radius."""
        rows = self.rows(1, range(1, 61))
        index.upsert(rows)
        queries = np.asfortranarray(rows.features)[::3]
        queries.setflags(write=False)
        assert index.search(queries, 1).ids[:, 0].tolist() == rows.ids[::3].tolist()

    def test_filters(self, index: VectorIndex, model: Model) -> None:
        """As inherited, but k is not reached within the radius."""
        self.write(index, model, self.rows(1, np.arange(self.size) + 1, np.arange(self.size) % 3))
        for one_in, tenant in itertools.product((1, 10, 1000), (None, 2)):
            self.ask(index, model, 10, ids=np.arange(1, self.size + 500, one_in), tenant=tenant)

    def test_readers_beside_a_writer(self, index: VectorIndex) -> None:
        """Rows are there in one of two states, and found by a query near both."""
        first = self.rows(1, range(1, 201))
        second = self.rows(1, range(1, 201))
        second.features[:, 0] ^= 1
        index.upsert(first)
        asked = np.concatenate([first.features[:3], draw(self.spec, np.random.default_rng(3), 3)])
        for step in range(6):
            index.upsert(second if step % 2 else first)
            found = index.search(asked, 200, filter=chosen(range(1, 201)))
            assert {1, 2, 3} <= set(found.ids[:3, 0].tolist())
