"""`pipelines list|add|backfill|compare|promote|drop`, for people and for programs."""

from pathlib import Path

import pytest

from tests.support.command import lookalike
from tests.support.drawn_images import drawn
from tests.support.toy_encoders import write_toy_models

NUMBER = 5


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKALIKE_MODELS", str(write_toy_models(tmp_path)))
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.DROP_SECONDS", 0.0)
    (tmp_path / "photos").mkdir()
    for seed in range(NUMBER):
        drawn(seed).save(tmp_path / "photos" / f"{seed}.png")
    folder = tmp_path / "gallery"
    assert lookalike("init", "--pipelines", "phash", "-g", folder).code == 0
    assert lookalike("add", tmp_path / "photos", "-g", folder).code == 0
    return folder


def test_from_added_to_dropped(gallery: Path, tmp_path: Path) -> None:
    added = lookalike("pipelines", "add", "toy", "-g", gallery)
    assert "5 images lack them: lookalike pipelines backfill toy" in added.text
    refused = lookalike("pipelines", "promote", "toy", "-g", gallery)
    assert refused.code != 0
    assert "5 images have no features of toy" in refused.err
    filled = lookalike("pipelines", "backfill", "toy", "--rate", "1000", "-g", gallery)
    assert (filled.code, filled.text.partition(":")[0]) == (0, "Every image has the features of toy")
    report = tmp_path / "change.html"
    compared = lookalike("pipelines", "compare", "toy", "--edits", "jpeg15", "--html", report, "-g", gallery)
    assert compared.code == 0, compared.err
    assert "overlap@10" in compared.text
    page = report.read_text()
    assert "copy threshold" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert lookalike("pipelines", "promote", "toy", "-g", gallery).code == 0
    listed = lookalike("pipelines", "list", "-g", gallery).text
    assert "active, ranks" in listed
    assert lookalike("pipelines", "drop", "toy", "-g", gallery).code != 0
    assert lookalike("pipelines", "promote", "phash", "-g", gallery).code == 0
    assert "Dropped toy" in lookalike("pipelines", "drop", "toy", "-g", gallery).text


def test_json(gallery: Path, tmp_path: Path) -> None:
    added = lookalike("pipelines", "add", "toy", "--index", "flat", "--json", "-g", gallery).line
    assert (added["state"], added["missing"], added["index"]) == ("shadow", NUMBER, "flat")
    (tmp_path / "photos" / "0.png").unlink()
    *progress, last = lookalike("pipelines", "backfill", "toy", "--json", "-g", gallery).lines
    assert progress[-1] == {"encoded": NUMBER - 1, "failed": 1, "unreachable": 0, "total": NUMBER}
    assert (last["missing"], last["failed"]) == (1, {"gone": {"PNG": 1}})
    compared = lookalike("pipelines", "compare", "toy", "--sample", "3", "--json", "-g", gallery).line
    assert (compared["old"], compared["new"]) == ("phash", "toy")
    assert 0 <= compared["overlap_at_10"] <= 1
    promoted = lookalike("pipelines", "promote", "toy", "--incomplete", "--json", "-g", gallery).lines
    assert [(line["name"], line["ranks"]) for line in promoted] == [("phash", False), ("toy", True)]
    assert lookalike("pipelines", "compare", "toy", "-g", gallery).code != 0  # with itself
