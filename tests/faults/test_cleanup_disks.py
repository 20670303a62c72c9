"""Clean-ups where disks are several, full, protected or unplugged."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike.cleanup import CleanupOptions, apply_cleanup, plan_cleanup, revise_plan, undo_cleanup
from lookalike.cleanup.journal import Journal
from lookalike.errors import NotFound, Unavailable
from lookalike.gallery import Gallery
from lookalike.types import Item
from tests.support.cleanup_files import add_photos, clean, content, counts, make_photos, own_trash, reasons, tree
from tests.support.drawn_images import drawn, encoded
from tests.support.faults.small_disk import Disk, small_disk
from tests.support.requirements import skip_or_fail

REMOVING = ("trash", "folder", "delete")
ACTIONS = (*REMOVING, "hardlink")


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as opened:
        yield opened


@pytest.fixture
def full(gallery: Gallery, folder: Path) -> Gallery:
    """The gallery with the folder in it."""
    return add_photos(gallery, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photos, see `make_photos`."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files in the trash."""
    return own_trash(tmp_path / "home", monkeypatch)


@pytest.fixture
def other_disk() -> Iterator[Disk]:
    with small_disk(32) as disk:
        yield disk


def test_files_that_the_system_protects(full: Gallery, folder: Path, tmp_path: Path, trash: Path) -> None:
    protected = folder / "card" / "0.jpg"
    numbers = [full.get(key).attributes["n"] for key in ("0.jpg", "card/0.jpg")]
    if subprocess.run(["chattr", "+i", protected], capture_output=True, check=False).returncode:
        skip_or_fail("no file can be made immutable here (chattr +i)")
    try:
        before = tree(folder)
        for to in ("trash", tmp_path / "else", "delete", "hardlink"):
            options = CleanupOptions(to=to, exact_only=True, filter={"n": {"in": numbers}})
            plan = plan_cleanup(full, options)
            report = apply_cleanup(full, revise_plan(full, plan, {plan.groups[0].id: ["0.jpg"]}))
            assert "permi" in reasons(report)["card/0.jpg"].lower()
            assert tree(folder) == before
            assert tree(tmp_path / "else") == {}
            with pytest.raises(NotFound):
                undo_cleanup(full)
    finally:
        subprocess.run(["chattr", "-i", protected], check=True)


def test_other_disks(full: Gallery, folder: Path, trash: Path, other_disk: Disk) -> None:
    before, images = tree(folder), content(full)
    report = clean(full, other_disk.path / "duplicates")
    assert counts(report) == {"removed": 9}
    assert len(tree(other_disk.path / "duplicates")) == 9
    assert counts(undo_cleanup(full)) == {"restored": 9}
    assert (tree(folder), content(full)) == (before, images)
    assert tree(other_disk.path) == {}
    (other_disk.path / "5.jpg").write_bytes((folder / "0.jpg").read_bytes())
    full.add([Item("5", other_disk.path / "5.jpg")])
    links = plan_cleanup(full, CleanupOptions(to="hardlink"))
    assert links.skipped["on another disk than the kept one: a link is not possible"] == 1
    clean(full, "trash", keep=[f"folder={folder}"], exact_only=True)
    assert not (other_disk.path / "5.jpg").exists()
    assert len(list(trash.glob("*"))) == 3  # the other disk has a trash of its own
    undo_cleanup(full)
    assert (other_disk.path / "5.jpg").read_bytes() == (folder / "0.jpg").read_bytes()


def test_a_full_disk(full: Gallery, folder: Path, other_disk: Disk) -> None:
    """What does not fit stays where it is."""
    smallest = min((folder / "card" / f"{n}.jpg").stat().st_size for n in range(3))
    other_disk.fill(leaving=smallest // 2)
    before = tree(folder)
    report = clean(full, other_disk.path / "duplicates", exact_only=True)
    assert counts(report) == {"failed": 3}
    assert set(reasons(report).values()) == {"No space left on device"}
    assert tree(folder) == before
    assert tree(other_disk.path / "duplicates") == {}


def test_a_journal_that_cannot_be_written_ends_the_run(
    folder: Path, trash: Path, other_disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is touched that is not in the journal, and what is can be undone."""
    with lookalike.open(other_disk.path / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add(folder)
        before = tree(folder)
        plan = plan_cleanup(gallery)
        other_disk.fill()
        with pytest.raises(Unavailable, match=r"journal|space|write"):
            apply_cleanup(gallery, plan)
        other_disk.relieve()
        assert tree(folder) == before
        write, lines = Journal._write, 0

        def fill_soon(self: Journal, *line: object, **options: object) -> None:
            nonlocal lines
            lines += 1
            if lines == 3:
                other_disk.fill()
            write(self, *line, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(Journal, "_write", fill_soon)
        with pytest.raises(Unavailable, match=r"journal|space|write"):
            apply_cleanup(gallery, plan)
        missing = len(before) - len(tree(folder))
        assert 0 < missing < 9
        other_disk.relieve()
        assert counts(undo_cleanup(gallery))["restored"] == missing
        assert tree(folder) == before


def test_a_folder_that_is_gone(full: Gallery, folder: Path, trash: Path, other_disk: Disk) -> None:
    clean(full, "trash", exact_only=True)
    (folder / "card").rmdir()
    undo_cleanup(full)
    assert (folder / "card" / "0.jpg").exists()
    (other_disk.path / "card").mkdir()
    (other_disk.path / "card" / "5.jpg").write_bytes((folder / "0.jpg").read_bytes())
    full.add([Item("5", other_disk.path / "card" / "5.jpg")])
    clean(full, folder / "duplicates", exact_only=True, keep=[f"folder={folder}"])
    subprocess.run(["umount", "-l", other_disk.path], check=True)
    undone = undo_cleanup(full)
    assert "connect its disk" in reasons(undone)["5"]
    assert not (other_disk.path / "card").exists()  # nothing is made under the mount point
    assert list((folder / "duplicates").iterdir())


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """A disk whose files can share storage; skips where none can be made, as without root or xfsprogs."""
    if shutil.which("mkfs.xfs") is None:
        pytest.skip("no file system with reflinks can be made: mkfs.xfs (xfsprogs) is not installed")
    image, mounted = tmp_path / "disk.img", tmp_path / "xfs"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * 2**20)  # the smallest that mkfs.xfs makes
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, mounted], capture_output=True, check=False).returncode:
        pytest.skip("no file system with reflinks can be mounted: not root, or no loop devices")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


def used(disk: Path) -> int:
    """Bytes in use, once all is written."""
    os.sync()
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_files_that_share_storage(gallery: Gallery, xfs: Path) -> None:
    """Reflinks free bytes, keep the metadata of each file, and part when one is changed."""
    data = encoded(drawn(1, (3000, 2000)))
    folder = xfs / "photos"
    folder.mkdir()
    for n, name in enumerate(("a.png", "b.png")):
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1_500_000_000 + n, 1_500_000_000 + n))
    (folder / "b.png").chmod(0o640)
    gallery.add(folder)
    before, images, bytes_before = tree(folder), content(gallery), used(xfs)
    report = clean(gallery, "reflink")
    assert counts(report) == {"replaced": 1}
    assert report.frees == len(data)
    assert (tree(folder), content(gallery)) == (before, images)
    assert bytes_before - used(xfs) > len(data) * 0.9
    assert counts(undo_cleanup(gallery)) == {"restored": 1}
    assert (tree(folder), content(gallery)) == (before, images)
    assert abs(used(xfs) - bytes_before) < len(data) * 0.1
    clean(gallery, "reflink")
    with (folder / "b.png").open("r+b") as file:
        file.write(b"changed")
    assert (folder / "a.png").read_bytes() == data


def test_no_reflinks_on_this_disk(full: Gallery, folder: Path) -> None:
    before = tree(folder)
    report = clean(full, "reflink")
    if counts(report) == {"replaced": 3}:
        pytest.skip("the file system of temporary files has reflinks")
    assert counts(report) == {"failed": 3}
    assert set(reasons(report).values()) == {"Operation not supported"}
    assert tree(folder) == before
