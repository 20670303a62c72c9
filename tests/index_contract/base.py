"""Settings, fixtures and helpers common to all contract tests."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.interfaces import VectorIndex
from lookalike.types import FeatureSpec, Ids, Matches, Rows
from tests.index_contract.reference import ReferenceIndex, id_filter, random_features

IndexFactory = Callable[[FeatureSpec, Path], VectorIndex]
"""Opens the index of a spec that was flushed to a folder, or a new one."""


class ContractTests:
    """What a contract class sets (`spec`, `exact`, ...), and the helpers of its tests."""

    spec: ClassVar[FeatureSpec]
    exact: ClassVar[bool]
    """Whether every search is exact; otherwise results must reach `recall`."""
    size: ClassVar[int] = 3000
    """Rows of the larger tests: enough that an approximate index does not scan."""
    recall: ClassVar[float] = 0.98
    histories: ClassVar[int] = 4
    """Random sequences of operations that are tried; fewer where each operation waits for a server."""

    @pytest.fixture
    def index(self, make_index: IndexFactory, tmp_path: Path) -> Iterator[VectorIndex]:
        index = make_index(self.spec, tmp_path / "index")
        yield index
        index.close()

    @pytest.fixture
    def reference(self) -> ReferenceIndex:
        return ReferenceIndex(self.spec)

    def rows(self, seed: int, ids: Sequence[int] | NDArray[Any], tenants: int | Ids = 1) -> Rows:
        """Random rows with these ids."""
        array = np.array(ids, np.int64)
        owners = np.broadcast_to(np.array(tenants, np.int64), array.shape).copy()
        return Rows(array, random_features(self.spec, np.random.default_rng(seed), len(array)), owners)

    def write(self, index: VectorIndex, reference: ReferenceIndex, rows: Rows) -> None:
        """Upsert rows into both indexes."""
        index.upsert(rows)
        reference.upsert(rows)

    def search_and_check(
        self,
        index: VectorIndex,
        reference: ReferenceIndex,
        k: int,
        *,
        query_count: int = 20,
        seed: int = 99,
        ids: Sequence[int] | NDArray[Any] | None = None,
        **scope: Any,
    ) -> Matches:
        """Search with random queries and stored rows, check the matches against the reference, and return them."""
        queries = random_features(self.spec, np.random.default_rng(seed), query_count)
        for position, id_ in enumerate(list(reference.rows)[: query_count // 2]):
            queries[position] = reference.rows[id_][1]
        matches = index.search(queries, k, filter=None if ids is None else id_filter(ids), **scope)
        recall = reference.check(matches, queries, k, ids=ids, **scope)
        assert recall >= (1.0 if self.exact else self.recall)
        return matches
