"""Recall among many near neighbours, in all rows and in a tenant with a tenth of them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.types import Features, FeatureSpec, Matches, Rows
from tests.index_contract.base import ContractTests, IndexFactory
from tests.index_contract.reference import reference_distances, reference_neighbours
from tests.index_contract.synthetic_data import gallery_features, perturbed_features, pooled_features, projection_codes

ROWS_VARIABLE = "LOOKALIKE_CONTRACT_ROWS"
"""Environment variable with the number of rows, for all indexes."""
BATCH = 8192
"""Rows per upsert, as in a gallery."""
K = 10
LARGE_TENANT, SMALL_TENANT = 1, 2
"""Every tenth row belongs to the small tenant."""


class RecallTests(ContractTests):
    """Recall in rows derived from the features of the fixture `originals`: vectors, or hashes of them.

    An exact index must find what a brute-force comparison finds, others a share of `recall`. The number of rows is
    `recall_rows`, or that of the environment: `LOOKALIKE_CONTRACT_ROWS=200000 pytest -k neighbours_are_found`.
    """

    recall_rows: ClassVar[int] = 4000
    recall_queries: ClassVar[int] = 200
    """With 2,000 neighbours, recall is measured with a standard error of 0.003."""

    @pytest.fixture
    def originals(self) -> Features:
        """Features `(n, width)` of unit length from which the rows are derived; synthetic by default."""
        return pooled_features(400)

    def test_neighbours_are_found(self, make_index: IndexFactory, tmp_path: Path, originals: Features) -> None:
        size = int(os.environ.get(ROWS_VARIABLE, self.recall_rows))
        rows, queries = gallery_features(originals, size, 1), perturbed_features(originals, self.recall_queries, 2)
        spec = self.spec
        if spec.metric == "hamming":
            rows, queries = (projection_codes(vectors, originals, spec.width) for vectors in (rows, queries))
        else:
            spec = replace(spec, width=originals.shape[1], fingerprint=f"{spec.fingerprint}, as wide as the originals")
        tenants = np.where(np.arange(size) % 10 == 3, SMALL_TENANT, LARGE_TENANT)
        index = make_index(spec, tmp_path / "neighbours")
        with index.rebuilding() as building:
            for start in range(0, size, BATCH):
                part = slice(start, start + BATCH)
                building.upsert(Rows(np.arange(size)[part] + 1, rows[part], tenants[part]))
            building.flush(1)
        assert index.count() == size
        for tenant in (None, SMALL_TENANT):
            numbers = np.arange(size) if tenant is None else np.flatnonzero(tenants == tenant)
            matches = index.search(queries, K, tenant=tenant, fresh=True)
            recall = self._check_recall(spec, matches, queries, rows, numbers)
            assert recall >= (1.0 if self.exact else self.recall), f"recall of tenant {tenant} in {size} rows"
        index.close()

    def _check_recall(
        self, spec: FeatureSpec, found: Matches, queries: Features, rows: Features, numbers: NDArray[np.intp]
    ) -> float:
        """Check the invariants of matches; returns the share of true neighbours that were found."""
        slack = 1e-5 if spec.metric == "cosine" else 0.0
        positions, best = reference_neighbours(spec, queries, rows[numbers], K)
        truth = numbers[positions] + 1
        assert np.isin(found.ids, numbers + 1).all(), "rows of another tenant"
        for query, ids, distances in zip(queries, found.ids, found.distances, strict=True):
            assert len(set(ids.tolist())) == K
            assert (np.diff(distances) >= 0).all()
            assert np.allclose(distances, reference_distances(spec, query, rows[ids - 1]), rtol=0, atol=slack)
        if self.exact and spec.metric == "hamming":
            assert (found.ids == truth).all(), "equal distances are ordered by id"
        return float((found.distances <= best[:, -1:] + slack).mean())
