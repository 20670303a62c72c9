"""A folder that is followed: what is added, changed, moved and deleted, bursts, and folders that go away."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest

import lookalike
from lookalike.factory import open_gallery
from lookalike.folder_watch import FORGOTTEN, FolderWatch
from lookalike.image_files import DEFAULT_EXCLUDES, FolderScan
from lookalike.types import Outcome
from tests.support.drawn_images import drawn, encoded
from tests.support.waiting import HANG_SECONDS, wait_until


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pics").mkdir()
    for seed in range(3):
        save(tmp_path / "pics" / f"{seed}.jpg", seed)
    return tmp_path / "pics"


def save(path: Path, seed: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(drawn(seed), "JPEG", quality=90))
    return str(path)


def kinds(found: list[Outcome]) -> dict[str, str]:
    return {one.key: one.outcome for one in found}


def keys(gallery: lookalike.Gallery) -> list[str]:
    return [record.key for record in gallery.ls(limit=1000)]


def test_added_changed_and_deleted_files_are_followed(gallery: lookalike.Gallery, folder: Path) -> None:
    gallery.add(folder)
    watch = FolderWatch(gallery, str(folder))
    (folder / "1.jpg").unlink()
    changed = [save(folder / "0.jpg", 10), save(folder / "new" / "5.jpg", 5), str(folder / "1.jpg")]
    found = watch.apply(changed)
    assert kinds(found) == {"0.jpg": "updated", "new/5.jpg": "added", "1.jpg": "missing"}
    assert [one.key for one in found if one.reason == FORGOTTEN] == ["1.jpg"]
    assert keys(gallery) == ["0.jpg", "2.jpg", "new/5.jpg"]
    assert kinds(watch.apply(changed)) == {"0.jpg": "unchanged", "new/5.jpg": "unchanged"}


@pytest.mark.parametrize("whole_folder", [False, True])
def test_moved_files_keep_the_attributes_of_their_images(
    gallery: lookalike.Gallery, folder: Path, whole_folder: bool
) -> None:
    save(folder / "a" / "7.jpg", 7)
    gallery.add(folder)
    gallery.set_attributes("a/7.jpg", {"album": "Alps"})
    if whole_folder:
        (folder / "a").rename(folder / "b")
        paths = [str(folder / "a"), str(folder / "b")]
    else:
        (folder / "b").mkdir()
        (folder / "a" / "7.jpg").rename(folder / "b" / "7.jpg")
        paths = [str(folder / "a" / "7.jpg"), str(folder / "b"), str(folder / "b" / "7.jpg")]
    FolderWatch(gallery, str(folder)).apply(paths)
    assert keys(gallery) == ["0.jpg", "1.jpg", "2.jpg", "b/7.jpg"]
    assert gallery.get("b/7.jpg").attributes == {"album": "Alps"}


def test_what_an_add_passes_over_is_passed_over(gallery: lookalike.Gallery, folder: Path) -> None:
    gallery.add(folder)
    for name in (".hidden/a.jpg", "@eaDir/a.jpg", "skip/a.jpg", "other/sub/a.jpg"):
        save(folder / name, 20)
    (folder / "notes.txt").write_text("text")
    (folder / "other" / "gallery.toml").write_text("version = 1\n")
    (folder / "link").symlink_to(folder.parent, target_is_directory=True)
    scan = FolderScan((*DEFAULT_EXCLUDES, "skip"))
    changed = [str(path) for path in (*folder.rglob("*"), folder / "link" / "pics" / "0.jpg", folder)]
    assert set(kinds(FolderWatch(gallery, str(folder), scan).apply(changed)).values()) == {"unchanged"}
    assert keys(gallery) == ["0.jpg", "1.jpg", "2.jpg"]


def test_images_of_a_folder_that_is_away_or_empty_are_kept(gallery: lookalike.Gallery, folder: Path) -> None:
    gallery.add(folder)
    watch = FolderWatch(gallery, str(folder))
    paths = [str(path) for path in folder.iterdir()]
    for path in paths:
        os.unlink(path)  # noqa: PTH108
    [outcome] = watch.apply(paths)
    assert (outcome.key, outcome.outcome) == (str(folder), "rejected")
    folder.rename(folder.parent / "elsewhere")
    [outcome] = watch.apply([*paths, str(folder)])
    assert outcome.outcome == "rejected"
    assert keys(gallery) == ["0.jpg", "1.jpg", "2.jpg"]


def test_files_of_other_folders_stay(gallery: lookalike.Gallery, folder: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "pics2" / "9.jpg", 9)
    gallery.add([folder, tmp_path / "pics2"])
    os.unlink(other)  # noqa: PTH108
    FolderWatch(gallery, str(folder)).apply([str(folder / "0.jpg")])
    assert "pics2/9.jpg" in keys(gallery)


@contextmanager
def followed(gallery: lookalike.Gallery, folder: Path) -> "Iterator[Queue[list[Outcome]]]":
    """Batches of a folder that is followed in a thread."""
    batches: Queue[list[Outcome]] = Queue()
    watch = FolderWatch(gallery, str(folder))

    def run() -> None:
        for batch in watch.run():
            batches.put(batch)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield batches
    finally:
        watch.stop.set()
        thread.join(HANG_SECONDS)
    assert not thread.is_alive()


def test_a_watch_catches_up_and_then_follows(gallery: lookalike.Gallery, folder: Path) -> None:
    gallery.add(folder)
    save(folder / "3.jpg", 3)
    with followed(gallery, folder) as batches:
        first = kinds(batches.get(timeout=HANG_SECONDS))
        assert first == {"3.jpg": "added", **{f"{n}.jpg": "unchanged" for n in range(3)}}
        for seed in range(10, 40):
            save(folder / "burst" / f"{seed}.jpg", seed)
        wait_until(lambda: len(keys(gallery)) == 34)
        (folder / "burst" / "10.jpg").unlink()
        (folder / "burst" / "11.jpg").rename(folder / "moved.jpg")
        wait_until(lambda: len(keys(gallery)) == 33 and "moved.jpg" in keys(gallery))
    assert "burst/11.jpg" not in keys(gallery)


def test_a_folder_that_goes_away_is_waited_for(gallery: lookalike.Gallery, folder: Path) -> None:
    with followed(gallery, folder) as batches:
        batches.get(timeout=HANG_SECONDS)
        folder.rename(folder.parent / "unplugged")
        [outcome] = batches.get(timeout=HANG_SECONDS)
        assert (outcome.outcome, "away" in (outcome.reason or "")) == ("rejected", True)
        assert len(keys(gallery)) == 3
        save(folder.parent / "unplugged" / "4.jpg", 4)
        (folder.parent / "unplugged").rename(folder)
        wait_until(lambda: "4.jpg" in keys(gallery))
    assert len(keys(gallery)) == 4
