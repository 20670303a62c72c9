"""Which file an image is: keys of folders, links, other files under a known key, missing files, removals."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike.errors import BadInput, NotFound
from lookalike.factory import open_gallery
from lookalike.types import Item, Outcome
from tests.support.drawn_images import drawn


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True) as opened:
        yield opened


def fill(folder: Path, *seeds: int, offset: int = 0) -> Path:
    """A folder of drawn images, named by their seeds; `offset` draws others under the same names."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        drawn(seed + offset, (64, 48)).save(folder / f"{seed}.png")
    return folder


def outcomes(found: list[Outcome]) -> dict[str, str]:
    return {o.key: o.outcome for o in found}


def keys(gallery: lookalike.Gallery) -> list[str]:
    return [record.key for record in gallery.ls()]


def test_equal_names_in_two_folders_are_two_images(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    first, second = fill(tmp_path / "card1" / "DCIM", 1, 2), fill(tmp_path / "card2" / "DCIM", 1, 2, offset=50)
    assert set(outcomes(gallery.add(first.parent)).values()) == {"added"}
    assert set(outcomes(gallery.add(second.parent)).values()) == {"added"}
    assert keys(gallery) == ["DCIM/1.png", "DCIM/2.png", "card2/DCIM/1.png", "card2/DCIM/2.png"]
    assert {Path(record.path or "") for record in gallery.ls()} == {*first.iterdir(), *second.iterdir()}


def test_folders_of_equal_names_are_told_apart(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    for number, disk in enumerate("abc"):
        gallery.add(fill(tmp_path / disk / "DCIM", 1, offset=10 * number))
    assert keys(gallery) == ["1.png", "DCIM-2/1.png", "DCIM/1.png"]


def test_folders_of_one_call_are_named_alike(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    gallery.add([fill(tmp_path / "a", 1), fill(tmp_path / "b", 1, offset=9)])
    assert keys(gallery) == ["a/1.png", "b/1.png"]


def test_a_folder_its_parent_and_its_subfolder_change_nothing(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    fill(tmp_path / "all" / "pics", 1)
    fill(tmp_path / "all" / "pics" / "2019", 2)
    gallery.add(tmp_path / "all" / "pics")
    before = gallery.ls()
    (tmp_path / "link").symlink_to(tmp_path / "all" / "pics")
    others = ("all/pics", "all/pics/2019", "all", "all/pics/2019/2.png", "link")
    for given in others:
        assert set(outcomes(gallery.add(tmp_path / given)).values()) == {"unchanged"}, given
    assert gallery.ls() == before
    fill(tmp_path / "all" / "new", 3)
    gallery.add(tmp_path / "all")
    assert keys(gallery) == ["1.png", "2019/2.png", "all/new/3.png"]


def test_another_file_under_a_known_key_is_refused(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    one, other = fill(tmp_path / "a", 1) / "1.png", fill(tmp_path / "b", 1, offset=9) / "1.png"
    for _ in range(2):
        together = gallery.add([one, other])
        assert [o.path for o in together if o.outcome == "rejected"] == [str(other)]
        [refused] = gallery.add(other)
        assert refused.outcome == "rejected"
        assert str(one) in (refused.reason or "")
        [refused] = gallery.add([Item("1.png", other)])
        assert refused.outcome == "rejected"
    assert [record.path for record in gallery.ls()] == [str(one)]
    drawn(3).save(one)
    assert outcomes(gallery.add(one)) == {"1.png": "updated"}
    one.unlink()  # what is refused while the file is there is not let in when it is gone
    assert outcomes(gallery.add(other)) == {"1.png": "rejected"}
    assert outcomes(gallery.add(other, key="other.png")) == {"other.png": "added"}


def test_attributes_of_a_link_are_said_to_be_lost(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1, 2)
    gallery.add(folder)
    os.link(folder / "1.png", folder / "hard.png")
    (tmp_path / "soft.png").symlink_to(folder / "2.png")
    year = {"year": 2024}
    remedy = "its attributes were not stored: set them on"
    for source, same in ((folder / "1.png", 1), (folder / "hard.png", 1), (folder / "2.png", 2)):
        stored = gallery.put("k", source, attributes=year)
        [added] = gallery.add([Item("k", source, year)])
        for found in (stored, added):
            assert (found.key, found.outcome) == ("k", "linked")
            assert found.reason == f"the same file as {same}.png; {remedy} {same}.png"
        assert gallery.put("k", source).reason == f"the same file as {same}.png"
    [soft] = gallery.add([Item("2.png", tmp_path / "soft.png", year)])
    assert (soft.outcome, soft.reason) == ("linked", f"the same file as {folder / '2.png'}; {remedy} 2.png")
    gallery.set_attributes("2.png", year)
    assert gallery.add([Item("2.png", tmp_path / "soft.png", year)])[0].reason == f"the same file as {folder / '2.png'}"


def test_an_empty_key_is_refused_whatever_is_stored(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1, 2)
    gallery.add(folder / "1.png")
    for source in (folder / "1.png", folder / "2.png", (folder / "2.png").read_bytes(), folder / "none.png"):
        with pytest.raises(BadInput, match="a key that is not empty"):
            gallery.put("", source)
        [outcome] = gallery.add([Item("", source)])
        assert (outcome.outcome, outcome.reason) == ("rejected", "an image needs a key that is not empty")
    assert keys(gallery) == ["1.png"]


def test_links_are_the_same_file(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1)
    (folder / "0 soft.png").symlink_to(folder / "1.png")
    os.link(folder / "1.png", folder / "2 hard.png")
    outside = fill(tmp_path / "elsewhere", 7) / "7.png"
    (folder / "9 outside.png").symlink_to(outside)
    for expected in ("added", "unchanged"):
        found = outcomes(gallery.add(folder))
        assert found == {
            str(folder / "0 soft.png"): "linked",
            "1.png": expected,
            "2 hard.png": "linked",
            "9 outside.png": expected,
        }
    os.link(folder / "1.png", folder / "0 first.png")
    assert outcomes(gallery.add(folder))["0 first.png"] == "linked"
    assert outcomes(gallery.add(outside.parent)) == {"elsewhere/7.png": "linked"}
    assert list(gallery.duplicates()) == []


def test_two_records_of_one_file_are_no_cluster(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    """As earlier versions stored them."""
    folder = fill(tmp_path / "pics", 1)
    gallery.put("one", folder / "1.png")
    gallery.put("two", folder / "1.png")
    os.link(folder / "1.png", folder / "2.png")
    gallery.put("three", folder / "2.png")
    assert list(gallery.duplicates()) == []
    shutil.copy(folder / "1.png", folder / "3.png")
    gallery.put("four", folder / "3.png")
    [cluster] = gallery.duplicates()
    assert len(cluster.images) == 2


def test_a_copy_beside_a_link_target_is_a_duplicate(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1)
    shutil.copy(folder / "1.png", folder / "copy.png")
    assert outcomes(gallery.add(folder)) == {"1.png": "added", "copy.png": "duplicate"}


def test_a_folder_in_place_of_a_file_is_no_file(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos", 1, 2)
    gallery.add(folder)
    (folder / "1.png").unlink()
    fill(folder / "1.png", 3)
    assert outcomes(gallery.add(folder)) == {"1.png/3.png": "added", "2.png": "unchanged", "1.png": "missing"}
    assert [record.key for record in gallery.ls() if record.missing] == ["1.png"]
    assert gallery.prune(dry_run=False).keys == ("1.png",)


def test_a_path_that_cannot_be_looked_at_is_rejected_and_the_others_are_added(
    gallery: lookalike.Gallery, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "photos", 1)
    loop, long = tmp_path / "loop", tmp_path / ("x" * 300)
    loop.symlink_to(loop)
    found = {o.path: o.outcome for o in gallery.add([loop / "a.png", long, folder])}
    assert found == {str(loop / "a.png"): "rejected", str(long): "rejected", str(folder / "1.png"): "added"}
    with pytest.raises(NotFound, match="none"):
        gallery.add([folder / "1.png" / "none", folder])


def test_missing_files_are_reported_and_forgotten(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1, 2, 3)
    shutil.copy(folder / "1.png", folder / "copy.png")
    gallery.add(folder)
    (folder / "copy.png").unlink()
    assert list(gallery.duplicates()) == []
    assert outcomes(gallery.add(folder))["copy.png"] == "missing"
    assert [record.key for record in gallery.ls() if record.missing] == ["copy.png"]
    hits = {hit.key: hit.missing for hit in gallery.search(folder / "1.png").hits}
    assert hits["copy.png"]
    assert not hits["1.png"]
    assert gallery.prune(folder).keys == ("copy.png",)
    assert "copy.png" in keys(gallery)  # nothing was removed yet
    assert gallery.prune(dry_run=False).keys == ("copy.png",)
    assert keys(gallery) == ["1.png", "2.png", "3.png"]
    shutil.copy(folder / "1.png", folder / "copy.png")
    assert outcomes(gallery.add(folder))["copy.png"] == "duplicate"


@pytest.mark.parametrize("mount_point_stays", [True, False])
def test_an_unplugged_disk_loses_nothing(gallery: lookalike.Gallery, tmp_path: Path, mount_point_stays: bool) -> None:
    disk, other = fill(tmp_path / "disk", 1, 2), fill(tmp_path / "other", 3)
    gallery.add(disk)
    gallery.add(other)
    disk.rename(tmp_path / "unplugged")
    if mount_point_stays:
        disk.mkdir()
        assert outcomes(gallery.add(disk)) == {str(disk): "rejected"}
    for folder in (None, disk):
        found = gallery.prune(folder, dry_run=False)
        assert (found.keys, dict(found.away)) == ((), {str(disk): 2})
    assert not any(record.missing for record in gallery.ls())
    with pytest.raises(NotFound):
        gallery.prune(tmp_path / "nowhere")
    if mount_point_stays:
        disk.rmdir()
    (tmp_path / "unplugged").rename(disk)
    assert set(outcomes(gallery.add(disk)).values()) == {"unchanged"}
    shutil.rmtree(disk)
    assert gallery.prune(dry_run=False, whole_folder=True).keys == ("1.png", "2.png")
    assert keys(gallery) == ["other/3.png"]


def test_a_renamed_folder_is_known(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1, 2)
    fill(folder / "sub", 3)
    gallery.add(folder)
    before = {record.key: record.id for record in gallery.ls()}
    folder.rename(tmp_path / "photos")
    moved, *rest = gallery.add(tmp_path / "photos")
    assert moved.outcome == "moved"
    assert {o.outcome for o in rest} == {"unchanged"}
    assert {record.key: record.id for record in gallery.ls()} == before
    assert not gallery.missing().keys


def test_a_folder_of_other_files_is_not_taken_for_one_that_is_gone(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    gallery.add(fill(tmp_path / "card1", 1, 2))
    (tmp_path / "card1").rename(tmp_path / "away")
    found = outcomes(gallery.add(fill(tmp_path / "card2", 1, 2, offset=40)))
    assert found == {"card2/1.png": "added", "card2/2.png": "added"}


def test_removed_images_stay_away(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1, 2, 3)
    gallery.add(folder, attributes={"album": "Alps"})
    gallery.remove("1.png")
    assert outcomes(gallery.add(folder)) == {"1.png": "removed", "2.png": "unchanged", "3.png": "unchanged"}
    os.utime(folder / "1.png", (1, 1))  # the same bytes with another time
    assert outcomes(gallery.add(folder))["1.png"] == "removed"
    assert outcomes(gallery.add(folder, again=True))["1.png"] == "added"
    assert outcomes(gallery.add(folder))["1.png"] == "unchanged"
    gallery.remove_by_filter({"album": "Alps"})
    assert outcomes(gallery.add(folder))["2.png"] == "removed"
    drawn(70).save(folder / "2.png")  # another image under the name of the removed one
    assert outcomes(gallery.add(folder))["2.png"] == "added"
    gallery.remove("2.png")
    gallery.put("2.png", folder / "2.png")  # by its key, on purpose
    assert outcomes(gallery.add(folder))["2.png"] == "unchanged"


def test_tenants_have_folders_of_their_own(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    folder = fill(tmp_path / "pics", 1)
    gallery.add(folder)
    gallery.remove("1.png")
    assert outcomes(gallery.add(folder, tenant="other")) == {"1.png": "added"}
