"""Keeping: what was flushed comes back, what cannot be trusted is refused."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lookalike.errors import Damaged, FeatureMismatch
from lookalike.interfaces import VectorIndex
from tests.index_contract.base import Contract, MakeIndex
from tests.index_contract.truth import Model


class Keeping(Contract):
    """What was flushed comes back, what cannot be trusted is refused."""

    snapshots: ClassVar[bool] = True
    """Whether the index keeps files in its folder; False for one that lives on a server."""

    def test_flushed_rows_come_back(self, make_index: MakeIndex, tmp_path: Path, model: Model) -> None:
        folder = tmp_path / "index"
        index = make_index(self.spec, folder)
        assert index.sequence == 0
        for sequence in range(1, 8):
            ids = np.random.default_rng(sequence).choice(self.size, self.size // 3, replace=False) + 1
            self.write(index, model, self.rows(sequence, ids, ids % 3))
            index.delete(ids[:100])
            model.delete(ids[:100])
            index.flush(sequence)
            assert index.sequence == sequence
            index.close()
            index = make_index(self.spec, folder)
            assert (index.sequence, index.count(), index.spec) == (sequence, model.count(), self.spec)
            self.ask(index, model, 10)
            self.ask(index, model, 10, tenant=2)
        index.close()

    def test_without_a_flush_the_sequence_stays_and_replaying_mends(
        self, make_index: MakeIndex, tmp_path: Path, model: Model
    ) -> None:
        index = make_index(self.spec, tmp_path / "index")
        self.write(index, model, self.rows(1, range(1, 101)))
        index.flush(5)
        later = self.rows(2, range(50, 151))
        for _ in range(2):  # written, lost or not, and written again
            index.upsert(later)
            index.delete(np.arange(1, 11))
            assert index.sequence == 5
            index.close()
            index = make_index(self.spec, tmp_path / "index")
            assert index.sequence == 5
        index.upsert(later)
        index.delete(np.arange(1, 11))
        model.upsert(later)
        model.delete(range(1, 11))
        self.ask(index, model, 10)
        assert index.count() == model.count()
        index.close()

    def test_clear_is_durable(self, make_index: MakeIndex, tmp_path: Path, model: Model) -> None:
        index = make_index(self.spec, tmp_path / "index")
        self.write(index, model, self.rows(1, range(1, 101)))
        index.flush(9)
        index.clear()
        model.rows.clear()
        assert (index.sequence, index.count()) == (0, 0)
        self.ask(index, model, 3)
        index.close()
        index = make_index(self.spec, tmp_path / "index")
        assert (index.sequence, index.count()) == (0, 0)
        self.write(index, model, self.rows(2, range(1, 11)))
        self.ask(index, model, 3)
        index.close()

    def test_closing_twice_is_harmless(self, index: VectorIndex) -> None:
        index.upsert(self.rows(1, range(1, 5)))
        index.close()
        index.close()

    def test_an_index_of_another_encoder_is_refused(self, make_index: MakeIndex, tmp_path: Path) -> None:
        index = make_index(self.spec, tmp_path / "index")
        index.upsert(self.rows(1, range(1, 5)))
        index.flush(1)
        index.close()
        with pytest.raises(FeatureMismatch) as caught:
            make_index(replace(self.spec, fingerprint="another"), tmp_path / "index")
        assert self.spec.fingerprint in str(caught.value)
        assert "another" in str(caught.value)

    def test_damage_is_named(self, make_index: MakeIndex, tmp_path: Path) -> None:
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
            whole = path.read_bytes()
            for data in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 4]), b""):
                path.write_bytes(data)
                with pytest.raises(Damaged, match=path.name):
                    make_index(self.spec, folder)
            path.write_bytes(whole)
        index = make_index(self.spec, folder)
        assert index.count() == self.size - 1
        index.close()
