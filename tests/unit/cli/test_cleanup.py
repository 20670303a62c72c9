"""`duplicates` as a clean-up: dry runs, doing it, undoing it, in every format of output."""

import csv
import io
import os
from pathlib import Path

import pytest

from lookalike.cli.options import parse_size
from lookalike.errors import BadSetting
from tests.support.cleanup_files import make_photos, own_trash, tree
from tests.support.command import Ran, lookalike
from tests.support.served import served


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve photos, see `make_photos`; one has a name that tables and CSV could break."""
    own_trash(tmp_path / "home", monkeypatch)
    photos = make_photos(tmp_path / "photos")
    (photos / "0 low.jpg").rename(photos / f'a "name", with {"long " * 30}\n and more.jpg')
    return photos


@pytest.fixture
def gallery(tmp_path: Path, folder: Path) -> Path:
    path = tmp_path / "gallery"
    assert lookalike("init", "--pipelines", "phash", "-g", path).code == 0
    assert lookalike("add", folder, "-g", path).code == 0
    return path


def rows(ran: Ran) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ran.text, newline="")))


def test_a_dry_run_in_every_format(gallery: Path, folder: Path) -> None:
    before = tree(folder)
    table = lookalike("duplicates", "-g", gallery)
    listed = lookalike("duplicates", "-g", gallery, "-o", "csv")
    lines = lookalike("duplicates", "-g", gallery, "--json").lines
    assert lines == lookalike("duplicates", "-g", gallery, "-o", "json").lines
    assert tree(folder) == before
    assert {ran.code for ran in (table, listed)} == {0}
    images = [image for line in lines for image in line["images"]]
    assert {row["path"]: row["mark"] for row in rows(listed)} == {image["path"]: image["mark"] for image in images}
    assert {row["path"] for row in rows(listed)} == {str(folder / name) for name in before}
    assert all(row["reason"] for row in rows(listed))
    freed = sum(image["frees"] for image in images)
    assert sum(int(row["frees"]) for row in rows(listed)) == freed
    for image in images:  # each path is the whole end of its line
        path = image["path"].replace("\n", "\\n")
        [line] = [line for line in table.text.splitlines() if line.endswith(f":  {path}")]
        assert line.split()[0] == image["mark"]
    assert "9 files" in table.text
    assert "would be moved to the trash" in table.text
    assert "Nothing was changed" in table.text


def test_doing_and_undoing_it(gallery: Path, folder: Path) -> None:
    before = tree(folder)
    done = lookalike("duplicates", "--yes", "-g", gallery)
    assert done.code == 0
    assert "9 files" in done.text
    assert "moved to the trash, 0 failed" in done.text
    assert len(tree(folder)) == len(lookalike("ls", "-g", gallery, "--json").lines) == 3
    command = done.text.splitlines()[-1].partition("lookalike ")[2].split()
    undone = lookalike(*command, "-g", gallery)
    assert (undone.code, tree(folder)) == (0, before)
    assert "9 restored" in undone.text
    nothing = lookalike("duplicates", "--undo", "-g", gallery)
    assert nothing.code == 4
    assert "no clean-up to undo" in nothing.err


@pytest.mark.parametrize("to", ["trash", "hardlink", "delete", "folder"])
def test_outcomes_for_programs(gallery: Path, folder: Path, tmp_path: Path, to: str) -> None:
    target = str(tmp_path / "moved here") if to == "folder" else to
    arguments = ("duplicates", "--exact-only", "--to", target, "-g", gallery)
    planned = {i["path"] for line in lookalike(*arguments, "--json").lines for i in line["images"] if i["frees"]}
    (folder / "card" / "1.jpg").chmod(0o644)
    done = lookalike(*arguments, "--yes", "--json")
    assert done.code == 0
    assert {line["path"] for line in done.lines} == planned
    assert {line["outcome"] for line in done.lines} == {"replaced" if to == "hardlink" else "removed"}
    moved = [line["destination"] for line in done.lines]
    assert all(Path(path).exists() for path in moved) if to == "folder" else moved == [None] * 3
    undone = lookalike("duplicates", "--undo", "-o", "csv", "-g", gallery)
    assert {row["path"]: row["outcome"] for row in rows(undone)} == dict.fromkeys(planned, "restored")
    again = lookalike(*arguments, "--yes", "-o", "csv")
    assert {row["path"] for row in rows(again)} == planned


def test_an_interrupted_run_can_be_undone(gallery: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(folder)
    seen: list[object] = []

    def interrupt(outcome: object, *_: object) -> None:
        seen.append(outcome)
        if len(seen) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("lookalike.cli.cleanup_output._print_outcome", interrupt)
    ran = lookalike("duplicates", "--yes", "-g", gallery)
    assert ran.code == 130
    assert "undo what was done" in ran.err
    assert len(tree(folder)) == len(lookalike("ls", "-g", gallery, "--json").lines) == 12 - 4
    assert lookalike("duplicates", "--undo", "-g", gallery).code == 0
    assert tree(folder) == before


def test_failures_are_named_and_counted(gallery: Path, folder: Path) -> None:
    (folder / "card" / "0.jpg").write_bytes(b"x" * (folder / "card" / "0.jpg").stat().st_size)
    (folder / "card" / "1.jpg").chmod(0o444)
    done = lookalike("duplicates", "--exact-only", "--yes", "-g", gallery)
    assert done.code == 1
    assert "1 failed" in done.text
    assert "1 left alone: read-only" in done.text
    assert "has changed since it was added" in done.err
    assert str(folder / "card" / "0.jpg") in done.err


def test_options_reach_the_plan(gallery: Path, folder: Path) -> None:
    def removed(*arguments: object) -> set[str]:
        lines = lookalike("duplicates", *arguments, "-g", gallery, "--json").lines
        return {i["key"] for line in lines for i in line["images"] if i["mark"] == "remove"}

    cards = {f"card/{n}.jpg" for n in range(3)}
    originals = {f"{n}.jpg" for n in range(3)}
    assert removed("--keep", f"folder={folder / 'card'}", "--exact-only") == originals
    assert removed("--reference", folder / "card") & (cards | originals) == originals
    assert removed("--across-folders", "--keep", "pixels,quality") == cards
    assert removed("--keep", "format=png") == set(tree(folder)) - {f"{n} small.png" for n in range(3)}
    assert removed("--min-size", "1MB") == set()
    assert removed("--filter", "album=Alps") == set()
    assert removed("--max-distance", "1", "--exact-only") == cards


def test_command_lines_that_cannot_be(gallery: Path, folder: Path) -> None:
    before = tree(folder)
    for wrong, word in (
        (("--keep", "best"), "unknown rule"),
        (("--to", "bin"), "unknown action"),
        (("--reference", folder / "nowhere"), "no such folder"),
        (("--min-size", "big"), "--min-size"),
        (("--max-distance", "3"), "0 to 1"),
        (("-o", "xml"), "--output"),
        (("--run", "x"), "--undo"),
        (("--filter", "album"), "cannot parse"),
    ):
        ran = lookalike("duplicates", "--yes", *wrong, "-g", gallery)
        assert ran.code in (2, 4), wrong
        assert word in ran.err
    assert tree(folder) == before


def test_a_server_lists_and_leaves_files_alone(tmp_path: Path, gallery: Path, folder: Path) -> None:
    before = tree(folder)
    with served(gallery) as (url, serving):
        assert "3 clusters" in lookalike("duplicates", "--server", url).text
        for arguments in (("--yes",), ("--undo",), ("--to", "delete"), ("--exact-only",), ("-o", "csv")):
            ran = lookalike("duplicates", *arguments, "--server", url)
            assert ran.code == 2
            assert "without --server" in ran.err
        serving.remove([])  # a server that writes has the gallery's lock
        busy = lookalike("duplicates", "--yes", "-g", gallery)
        assert (busy.code, tree(folder)) == (3, before)
        assert "is writing to the gallery" in busy.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("17", 17), ("100kB", 100_000), ("1.5 MB", 1_500_000), ("2GiB", 2**31), ("3k", 3000), ("4b", 4)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text, "--min-size") == expected


@pytest.mark.parametrize("text", ["", "B", "-1", "1 XB", "1e3", "kB", "1 MBB"])
def test_sizes_that_cannot_be(text: str) -> None:
    with pytest.raises(BadSetting, match="--min-size"):
        parse_size(text, "--min-size")


def test_the_working_folder_is_no_default_target(gallery: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = tree(folder)
    assert lookalike("duplicates", "--yes", "--to", "", "-g", gallery).code == 2
    assert tree(folder) == before
    assert lookalike("duplicates", "--yes", "--exact-only", "--to", f".{os.sep}moved", "-g", gallery).code == 0
    assert len(tree(folder / "moved")) == 3
