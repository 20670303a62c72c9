"""What all parts of the contract share."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.interfaces import VectorIndex
from lookalike.types import FeatureSpec, Ids, Matches, Rows
from tests.index_contract.truth import Model, chosen, draw

MakeIndex = Callable[[FeatureSpec, Path], VectorIndex]


class Contract:
    """Settings, fixtures and helpers."""

    spec: ClassVar[FeatureSpec]
    exact: ClassVar[bool]
    size: ClassVar[int] = 3000
    """Rows of the larger tests: enough that an approximate index works as one."""
    recall: ClassVar[float] = 0.98

    @pytest.fixture
    def index(self, make_index: MakeIndex, tmp_path: Path) -> Iterator[VectorIndex]:
        index = make_index(self.spec, tmp_path / "index")
        yield index
        index.close()

    @pytest.fixture
    def model(self) -> Model:
        return Model(self.spec)

    def rows(self, seed: int, ids: Sequence[int] | NDArray[Any], tenants: int | Ids = 1) -> Rows:
        """New rows for these ids."""
        array = np.array(ids, np.int64)
        owners = np.broadcast_to(np.array(tenants, np.int64), array.shape).copy()
        return Rows(array, draw(self.spec, np.random.default_rng(seed), len(array)), owners)

    def write(self, index: VectorIndex, model: Model, rows: Rows) -> None:
        index.upsert(rows)
        model.upsert(rows)

    def ask(
        self, index: VectorIndex, model: Model, k: int, *, queries: int = 20, seed: int = 99, **how: Any
    ) -> Matches:
        """Search with queries that may be stored rows, and check the answer."""
        asked = draw(self.spec, np.random.default_rng(seed), queries)
        for place, id_ in enumerate(list(model.rows)[: queries // 2]):
            asked[place] = model.rows[id_][1]
        ids = how.pop("ids", None)
        found = index.search(asked, k, filter=None if ids is None else chosen(ids), **how)
        recall = model.check(found, asked, k, ids=ids, **how)
        assert recall >= (1.0 if self.exact else self.recall)
        return found
