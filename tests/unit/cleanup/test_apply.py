"""Applying and undoing plans on real files: every action, everything that changes meanwhile, other disks."""

import os
import shutil
from pathlib import Path

import pytest

import lookalike
from lookalike.cleanup import CleanupOptions, apply_cleanup, files, plan_cleanup, undo_cleanup
from lookalike.cleanup.files import FileStatus
from lookalike.cleanup.journal import FOLDER, list_runs, locked_journals, new_journal, read_run
from lookalike.errors import BadInput, GalleryBusy, NotFound, Unavailable
from lookalike.gallery import Gallery
from lookalike.types import Item
from tests.support.cleanup_files import (
    blocks,
    clean,
    content,
    counts,
    own_trash,
    reasons,
    tree,
)
from tests.support.drawn_images import drawn, encoded

REMOVING = ("trash", "folder", "delete")
ACTIONS = (*REMOVING, "hardlink")


def to_of(action: str, tmp_path: Path) -> str:
    return str(tmp_path / "duplicates") if action == "folder" else action


@pytest.mark.parametrize("action", ACTIONS)
def test_undo_restores_files_and_gallery(
    action: str, full: Gallery, folder: Path, tmp_path: Path, trash: Path, gallery: Gallery
) -> None:
    before, images, used = tree(folder), content(full), blocks(folder)
    report = clean(full, to_of(action, tmp_path), exact_only=action == "delete")
    expected = {"trash": 9, "folder": 9, "delete": 3, "hardlink": 3}[action]
    done = "replaced" if action == "hardlink" else "removed"
    assert counts(report) == {done: expected}
    assert used - blocks(folder) == report.frees > 0
    if action == "hardlink":
        assert content(full) == images
        assert all((folder / f"{n}.jpg").samefile(folder / "card" / f"{n}.jpg") for n in range(3))
    else:
        assert len(tree(folder)) == 12 - expected
        assert set(content(full)) == set(tree(folder))
    assert sorted(path.suffix for path in trash.glob("*")) == ([".jpg"] * 6 + [".png"] * 3) * (action == "trash")
    assert counts(undo_cleanup(full)) == {"restored": expected}
    assert tree(folder) == before
    assert content(full) == images
    assert blocks(folder) == used
    found = full.search(folder / "0 low.jpg", k=4).hits
    assert {hit.key for hit in found} == {"0.jpg", "0 low.jpg", "0 small.png", "card/0.jpg"}
    assert {outcome.outcome for outcome in full.add([Item(p, folder / p) for p in before])} == {"unchanged"}
    with pytest.raises(NotFound, match="no clean-up to undo"):
        undo_cleanup(full)
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize("action", ACTIONS)
def test_each_file_is_checked_before_it_is_touched(
    action: str, full: Gallery, folder: Path, tmp_path: Path, trash: Path
) -> None:
    plan = plan_cleanup(full, CleanupOptions(to=to_of(action, tmp_path), exact_only=True))
    changed = bytearray((folder / "card" / "0.jpg").read_bytes())
    changed[len(changed) // 2] ^= 255
    (folder / "card" / "0.jpg").write_bytes(changed)  # the file to remove, of the same size
    changed = bytearray((folder / "1.jpg").read_bytes())
    changed[len(changed) // 2] ^= 255
    (folder / "1.jpg").write_bytes(changed)  # the file to keep
    (folder / "2.jpg").unlink()
    before = tree(folder)
    report = apply_cleanup(full, plan)
    assert counts(report) == {"failed": 3}
    assert report.frees == 0
    assert tree(folder) == before
    assert "has changed" in reasons(report)["card/0.jpg"]
    assert "1.jpg cannot be relied on: the file has changed" in reasons(report)["card/1.jpg"]
    assert "2.jpg cannot be relied on: the file is missing" in reasons(report)["card/2.jpg"]
    assert len(content(full)) == 12


def test_what_became_protected_is_not_touched(full: Gallery, folder: Path, trash: Path) -> None:
    plan = plan_cleanup(full, CleanupOptions(exact_only=True))
    (folder / "card" / "0.jpg").chmod(0o400)
    for n in (1, 2):
        (folder / "card" / f"{n}.jpg").unlink()
    (folder / "card" / "1.jpg").symlink_to(folder / "1.jpg")
    os.link(folder / "2.jpg", folder / "card" / "2.jpg")
    before = tree(folder)
    report = apply_cleanup(full, plan)
    assert reasons(report) == {
        "card/0.jpg": "it is read-only now",
        "card/1.jpg": "it is a symbolic link now",
        "card/2.jpg": "it is the same file as the kept one",
    }
    assert tree(folder) == before


def test_a_missing_file_does_not_stop_the_others(full: Gallery, folder: Path, trash: Path) -> None:
    plan = plan_cleanup(full)
    (folder / "card" / "1.jpg").unlink()
    seen: list[str] = []
    report = apply_cleanup(full, plan, on_outcome=lambda outcome: seen.append(outcome.key))
    assert counts(report) == {"removed": 8, "failed": 1}
    assert seen == [outcome.key for outcome in report.outcomes]
    assert reasons(report) == {"card/1.jpg": "the file is missing"}


def test_names_that_collide_in_a_folder(gallery: Gallery, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for below in ("a", "b", "c", "target"):
        (tmp_path / below).mkdir()
        (tmp_path / below / "x.y.jpg").write_bytes(encoded(drawn(9 if below == "target" else 1), "JPEG"))
    gallery.add([Item(below, tmp_path / below / "x.y.jpg") for below in "abc"])
    before = tree(tmp_path / "target")
    report = clean(gallery, target)
    moved = sorted(Path(outcome.destination or "").name for outcome in report.outcomes)
    assert moved == ["x.y (2).jpg", "x.y (3).jpg"]
    assert not any(Path(str(outcome.destination)).stat().st_size == 0 for outcome in report.outcomes)
    assert before.items() <= tree(target).items()
    assert counts(undo_cleanup(gallery)) == {"restored": 2}
    assert tree(target) == before


def test_a_disk_that_is_mounted_twice(
    full: Gallery, folder: Path, tmp_path: Path, trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network disks give a file another identity in each mount, so that nothing shows beforehand that it is one."""
    second = tmp_path / "second"
    second.mkdir()
    shutil.copy2(folder / "0.jpg", second)
    full.add([Item("second/0.jpg", second / "0.jpg")])
    shutil.rmtree(second)
    second.symlink_to(folder, target_is_directory=True)
    for name in ("card/0.jpg", "0 low.jpg", "0 small.png"):
        (folder / name).unlink()
    actual = files.file_status

    def status(path: str) -> FileStatus | None:
        found = actual(path)
        if found is None or "second" not in path:
            return found
        return FileStatus(path, (7, found.identity[1]), found.nbytes, found.mtime_ns, found.mode, found.names, False)

    monkeypatch.setattr("lookalike.cleanup.plan.file_status", status)
    monkeypatch.setattr("lookalike.cleanup.apply.file_status", status)
    monkeypatch.setattr("lookalike.gallery.presence.file_id", lambda path: getattr(status(path), "identity", None))
    before = tree(folder)
    for to in ("trash", tmp_path / "duplicates", "delete"):
        report = clean(full, to, filter={"n": {"exists": True}}, keep=["pixels"], exact_only=True)
        plan = plan_cleanup(full, CleanupOptions(to=to, exact_only=True))
        [group] = [group for group in plan.groups if any(i.image.key == "second/0.jpg" for i in group.images)]
        report = apply_cleanup(full, type(plan)(plan.options, (group,)))
        assert counts(report) == {"failed": 1}
        assert "by another path; it was put back" in next(iter(reasons(report).values()))
        assert (folder / "0.jpg").exists()
        with pytest.raises(NotFound):
            undo_cleanup(full, report.run)
        for run in list_runs(full.folder):
            if read_run(full.folder, run).entries_in("done"):
                undo_cleanup(full, run)
        assert tree(folder) == before


def test_undo_replaces_nothing(full: Gallery, folder: Path, tmp_path: Path, trash: Path) -> None:
    before = tree(folder)
    target = tmp_path / "duplicates"
    report = clean(full, target, exact_only=True)
    (folder / "card" / "0.jpg").write_bytes(b"mine")
    (target / "1.jpg").write_bytes(b"edited")
    undone = undo_cleanup(full)
    assert counts(undone) == {"failed": 2, "restored": 1}
    assert "another file is at this path" in reasons(undone)["card/0.jpg"]
    assert "is gone or has changed" in reasons(undone)["card/1.jpg"]
    assert (folder / "card" / "0.jpg").read_bytes() == b"mine"
    assert (target / "0.jpg").exists()
    (folder / "card" / "0.jpg").unlink()
    (target / "1.jpg").write_bytes((folder / "1.jpg").read_bytes())
    again = undo_cleanup(full, report.run)  # what could not be restored is tried again
    assert counts(again) == {"restored": 2}
    assert tree(folder) == before


def test_a_key_that_another_image_took(full: Gallery, folder: Path, tmp_path: Path, trash: Path) -> None:
    clean(full, "trash", exact_only=True)
    (tmp_path / "other.png").write_bytes(encoded(drawn(77)))
    full.add(tmp_path / "other.png", key="card/0.jpg")
    undone = undo_cleanup(full)
    assert counts(undone) == {"failed": 1, "restored": 2}
    assert "has the key 'card/0.jpg' now" in reasons(undone)["card/0.jpg"]
    assert (folder / "card" / "0.jpg").exists()
    assert full.get("card/0.jpg").path == str(tmp_path / "other.png")


def test_what_is_lost_is_said(full: Gallery, folder: Path, trash: Path) -> None:
    kept = tree(folder)
    clean(full, "delete")
    undone = undo_cleanup(full)
    assert counts(undone) == {"restored": 3, "lost": 6}  # the same bytes are in the files that were kept
    assert set(reasons(undone).values()) == {"it was deleted for good"}
    assert tree(folder) == {name: kept[name] for name in kept if "low" not in name and "small" not in name}
    clean(full, "trash")
    for path in trash.iterdir():
        path.unlink()
    assert counts(undo_cleanup(full)) == {"lost": 3}
    with pytest.raises(NotFound):
        undo_cleanup(full)


def test_runs_are_undone_from_the_last_one_on(full: Gallery, folder: Path, trash: Path, tmp_path: Path) -> None:
    states = [tree(folder)]
    for options in ({"exact_only": True}, {"min_bytes": (folder / "0 small.png").stat().st_size}, {}):
        assert clean(full, "trash", **options).outcomes
        states.append(tree(folder))
    for state in reversed(states[:-1]):
        undo_cleanup(full)
        assert tree(folder) == state
    with pytest.raises(NotFound):
        undo_cleanup(full, tenant="other")


def test_one_clean_up_at_a_time(full: Gallery, folder: Path, tmp_path: Path, trash: Path) -> None:
    plan, before = plan_cleanup(full), tree(folder)
    with locked_journals(full.folder), pytest.raises(GalleryBusy, match="another clean-up"):
        apply_cleanup(full, plan)
    full.close()
    with lookalike.open(tmp_path / "gallery") as writing, lookalike.open(tmp_path / "gallery") as second:
        writing.remove([])  # as any write, takes the lock
        for work in (lambda: apply_cleanup(second, plan), lambda: undo_cleanup(second)):
            with pytest.raises((GalleryBusy, NotFound)):
                work()
    assert tree(folder) == before


def test_a_journal_that_was_cut_off(full: Gallery, folder: Path, trash: Path) -> None:
    before = tree(folder)
    report = clean(full, "trash")
    path = full.folder / FOLDER / f"{report.run}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1])[:-7])  # the last state of an entry, in the middle
    assert not read_run(full.folder, report.run).ended
    assert counts(undo_cleanup(full)) == {"restored": 9}
    assert tree(folder) == before
    assert read_run(full.folder, report.run).ended


def test_journals_of_other_versions_and_names(full: Gallery, trash: Path) -> None:
    report = clean(full, "trash", exact_only=True)
    path = full.folder / FOLDER / f"{report.run}.jsonl"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(BadInput, match="later version"):
        undo_cleanup(full)
    for name in ("nothing", "../gallery", "a/b", ""):
        with pytest.raises(NotFound):
            undo_cleanup(full, name)


def test_a_failure_of_the_gallery_is_made_up_for(
    full: Gallery, folder: Path, trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database fails after files were removed: the next run removes their images."""
    plan = plan_cleanup(full, CleanupOptions(exact_only=True))
    remove = full.remove

    def failing(keys: list[str], **options: object) -> list[str]:
        if keys:
            raise Unavailable("the database is down")
        return remove(keys, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(full, "remove", failing)
    with pytest.raises(Unavailable, match="database"):
        apply_cleanup(full, plan)
    monkeypatch.undo()
    own_trash(trash.parents[2], monkeypatch)
    assert "card/0.jpg" in content(full)
    assert not (folder / "card" / "0.jpg").exists()
    with new_journal(full.folder, "default", "trash"):
        pass  # interrupted, too, before it touched anything
    assert counts(clean(full, "trash")) == {"removed": 6}
    assert set(content(full)) == {"0.jpg", "1.jpg", "2.jpg"}
    assert len(undo_cleanup(full).outcomes) == 6
    assert len(undo_cleanup(full).outcomes) == 3
    assert len(content(full)) == 12
