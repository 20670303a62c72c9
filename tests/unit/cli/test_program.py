"""What only the real program shows: signals, pipes, names that are no text, asking one by one, what it loads."""

import gc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.cli.main import GARBAGE_THRESHOLD, _collect_less
from tests.support.command import PROGRAM, lookalike, program
from tests.support.drawn_images import drawn, encoded
from tests.support.waiting import HANG_SECONDS, wait_until


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    path = tmp_path / "gallery"
    assert lookalike("init", "--pipelines", "phash", "-g", path).code == 0
    return path


PIPE_BYTES = 4096
"""The least that a pipe holds, where the system lets us choose."""
MORE = 250
"""Images whose lines are more than such a pipe and our buffer hold: who prints them is not done while nobody reads."""


def folder_of(path: Path, n: int, *, distinct: int = 8) -> Path:
    """Many files with few images in them, each file with bytes of its own (a text after the image)."""
    path.mkdir()
    data = [encoded(drawn(seed, (64, 48)), "JPEG") for seed in range(distinct)]
    for i in range(n):
        (path / f"{i:05}.jpg").write_bytes(data[i % distinct] + str(i).encode())
    return path


def test_ctrl_c_keeps_what_was_reported(gallery: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", MORE)
    command = [*PROGRAM, "add", str(folder), "--json", "-g", str(gallery)]
    # a group of its own, and the signal to the whole group: as a terminal does
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, pipesize=PIPE_BYTES
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        first = child.stdout.readline()
        os.killpg(child.pid, signal.SIGINT)
        reported = [json.loads(line) for line in [first, *child.stdout] if line.endswith(b"\n")]
        said = child.stderr.read().decode()
        code = child.wait(HANG_SECONDS)
    assert code == 130
    assert "Run the same command again" in said
    assert "Traceback" not in said
    assert len(reported) < MORE
    kept = {line["key"] for line in program("ls", "--json", "-g", gallery).lines}
    assert {line["key"] for line in reported} <= kept
    again = program("add", folder, "--json", "-g", gallery)
    assert again.code == 0
    assert {line["key"] for line in again.lines if line["outcome"] == "unchanged"} == kept
    assert len(again.lines) == MORE


def test_a_closed_pipe_ends_quietly(gallery: Path, tmp_path: Path) -> None:
    assert lookalike("add", folder_of(tmp_path / "photos", 2 * MORE), "-g", gallery).code == 0
    with subprocess.Popen(
        [*PROGRAM, "ls", "-g", str(gallery)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, pipesize=PIPE_BYTES
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(HANG_SECONDS) == 141


def test_names_that_are_no_text(gallery: Path, tmp_path: Path) -> None:
    drawn(1).save(tmp_path / "good.png")
    assert lookalike("add", tmp_path / "good.png", "-g", gallery).code == 0
    folder = tmp_path / "photos"
    folder.mkdir()
    name = os.fsencode(folder) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes(encoded(drawn(1)))
    added = program("add", folder, "--json", "-g", gallery)
    assert added.code == 1
    assert added.line["outcome"] == "rejected"
    for found in (
        program("search", name, "--json", "-g", gallery),
        lookalike("search", folder, "--json", "-g", gallery),
        program("search", "-", "--json", "-g", gallery, stdin=name + b"\n"),
    ):
        assert found.code == 0
        assert os.fsencode(found.line["query"]) == name
        assert found.line["hits"][0]["key"] == "good.png"
    assert "caf\\udce9.png" in program("search", name, "-g", gallery).text


def test_one_may_ask_and_wait_for_the_answer(gallery: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        drawn(n).save(path)
    assert lookalike("add", *paths, "-g", gallery).code == 0
    command = [*PROGRAM, "search", "-", "--json", "-g", str(gallery)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for path in paths:
            child.stdin.write(f"{path}\n".encode())
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            assert (answer["query"], answer["hits"][0]["key"]) == (str(path), path.name)
        child.stdin.close()
        assert child.wait(HANG_SECONDS) == 0


def test_a_second_writer_is_told(gallery: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", MORE)
    command = [*PROGRAM, "add", str(folder), "--json", "-g", str(gallery)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pipesize=PIPE_BYTES) as first:
        assert first.stdout is not None
        first.stdout.readline()
        second = program("add", folder, "--json", "-g", gallery)
        assert second.code == 3
        assert str(first.pid) in second.err
        assert second.line["error"]["type"] == "urn:lookalike:error:gallery-busy"
        first.stdout.read()
        assert first.wait(HANG_SECONDS) == 0


def test_lines_come_as_soon_as_they_are_durable(gallery: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", MORE)
    command = [*PROGRAM, "add", str(folder), "--json", "-g", str(gallery)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pipesize=PIPE_BYTES) as child:
        assert child.stdout is not None
        reported = json.loads(child.stdout.readline())
        child.kill()
    shown = program("show", reported["key"], "--json", "-g", gallery)
    assert (shown.code, shown.line["key"]) == (0, reported["key"])


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["search", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from lookalike.cli import run
assert run({arguments!r}) == 0
heavy = {{"numpy", "sqlalchemy", "PIL", "openvino", "faiss", "psutil"}} & set(sys.modules)
sys.exit(f"loaded {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_listing_loads_what_it_needs(gallery: Path) -> None:
    code = f"""
import sys
from lookalike.cli import run
assert run(["ls", "-g", {str(gallery)!r}]) == 0
avoided = {{"openvino", "faiss", "pillow_heif", "pydantic", "numpy.ma", "sqlalchemy.dialects.postgresql"}}
heavy = avoided & set(sys.modules)
sys.exit(f"loaded {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_status_loads_no_network_runtime(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    assert program("init", "-g", gallery, "--pipelines", "phash,vgg16-copy").code == 0
    code = f"""
import sys
from lookalike.cli import run
assert run(["status", "-g", {str(gallery)!r}]) == 0
heavy = {{"openvino", "faiss", "cv2"}} & set(sys.modules)
sys.exit(f"loaded {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "vgg16-copy" in done.stdout


def test_a_command_that_goes_on_looks_for_garbage_as_usual() -> None:
    default = gc.get_threshold()
    try:
        _collect_less(0.05)
        assert gc.get_threshold()[0] == GARBAGE_THRESHOLD
        wait_until(lambda: gc.get_threshold() == default)
    finally:
        gc.set_threshold(*default)
