"""Arguments are checked before a gallery is opened; what commands print can be used as it stands."""

import csv
import io
from pathlib import Path

import pytest
from rich.table import Table

from lookalike.cli.output import print_unwrapped
from tests.support.command import lookalike, program
from tests.support.drawn_images import drawn

LONG = "a folder with a long name/" * 6


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    path = tmp_path / "gallery"
    assert lookalike("init", "--pipelines", "phash", "-g", path).code == 0
    folder = tmp_path / "photos"
    for number in range(4):
        file = folder / ("trip" if number < 2 else LONG) / f"{number}, a.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn(number, (90, 60)).save(file)
    assert lookalike("add", folder, "-g", path, "--attr", "year=2020").code == 0
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "x.jpg", "-k", "0"),
        ("search", "x.jpg", "--page", "0"),
        ("search", "x.jpg", "--threshold", "1.5"),
        ("search", "x.jpg", "--filter", "year"),
        ("search", "x.jpg", "-o", "yaml"),
        ("search",),
        ("ls", "--limit", "-1"),
        ("ls", "-o", "xml"),
        ("compare", "x.jpg"),
        ("compare", "x.jpg", "y.jpg", "--key", "z"),
        ("rm",),
        ("rm", "--prefix", ""),
        ("rm", "a.jpg", "--prefix", "a"),
    ],
)
def test_arguments_are_checked_before_the_gallery_is_opened(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """There is no gallery: opening it would end with another exit code."""
    ran = lookalike(*arguments, "-g", tmp_path / "nothing")
    assert ran.code == 2, ran.err


@pytest.mark.parametrize("command", [(), ("search",), ("keys",), ("keys", "create"), ("models", "list")])
def test_help_has_a_short_name_and_no_type(command: tuple[str, ...]) -> None:
    short, long = lookalike(*command, "-h"), lookalike(*command, "--help")
    assert short.code == long.code == 0
    assert short.out == long.out
    assert "bool" not in short.text


def test_images_are_removed_by_prefix_and_filter(gallery: Path) -> None:
    assert lookalike("rm", "--prefix", "trip/", "--filter", "year<2020", "-g", gallery).text == "0 removed\n"
    assert lookalike("rm", "--prefix", "trip/", "--filter", "year=2020", "-g", gallery).text == "2 removed\n"
    assert {line["key"] for line in lookalike("ls", "-g", gallery, "--json").lines} == {
        f"{LONG}{number}, a.png" for number in (2, 3)
    }
    assert [line["outcome"] for line in lookalike("rm", "--where", "year=2020", "-g", gallery, "--json").lines] == [
        "removed"
    ] * 2


def test_images_of_the_gallery_are_compared_by_key(gallery: Path, tmp_path: Path) -> None:
    file, key = tmp_path / "photos" / "trip" / "0, a.png", "trip/0, a.png"
    for arguments in ((file, "--key", key), ("--key", key, "--key", key)):
        answer = lookalike("compare", *arguments, "-g", gallery, "--json").line
        assert (answer["b"], answer["same_bytes"], answer["evidence"]) == (key, True, "exact")
    missing = lookalike("compare", file, "--key", "nothing", "-g", gallery)
    assert missing.code == 4


def test_csv_has_every_row_and_a_header(gallery: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(lookalike("ls", "-g", gallery, "-o", "csv").text)))
    assert [row["key"] for row in rows] == [line["key"] for line in lookalike("ls", "-g", gallery, "--json").lines]
    assert all(Path(row["path"]).is_file() for row in rows)
    query = tmp_path / "photos" / "trip" / "0, a.png"
    found = list(csv.DictReader(io.StringIO(lookalike("search", query, "-g", gallery, "-o", "csv").text)))
    lines = lookalike("search", query, "-g", gallery, "-o", "json").line["hits"]
    assert [(row["query"], row["key"], float(row["distance"])) for row in found] == [
        (str(query), hit["key"], hit["distance"]) for hit in lines
    ]


def test_a_path_is_never_broken(gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    query = tmp_path / "photos" / LONG / "2, a.png"
    key = f"{LONG}2, a.png"
    for command in (("search", str(query), "--no-preview"), ("show", key, "--no-preview")):
        text = program(*command, "-g", gallery).text
        assert str(query) in text
        assert key in text


def test_lines_end_without_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("a", "path", box=None)
    for number in (1, 60):
        table.add_row("x", "p" * number)
    print_unwrapped(table)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert len(lines) == 3
