"""`lookalike try`, as `make try` runs it: with both generations on the sample, and with one's own photos."""

from pathlib import Path

import pytest

from lookalike.cli.commands import try_it
from lookalike.cli.commands.try_it import SHOWN_EDITS
from lookalike.evaluation.edits import EDITS
from tests.support.command import lookalike
from tests.support.drawn_images import drawn

CHOSEN = 3
"""Images of which copies are made: fewer than a person sees, for a network looks at ten copies of each, twice."""


def test_the_sample_is_found_by_both_generations(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOOKALIKE_CACHE", str(cache))
    monkeypatch.setattr(try_it, "MAX_ORIGINALS", CHOSEN)
    ran = lookalike("try")
    assert ran.code == 0, ran.err
    together = {
        what: int(line.removeprefix(what).split()[0])
        for what in (EDITS[edit].what for edit in SHOWN_EDITS)
        for line in ran.text.splitlines()
        if line.startswith(what) and f" of {CHOSEN}" in line
    }
    assert set(together) == {EDITS[edit].what for edit in SHOWN_EDITS}
    assert min(together.values()) >= CHOSEN - 1, together
    sheet = (tmp_path / "try" / "contact-sheet.html").read_text()
    assert sheet.count("data:image/jpeg") > CHOSEN * len(SHOWN_EDITS)


def test_own_photos_go_to_the_users_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOOKALIKE_GALLERY", str(tmp_path / "mine"))
    (tmp_path / "photos").mkdir()
    for n in range(5):
        drawn(n, (320, 240)).save(tmp_path / "photos" / f"{n}.jpg", quality=90)
    assert lookalike("init", "--pipelines", "phash").code == 0
    ran = lookalike("try", tmp_path / "photos")
    assert ran.code == 0, ran.err
    assert "5 of 5" in ran.text
    copy = next((tmp_path / "try" / "copies").glob("3-jpeg15.*"))
    hits = lookalike("search", "--json", copy).line["hits"]
    assert (hits[0]["key"], hits[0]["evidence"]) == ("3.jpg", "copy")


def test_an_empty_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOOKALIKE_GALLERY", str(tmp_path / "mine"))
    (tmp_path / "photos").mkdir()
    assert lookalike("init", "--pipelines", "phash").code == 0
    ran = lookalike("try", tmp_path / "photos")
    assert ran.code == 4
    assert "No image to search for" in ran.text
