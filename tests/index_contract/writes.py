"""Writes: rows are inserted, replaced, moved, deleted and inserted again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import BadInput
from lookalike.interfaces import VectorIndex
from lookalike.types import Condition, ResolvedFilter, Rows
from tests.index_contract.base import ContractTests, IndexFactory
from tests.index_contract.reference import ReferenceIndex

ACTIONS = {"upsert": 0.3, "delete": 0.2, "search": 0.15, "filter": 0.2, "reopen": 0.12, "clear": 0.03}


class WriteTests(ContractTests):
    """Rows are inserted, replaced, moved, deleted and inserted again."""

    def test_upsert_replace_delete_and_insert_again(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.write(index, reference, self.rows(1, range(1, 101)))
        self.search_and_check(index, reference, 5)
        self.write(index, reference, self.rows(2, range(50, 121)))
        assert index.count() == 120
        self.search_and_check(index, reference, 5)
        for ids in ([1, 60, 120], [1, 60, 120], [7000]):
            index.delete(np.array(ids))
            reference.delete(ids)
            assert index.count() == 117
            self.search_and_check(index, reference, 5)
        self.write(index, reference, self.rows(3, [60, 1]))
        self.search_and_check(index, reference, 5)
        assert index.count() == 119

    def test_a_row_moves_to_another_tenant(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.write(index, reference, self.rows(1, range(1, 41), 1))
        self.write(index, reference, self.rows(1, range(1, 21), 2))
        assert (index.count(1), index.count(2), index.count(3), index.count()) == (20, 20, 0, 40)
        for tenant in (1, 2, 3):
            self.search_and_check(index, reference, 30, tenant=tenant)

    def test_attributes_change_without_features(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        """Filters see the new attributes; features are unchanged, and unknown ids ignored."""
        rows = self.rows(1, range(1, 41), np.arange(1, 41) % 2 + 1)
        self.write(index, reference, replace(rows, attributes=[{"album": "old", "n": int(n)} for n in rows.ids]))
        changed = np.array([7, 3, 990, *range(8, 20)])
        index.update_attributes(changed, changed % 2 + 1, [{"album": "new", "n": None}] * (len(changed) - 1) + [{}])
        index.update_attributes(changed[:0], changed[:0], [])
        assert index.count() == 40
        albums = dict.fromkeys(range(1, 41), "old") | dict.fromkeys([3, 7, *range(8, 19)], "new")
        del albums[19]
        for album in ("old", "new"):
            ids = np.array([n for n, is_in in albums.items() if is_in == album])
            filter = ResolvedFilter((Condition("album", "eq", album),), lambda ids=ids: ids)  # type: ignore[misc]
            for tenant in (None, 1, 2):
                mine = ids if tenant is None else ids[ids % 2 + 1 == tenant]
                found = index.search(rows.features, 40, tenant=tenant, filter=filter).ids
                assert all(n in found[n - 1] for n in mine)
                assert set(found.ravel().tolist()) <= {-1, *mine.tolist()}
        self.search_and_check(index, reference, 5)
        with pytest.raises(BadInput, match="one of each"):
            index.update_attributes(changed, changed, [{}])

    def test_empty_writes(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        index.upsert(self.rows(1, []))
        index.delete(np.array([], np.int64))
        assert index.count() == 0
        self.search_and_check(index, reference, 3)

    def test_the_callers_arrays_are_not_kept(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        rows = self.rows(1, range(1, 31))
        self.write(index, reference, rows)
        rows.features[:] = 0
        rows.ids[:] = 7
        rows.tenants[:] = 7
        self.search_and_check(index, reference, 5, tenant=1)

    def test_arrays_in_any_layout(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        rows = self.rows(1, range(1, 61))
        every = Rows(rows.ids[::-2], rows.features[::-2], rows.tenants[::-2])
        fortran = Rows(rows.ids[::2].astype(np.int32), np.asfortranarray(rows.features[::2]), rows.tenants[::2])
        self.write(index, reference, every)
        self.write(index, reference, fortran)
        queries = np.asfortranarray(rows.features)[::3]
        queries.setflags(write=False)
        assert reference.check(index.search(queries, 4), queries, 4) >= (1.0 if self.exact else self.recall)

    def test_ten_thousand_rows_at_once(self, index: VectorIndex, reference: ReferenceIndex) -> None:
        self.write(index, reference, self.rows(1, np.random.default_rng(5).permutation(10_000) + 1))
        assert index.count() == 10_000
        self.search_and_check(index, reference, 10)
        self.search_and_check(index, reference, 10, query_count=130)

    def test_anything_in_any_order(self, make_index: IndexFactory, tmp_path: Path) -> None:
        """Random operations on index and reference: tenants are separate, deletions final, flushed rows restored."""
        for seed in range(self.histories):
            self._check_history(make_index, tmp_path / f"index{seed}", np.random.default_rng(seed))

    def _check_history(self, make_index: IndexFactory, folder: Path, rng: np.random.Generator) -> None:
        reference, index = ReferenceIndex(self.spec), make_index(self.spec, folder)
        for step in range(60):
            action = rng.choice(list(ACTIONS), p=list(ACTIONS.values()))
            ids = rng.choice(400, int(rng.integers(1, 120)), replace=False) + 1
            tenant = None if rng.random() < 0.3 else int(rng.integers(1, 5))
            if action == "upsert":
                self.write(index, reference, self.rows(step, ids, rng.integers(1, 5, len(ids))))
            elif action == "delete":
                index.delete(ids[:40])
                reference.delete(ids[:40])
            elif action == "reopen":
                index.flush(step)
                index.close()
                index = make_index(self.spec, folder)
                assert index.sequence == step
            elif action == "clear":
                index.clear()
                reference.rows.clear()
                assert index.sequence == 0
            self.search_and_check(index, reference, int(rng.integers(1, 30)), query_count=5, tenant=tenant, seed=step)
            if action == "filter":
                self.search_and_check(index, reference, 7, query_count=5, tenant=tenant, ids=ids.tolist())
            assert index.count(tenant) == reference.count(tenant)
        index.close()
