"""Folders that are uploaded have the keys that they have where they are added on the gallery's own machine."""

import platform
from pathlib import Path

import httpx
import pytest

from lookalike import Client, Outcome
from lookalike import open as open_gallery
from lookalike.errors import BadInput
from lookalike.interfaces import GalleryAPI
from tests.support.drawn_images import drawn, encoded
from tests.support.served import served


def fill(folder: Path, names: list[str], first: int) -> Path:
    for number, name in enumerate(names, first):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(drawn(number)))
    return folder


def kinds(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.key: outcome.outcome for outcome in outcomes}


def steps(gallery: GalleryAPI, cards: Path) -> list[dict[str, str]]:
    """The outcomes of adding folders in several ways."""
    one, two = cards / "one" / "DCIM", cards / "two" / "DCIM"
    return [
        kinds(gallery.add(one)),
        kinds(gallery.add(two)),
        kinds(gallery.add(one / "100")),
        kinds(gallery.add(two / "100" / "a.png")),
        kinds(gallery.add([one, two, cards / "other"])),
    ]


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    fill(tmp_path / "cards" / "one" / "DCIM", ["100/a.png", "b.png"], 1)
    fill(tmp_path / "cards" / "two" / "DCIM", ["100/a.png", "b.png"], 3)
    fill(tmp_path / "cards" / "other", ["a.png"], 5)
    return tmp_path / "cards"


def test_an_uploaded_folder_has_the_keys_of_one_added_here(cards: Path, tmp_path: Path) -> None:
    with open_gallery(tmp_path / "here", pipelines=("phash",), create=True) as here:
        expected = steps(here, cards)
    assert expected[:2] == [
        {"100/a.png": "added", "b.png": "added"},
        {"DCIM/100/a.png": "added", "DCIM/b.png": "added"},
    ]
    with served(tmp_path / "g") as (url, gallery), Client(url) as client:
        assert steps(client, cards) == expected
        assert kinds(gallery.add(cards / "one" / "DCIM")) == {"100/a.png": "unchanged", "b.png": "unchanged"}
        assert gallery.get("b.png").path == str(cards / "one" / "DCIM" / "b.png")
        assert kinds(client.add(cards / "one" / "DCIM")) == {"100/a.png": "unchanged", "b.png": "unchanged"}


def test_a_folder_that_was_added_here_keeps_its_keys_when_it_is_uploaded(cards: Path, tmp_path: Path) -> None:
    with served(tmp_path / "g") as (url, gallery), Client(url) as client:
        gallery.add([cards / "one", cards / "two"])
        assert kinds(client.add(cards / "two" / "DCIM")) == {
            "two/DCIM/100/a.png": "unchanged",
            "two/DCIM/b.png": "unchanged",
        }


def test_the_same_path_on_two_machines_is_two_folders(tmp_path: Path) -> None:
    with served(tmp_path / "g") as (url, gallery):

        def prefix(machine: str, folder: str, **more: object) -> str:
            body = {"machine": machine, "folder": folder, **more}
            answer = httpx.post(f"{url}/v1/folders", json=body)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["prefix"])

        assert [prefix("a", "/media/card"), prefix("b", "/media/card"), prefix("c", "C:/media/card")] == [
            "",
            "card/",
            "card-2/",
        ]
        assert prefix("b", "/media/card/DCIM/") == "card/DCIM/"
        assert prefix("b", "/media", remember=False) == ""
        gallery.prune(dry_run=False, whole_folder=True)
        assert prefix("b", "/media/card") == "card/"
        assert gallery.folder_prefix("/media/card", machine=platform.node() + "-other", tenant="other") == ""
        with pytest.raises(BadInput, match="absolute"):
            gallery.folder_prefix("media", machine="a")


def test_changed_files_are_updated_and_other_files_of_the_name_are_kept(cards: Path, tmp_path: Path) -> None:
    with served(tmp_path / "g") as (url, gallery), Client(url) as client:
        client.add(cards / "one" / "DCIM")
        (cards / "one" / "DCIM" / "b.png").write_bytes(encoded(drawn(9)))
        assert kinds(client.add(cards / "one" / "DCIM")) == {"100/a.png": "unchanged", "b.png": "updated"}
        before = gallery.get("b.png").sha256
        client.add(cards / "two" / "DCIM")
        assert gallery.get("b.png").sha256 == before
        assert len(gallery.ls()) == 4
