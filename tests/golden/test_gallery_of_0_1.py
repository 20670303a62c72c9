"""Galleries that version 0.1.0 made, in files: they open as they are, answer as then, and can be gone on with."""

import hashlib
import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.golden.access import command, graph_neighbours, opened, served
from tests.golden.questions import BYTES, DATA, OTHER_TENANT, again, differences, questions, unpacked
from tests.support.waiting import HANG_SECONDS

KINDS = {"gallery": ("phash", "vgg16"), "hashes": ("phash",)}


def recorded(kind: str, name: str) -> Any:
    return json.loads((DATA / kind / name).read_text())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, cache: Path) -> str:
    """Which of the galleries; the weights are there."""
    return str(request.param)


@pytest.fixture
def folder(kind: str, tmp_path: Path) -> Path:
    """A copy of the gallery."""
    return unpacked(DATA / kind / "gallery.tar.gz", tmp_path)


def files(folder: Path) -> dict[str, str]:
    """Digests of the indexes' files."""
    found = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in found.items()}


def unlike(folder: Path, kind: str, *, few: bool = False, without: tuple[str, ...] = ()) -> list[str]:
    """Every difference between what the gallery answers and what it answered then."""
    expected = recorded(kind, "answers.json")
    with opened(folder) as gallery:
        asked = questions(KINDS[kind], few=few)
        assert few or list(asked) == list(expected)
        return [
            f"{title}{difference}"
            for title, ask in asked.items()
            if title not in without
            for difference in differences(title, expected[title], ask(gallery))
        ]


def test_answers_are_those_of_then(folder: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Also nothing is written: neither the settings nor a snapshot."""
    settings, before = (folder / "gallery.toml").read_text(), files(folder / "indexes")
    with caplog.at_level(logging.WARNING):
        assert unlike(folder, kind) == []
    assert caplog.messages == []
    assert (folder / "gallery.toml").read_text() == settings
    assert files(folder / "indexes") == before


def test_the_snapshots_are_used(folder: Path, kind: str) -> None:
    """Indexes could not be filled from this catalog, whose features are gone but for those of the last changes."""
    with closing(sqlite3.connect(folder / "catalog.sqlite", isolation_level=None)) as catalog:
        saved = max(one["saved_at"] for one in recorded(kind, "answers.json")["status"]["pipelines"])
        for (number,) in catalog.execute("SELECT id FROM fingerprints").fetchall():
            gone = f"DELETE FROM features_{number} WHERE image_id IN (SELECT id FROM images WHERE seq <= {saved})"
            assert catalog.execute(gone).rowcount > 10
    expected = recorded(kind, "answers.json")
    with opened(folder) as gallery:
        for title, ask in questions(KINDS[kind], keys=False, few=True).items():
            assert differences(title, expected[title], ask(gallery)) == [], title


def test_the_graph_is_read(tmp_path: Path) -> None:
    """A search of so few rows scans; here the graph itself is asked."""
    folder = unpacked(DATA / "gallery" / "gallery.tar.gz", tmp_path)
    made = recorded("gallery", "made.json")
    [index] = (folder / "indexes").glob("vgg16-*-hnsw")
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog:
        (number,) = catalog.execute("SELECT id FROM fingerprints WHERE name = 'vgg16'").fetchone()
        rows = catalog.execute(f"SELECT vector FROM features_{number} ORDER BY image_id LIMIT 3").fetchall()
    queries = np.array([np.frombuffer(row, np.float16) for (row,) in rows]).astype(np.float32)
    found = graph_neighbours(index, made["spec"], queries, 5)
    assert found["sequence"] == made["graph"]["sequence"]
    assert found["ids"] == made["graph"]["ids"]
    np.testing.assert_allclose(found["distances"], made["graph"]["distances"], atol=1e-5)


def test_the_same_images_again_change_nothing(folder: Path, kind: str) -> None:
    with opened(folder) as gallery:
        outcomes = again(gallery)
        assert {one["outcome"] for one in outcomes} == {"unchanged"}
        sequence = recorded(kind, "answers.json")["status"]["sequence"]
        assert gallery.status()["sequence"] == sequence
        assert max(one["sequence"] for one in outcomes) <= sequence
    assert unlike(folder, kind, few=True) == []


def test_a_repair_answers_the_same(folder: Path, kind: str) -> None:
    """Indexes are rebuilt from the old catalog."""
    with opened(folder) as gallery:
        gallery.repair()
        assert {one["behind"] for one in gallery.status()["pipelines"]} == {0}
    assert unlike(folder, kind, few=True, without=("status",)) == []


def test_it_is_gone_on_with(folder: Path, kind: str) -> None:
    """Images are added, changed and removed; a judgement is taken back."""
    [six] = [file for key, file in BYTES.items() if "six ü" in key]
    expected = recorded(kind, "answers.json")
    sequence = expected["status"]["sequence"]
    with opened(folder) as gallery:
        [outcome] = gallery.add_files({"new": six}, {"new": {"album": "new"}}, OTHER_TENANT)
        assert (outcome["outcome"], outcome["sequence"]) == ("added", sequence + 1)
        hits = gallery.search(six, tenant=OTHER_TENANT, filter={"album": "new"})["hits"]
        assert [hit[1:4] for hit in hits] == [["new", "exact", "sha256"]]
        assert hits[0][0] == max(record["id"] for record in expected["list all"]) + 1  # ids are not given twice
        assert gallery.set_attributes("two", {"year": 2000})["attributes"] == {
            "album": "Alps",
            "year": 2000,
            "public": True,
        }
        assert gallery.remove(["one", "to delete"]) == ["one"]
        clusters = [cluster["keys"] for cluster in gallery.duplicates()]
        assert ["one", "one-hard"] not in clusters
        assert ["two", "two-framed"] not in clusters
        gallery.not_a_match_undo(["two", "two-framed"])
        assert ["two", "two-framed"] in [cluster["keys"] for cluster in gallery.duplicates()]
    with opened(folder) as gallery:
        assert gallery.status()["sequence"] == sequence + 3
        assert "one" not in [hit[1] for hit in gallery.search(six)["hits"]]


def test_a_difference_is_noticed() -> None:
    def changed(place: int, value: object) -> Any:
        one = recorded("gallery", "answers.json")["search one"]
        one["hits"][1][place] = value
        return one

    expected = changed(1, "one-hard")
    swapped = changed(1, "one-hard")
    swapped["hits"][1:3] = swapped["hits"][2:0:-1]
    shorter = {**expected, "hits": expected["hits"][:-1]}
    promised = {**expected, "exact_within": {**expected["exact_within"], "vgg16": -1.0}}
    other = [
        changed(1, "two"),
        changed(2, "similar"),
        changed(3, "vgg16"),
        changed(4, 0.05),
        swapped,
        shorter,
        promised,
    ]
    assert differences("search one", expected, expected) == []
    assert [len(differences("search one", expected, found)) for found in other] == [1] * len(other)


def test_the_access_key_lets_in(tmp_path: Path, cache: Path) -> None:
    """By the command line and over HTTP, where nobody comes in without it."""
    folder = unpacked(DATA / "gallery" / "gallery.tar.gz", tmp_path)
    key = recorded("gallery", "made.json")["key"]
    listed = command("keys", "list", "--gallery", folder, "--json").line
    listed["created"] = listed["created"][:23] + "Z"  # 0.1.0 wrote milliseconds
    assert listed.pop("expires") is None  # 0.1.0 had no keys that expire
    assert listed == {name: value for name, value in key.items() if name != "key"}
    with served(folder) as url:
        assert httpx.get(f"{url}/v1/status", timeout=HANG_SECONDS).status_code == 401
        answer = httpx.get(f"{url}/v1/status", headers={"Authorization": f"Bearer {key['key']}"}, timeout=HANG_SECONDS)
        assert answer.status_code == 200, answer.text
        assert answer.json()["sequence"] == recorded("gallery", "answers.json")["status"]["sequence"]
