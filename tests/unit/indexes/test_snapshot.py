"""Snapshots are atomic, whatever happens to the process, and damage to their files is detected."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import Damaged, FeatureMismatch, Unavailable
from lookalike.indexes import snapshot
from lookalike.types import FeatureSpec
from tests.support.waiting import HANG_SECONDS

SPEC = FeatureSpec("test", "cosine", 4, "v1")
ARRAYS = {"ids": np.arange(5), "rows": np.ones((5, 4), np.float32), "none": np.zeros((0, 4), np.float32)}


def write_note(path: Path) -> None:
    path.write_text("a note")


def save(folder: Path, sequence: int = 1) -> None:
    snapshot.save(folder, SPEC, sequence, ARRAYS, files={"note.txt": write_note}, extra={"level": 3})


def load(folder: Path, *, mmap: bool = True) -> snapshot.LoadedSnapshot | None:
    return snapshot.load(folder, SPEC, files={"note.txt": Path.read_text}, mmap=mmap)


@pytest.mark.parametrize("mmap", [True, False])
def test_load_returns_what_was_saved(tmp_path: Path, mmap: bool) -> None:
    save(tmp_path / "new" / "index", 7)
    loaded = load(tmp_path / "new" / "index", mmap=mmap)
    assert loaded is not None
    assert (loaded.sequence, loaded.extra, loaded.files) == (7, {"level": 3}, {"note.txt": "a note"})
    assert loaded.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded.arrays[name], array, strict=True)
        assert not loaded.arrays[name].flags.writeable


def test_load_without_a_snapshot(tmp_path: Path) -> None:
    assert load(tmp_path / "absent") is None
    assert load(tmp_path) is None
    snapshot.wipe(tmp_path / "absent")
    save(tmp_path)
    snapshot.wipe(tmp_path)
    assert load(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_mapped_array_survives_the_next_save(tmp_path: Path) -> None:
    save(tmp_path)
    loaded = load(tmp_path)
    first = (tmp_path / snapshot.CURRENT).read_text()
    snapshot.save(tmp_path, SPEC, 2, {"rows": np.zeros((5, 4), np.float32)})
    assert (tmp_path / snapshot.CURRENT).read_text() != first
    assert loaded is not None
    np.testing.assert_array_equal(loaded.arrays["rows"], ARRAYS["rows"])
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_unchanged_files_are_linked(tmp_path: Path) -> None:
    save(tmp_path)
    before = next(tmp_path.glob("snapshot-*/rows.npy")).stat().st_ino
    snapshot.save(tmp_path, SPEC, 2, {"ids": np.arange(3)}, keep=("rows", "note.txt"))
    loaded = load(tmp_path)
    assert loaded is not None
    assert loaded.files == {"note.txt": "a note"}
    np.testing.assert_array_equal(loaded.arrays["rows"], ARRAYS["rows"])
    assert next(tmp_path.glob("snapshot-*/rows.npy")).stat().st_ino == before
    with pytest.raises(Damaged, match="no graph to link"):
        snapshot.save(tmp_path, SPEC, 3, {}, keep=("graph",))
    assert load(tmp_path) is not None


@pytest.mark.parametrize(
    "other",
    [
        FeatureSpec("test", "cosine", 4, "v2"),
        FeatureSpec("test", "cosine", 5, "v1"),
        FeatureSpec("test", "hamming", 4, "v1"),
        FeatureSpec("text", "cosine", 4, "v1"),
    ],
)
def test_other_features_are_refused(tmp_path: Path, other: FeatureSpec) -> None:
    save(tmp_path)
    with pytest.raises(FeatureMismatch, match=r"instead of .*lookalike repair"):
        snapshot.load(tmp_path, other)


def stored_files(folder: Path) -> Iterator[Path]:
    yield folder / "CURRENT"
    yield from sorted(next(folder.glob("snapshot-*")).iterdir())


@pytest.mark.parametrize("harm", ["flip first", "flip middle", "flip last", "truncate", "empty", "append", "remove"])
def test_damage_to_any_file_is_reported(tmp_path: Path, harm: str) -> None:
    save(tmp_path)
    for path in stored_files(tmp_path):
        whole = path.read_bytes()
        data = bytearray(whole)
        at = {"flip first": 0, "flip middle": len(data) // 2, "flip last": len(data) - 1}.get(harm)
        if at is not None:
            data[at] ^= 1
        elif harm == "append":
            data += b"\0"
        else:
            del data[0 if harm == "empty" else len(data) // 2 :]
        path.unlink()
        if harm != "remove":
            path.write_bytes(data)
        if harm == "remove" and path.name == "CURRENT":
            assert load(tmp_path) is None  # nothing saved, as far as anyone can tell
        else:
            with pytest.raises(Damaged, match=r"(CURRENT|snapshot-).*lookalike repair"):
                load(tmp_path)
        path.write_bytes(whole)
        assert load(tmp_path) is not None
    (tmp_path / "CURRENT").write_bytes(b"rubbish")
    save(tmp_path, 2)  # a damaged one is replaced
    assert load(tmp_path) is not None


def test_stale_snapshots_are_removed_by_the_next_save(tmp_path: Path) -> None:
    (tmp_path / "snapshot-0123456789abcdef").mkdir()
    (tmp_path / "snapshot-0123456789abcdef" / "half.npy").write_bytes(b"half")
    (tmp_path / "CURRENT.new").write_bytes(b"half")
    (tmp_path / "mine.txt").write_bytes(b"not ours")
    assert load(tmp_path) is None
    save(tmp_path)
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["CURRENT", "mine.txt", "snapshot"]


def test_a_failed_save_keeps_the_old_snapshot(tmp_path: Path) -> None:
    save(tmp_path)

    def refuse(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match="No space left"):
        snapshot.save(tmp_path, SPEC, 2, ARRAYS, files={"note.txt": refuse})
    loaded = load(tmp_path)
    assert loaded is not None
    assert loaded.sequence == 1


SAVER = """
import sys
from pathlib import Path
import numpy as np
from lookalike.indexes import snapshot
from lookalike.types import FeatureSpec
spec = FeatureSpec("test", "cosine", 4, "v1")
sequence = int(sys.argv[2])
print("ready", flush=True)
while True:
    sequence += 1
    rows = np.full((20000, 4), sequence, np.float32)
    snapshot.save(Path(sys.argv[1]), spec, sequence, {"rows": rows, "ids": np.full(100, sequence)})
    print(sequence, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_a_kill_leaves_the_old_or_the_new_snapshot(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    sequence = 0
    for turn in range(25):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path), str(sequence)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        lines = [child.stdout.readline()] if turn % 5 == 4 else []  # now and then after a first one
        time.sleep(float(rng.uniform(0, 0.06)))  # anywhere within the first saves
        os.kill(child.pid, signal.SIGKILL)
        lines += child.communicate()[0].splitlines()
        acknowledged = int(lines[-1]) if lines else sequence
        loaded = snapshot.load(tmp_path, SPEC)
        sequence = loaded.sequence if loaded else 0
        assert sequence in (acknowledged, acknowledged + 1)
        if loaded:
            assert set(np.unique(loaded.arrays["rows"])) == {sequence}
            assert set(np.unique(loaded.arrays["ids"])) == {sequence}
    assert sequence > 0


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_a_reader_beside_a_saving_process_never_sees_damage(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path), "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        seen: set[int] = set()
        until = time.monotonic() + HANG_SECONDS
        while len(seen) < 10 and time.monotonic() < until:
            loaded = snapshot.load(tmp_path, SPEC)
            if loaded:
                assert set(np.unique(loaded.arrays["rows"])) == {loaded.sequence}
                seen.add(loaded.sequence)
    finally:
        child.kill()
        child.communicate()
    assert len(seen) == 10
