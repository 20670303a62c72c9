"""`lookalike evaluate`: its lines, its table, its errors, and an interruption."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.command import PROGRAM, lookalike
from tests.support.drawn_images import drawn, encoded
from tests.support.waiting import HANG_SECONDS

PIPE_BYTES = 4096
"""The least that a pipe holds, where the system lets us choose."""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of six images, which no test changes."""
    folder = tmp_path_factory.mktemp("evaluated") / "images"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.png").write_bytes(encoded(drawn(n, (160, 120))))
    path = folder.parent / "gallery"
    assert lookalike("init", "-g", path, "--pipelines", "phash").code == 0
    assert lookalike("add", "-g", path, folder).code == 0
    return path


def test_lines_for_programs(gallery: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    ran = lookalike("evaluate", "-g", gallery, "--queries", 3, "--edits", "jpeg40,mirror", "--html", report, "--json")
    assert ran.code == 0
    queries = [line for line in ran.lines if line["type"] == "query" and line["sample"] == "random"]
    summaries = [line for line in ran.lines if line["type"] == "summary"]
    assert {line["search"] for line in queries} == {"verified", "phash"}
    assert {(line["edit"], line["rank"]) for line in queries} == {("jpeg40", 1), ("mirror", 1)}
    assert len({line["image"] for line in queries}) == 3
    verified = [line for line in summaries if (line["search"], line["sample"]) == ("verified", "random")]
    assert [line["edit"] for line in verified] == [None, "jpeg40", "mirror"]
    assert summaries[0]["recall"]["1"]["value"] == 1
    assert report.read_text().startswith("<!doctype html>")


def test_a_table_for_people(gallery: Path) -> None:
    ran = lookalike("evaluate", "-g", gallery, "--queries", 2, "--edits", "jpeg40")
    assert ran.code == 0
    assert "2 edited copies of 2 images" in ran.text
    assert "compressed (JPEG quality 40)" in ran.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--edits", "jpeg40,nonsense"], "Unknown edit 'nonsense'"),
        (["--queries", "0"], "--queries must be at least 1"),
        (["--pipeline", "nonsense"], "the gallery has no pipeline 'nonsense'"),
        (["--groups", "/no/such/file"], "cannot read the groups"),
        (["--html", "/no/such/folder/report.html"], "cannot write"),
    ],
)
def test_errors_name_the_option(gallery: Path, arguments: list[str], words: str) -> None:
    ran = lookalike("evaluate", "-g", gallery, *arguments)
    assert ran.code == 2
    assert words in ran.err


def test_groups_that_are_no_groups_are_named_by_line(gallery: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.tsv"
    groups.write_text("0.png\ta\n1.png\n")
    ran = lookalike("evaluate", "-g", gallery, "--groups", groups)
    assert (ran.code, "line 2" in ran.err) == (2, True)


def test_an_empty_gallery_has_nothing_to_evaluate(tmp_path: Path) -> None:
    assert lookalike("init", "-g", tmp_path / "g", "--pipelines", "phash").code == 0
    ran = lookalike("evaluate", "-g", tmp_path / "g")
    assert (ran.code, "no image to evaluate with" in ran.err) == (4, True)


def test_an_interruption_prints_what_was_measured(gallery: Path) -> None:
    """It prints more than a pipe holds, so that it is not done while nobody reads."""
    options = ["--queries", "6", "--edits", "jpeg40,noise,crop_50,mirror", "--json"]
    arguments = [*PROGRAM, "evaluate", "-g", str(gallery), *options]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pipesize=PIPE_BYTES)
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest = [json.loads(line) for line in process.stdout]
        assert process.wait(HANG_SECONDS) == 130
    finally:
        process.kill()
        process.wait()
    assert first["type"] == "query"
    summaries = [line for line in rest if line["type"] == "summary" and line["edit"] is None]
    measured = {(line["search"], line["sample"]): line["images"] for line in summaries}
    assert 1 <= measured["verified", "random"] <= 6
