"""Persistence: flushed rows are restored, and unusable files are refused."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lookalike.errors import Damaged, FeatureMismatch
from lookalike.interfaces import VectorIndex
from tests.index_contract.base import ContractTests, IndexFactory
from tests.index_contract.reference import ReferenceIndex


class PersistenceTests(ContractTests):
    """Flushed rows are restored, and unusable files are refused."""

    snapshots: ClassVar[bool] = True
    """Whether the index keeps files in its folder; False for an index on a server."""

    def test_flushed_rows_are_restored(
        self, make_index: IndexFactory, tmp_path: Path, reference: ReferenceIndex
    ) -> None:
        folder = tmp_path / "index"
        index = make_index(self.spec, folder)
        assert index.sequence == 0
        for sequence in range(1, 8):
            ids = np.random.default_rng(sequence).choice(self.size, self.size // 3, replace=False) + 1
            self.write(index, reference, self.rows(sequence, ids, ids % 3))
            index.delete(ids[:100])
            reference.delete(ids[:100])
            index.flush(sequence)
            assert index.sequence == sequence
            index.close()
            index = make_index(self.spec, folder)
            assert (index.sequence, index.count(), index.spec) == (sequence, reference.count(), self.spec)
            self.search_and_check(index, reference, 10)
            self.search_and_check(index, reference, 10, tenant=2)
        index.close()

    def test_replay_after_unflushed_writes(
        self, make_index: IndexFactory, tmp_path: Path, reference: ReferenceIndex
    ) -> None:
        index = make_index(self.spec, tmp_path / "index")
        self.write(index, reference, self.rows(1, range(1, 101)))
        index.flush(5)
        later = self.rows(2, range(50, 151))
        for _ in range(2):  # unflushed writes may or may not survive; replaying them is idempotent
            index.upsert(later)
            index.delete(np.arange(1, 11))
            assert index.sequence == 5
            index.close()
            index = make_index(self.spec, tmp_path / "index")
            assert index.sequence == 5
        index.upsert(later)
        index.delete(np.arange(1, 11))
        reference.upsert(later)
        reference.delete(range(1, 11))
        self.search_and_check(index, reference, 10)
        assert index.count() == reference.count()
        index.close()

    def test_clear_is_durable(self, make_index: IndexFactory, tmp_path: Path, reference: ReferenceIndex) -> None:
        index = make_index(self.spec, tmp_path / "index")
        self.write(index, reference, self.rows(1, range(1, 101)))
        index.flush(9)
        index.clear()
        reference.rows.clear()
        assert (index.sequence, index.count()) == (0, 0)
        self.search_and_check(index, reference, 3)
        index.close()
        index = make_index(self.spec, tmp_path / "index")
        assert (index.sequence, index.count()) == (0, 0)
        self.write(index, reference, self.rows(2, range(1, 11)))
        self.search_and_check(index, reference, 3)
        index.close()

    def test_closing_twice_is_harmless(self, index: VectorIndex) -> None:
        index.upsert(self.rows(1, range(1, 5)))
        index.close()
        index.close()

    def test_features_of_another_encoder_are_refused(self, make_index: IndexFactory, tmp_path: Path) -> None:
        index = make_index(self.spec, tmp_path / "index")
        index.upsert(self.rows(1, range(1, 5)))
        index.flush(1)
        index.close()
        with pytest.raises(FeatureMismatch) as caught:
            make_index(replace(self.spec, fingerprint="another"), tmp_path / "index")
        assert self.spec.fingerprint in str(caught.value)
        assert "another" in str(caught.value)

    def test_damaged_files_are_reported(self, make_index: IndexFactory, tmp_path: Path) -> None:
        if not self.snapshots:
            return
        folder = tmp_path / "index"
        index = make_index(self.spec, folder)
        index.upsert(self.rows(1, range(1, self.size)))
        index.flush(1)
        index.close()
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        assert files
        for path in files:
            content = path.read_bytes()
            for data in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 4]), b""):
                path.write_bytes(data)
                with pytest.raises(Damaged, match=path.name):
                    make_index(self.spec, folder)
            path.write_bytes(content)
        index = make_index(self.spec, folder)
        assert index.count() == self.size - 1
        index.close()
