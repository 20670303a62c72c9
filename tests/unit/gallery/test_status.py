"""Status without opening indexes and networks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lookalike
from lookalike import results
from lookalike.samples import sample_paths

ROWS = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add([str(path) for path in sample_paths()[:ROWS]])
        gallery.add(np.zeros((64, 64, 3), np.uint8), key="flat")
    return tmp_path / "gallery"


def closed_and_open(folder: Path) -> tuple[results.Status, results.Status]:
    with lookalike.open(folder) as gallery:
        closed = gallery.status()
        assert not gallery._pipelines.now_open()
        gallery.search(sample_paths()[0])
        return closed, gallery.status()


def test_the_state_of_a_closed_pipeline_is_that_of_the_open_one(folder: Path) -> None:
    """Before anything was saved, after a repair, after further changes, and with a catalog that is behind the index."""
    closed, opened = closed_and_open(folder)
    assert closed == opened
    assert (closed.pipelines[0].rows, closed.pipelines[0].saved_at) == (ROWS, 0)
    with lookalike.open(folder) as gallery:
        gallery.repair()
    closed, opened = closed_and_open(folder)
    assert closed == opened
    assert (closed.pipelines[0].behind, closed.pipelines[0].saved_at) == (0, closed.sequence)
    with lookalike.open(folder) as gallery:
        gallery.remove([sample_paths()[0].name])
    closed, opened = closed_and_open(folder)
    assert closed == opened
    assert (closed.pipelines[0].rows, closed.pipelines[0].behind) == (ROWS - 1, 1)


def test_a_damaged_index_is_opened_to_say_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with lookalike.open(folder) as gallery:
        gallery.repair()
    [manifest] = folder.glob("indexes/*/*/manifest.json")
    manifest.write_text("{}")
    with lookalike.open(folder) as gallery:
        assert gallery.status().pipelines[0].rows == ROWS
    assert "rebuilt from the catalog" in caplog.text


def test_status_compiles_no_network(tmp_path: Path) -> None:
    code = f"""
import sys
import lookalike
with lookalike.open({str(tmp_path / "gallery")!r}, pipelines=["vgg16-copy"], create=True) as gallery:
    [pipeline] = gallery.status().pipelines
assert (pipeline.error, pipeline.rows) == (None, 0), pipeline
assert gallery._pipelines.now_open() == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
