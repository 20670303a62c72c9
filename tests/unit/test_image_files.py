"""Finding the image files of folders: what is read, what is reported, and what is passed over and counted."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.image_files import FolderScan
from lookalike.types import Outcome
from tests.support.drawn_images import drawn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one of them in a subfolder."""
    (tmp_path / "sub").mkdir()
    drawn(1).save(tmp_path / "1.png")
    drawn(2).save(tmp_path / "sub" / "2.png")
    return tmp_path


def scanned(folder: Path, *exclude: str) -> tuple[list[str], dict[str, str], FolderScan]:
    """Paths below the folder, the reasons of rejections, and the scan."""
    scan = FolderScan((*FolderScan().excludes, *exclude))
    found = list(scan.files_below(folder))
    rejected = {o.key: o.reason or "" for o in found if isinstance(o, Outcome) and o.outcome == "rejected"}
    return [os.path.relpath(path, folder) for path in found if isinstance(path, str)], rejected, scan


def loop(path: Path) -> None:
    path.symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


@pytest.mark.parametrize("broken", [loop, dangling])
def test_a_link_that_leads_nowhere_is_one_rejection(folder: Path, broken: Callable[[Path], None]) -> None:
    broken(folder / "self.jpg")
    files, rejected, _ = scanned(folder)
    assert files == ["1.png", "sub/2.png"]
    assert list(rejected) == [str(folder / "self.jpg")]


def test_a_folder_that_cannot_be_entered_is_one_rejection(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may be root, who enters every folder; so the system's own call refuses."""
    (folder / "lost+found").mkdir()
    scandir, stat = os.scandir, os.stat

    def refuse(path: object) -> None:
        if "lost+found" in str(path):
            raise PermissionError(13, "Permission denied", str(path))

    def scandir_(path: str) -> object:
        refuse(path)
        return scandir(path)

    def stat_(path: object, **options: object) -> object:
        if "lost+found" in str(path) and not str(path).endswith("lost+found"):
            refuse(path)
        return stat(path, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir_)
    monkeypatch.setattr(os, "stat", stat_)
    files, rejected, _ = scanned(folder)
    assert files == ["1.png", "sub/2.png"]
    assert rejected == {str(folder / "lost+found"): "cannot read the folder: Permission denied"}


def test_files_of_other_formats_are_counted(folder: Path) -> None:
    for name in ("a.xcf", "b.XCF", "c.svg", "noext"):
        (folder / "sub" / name).write_bytes(b"no image that is read")
    _, rejected, scan = scanned(folder)
    assert rejected == {}
    assert dict(scan.passed_over) == {"xcf": 2, "svg": 1, "no extension": 1}


def test_excluded_names_and_paths(folder: Path) -> None:
    for name in ("@eaDir", "__MACOSX", ".git", "drafts", "sub/raw"):
        (folder / name).mkdir()
        drawn(3).save(folder / name / "x.png")
    drawn(4).save(folder / "Thumbs.db", "PNG")
    files, _, scan = scanned(folder, "draft*", "sub/raw")
    assert files == ["1.png", "sub/2.png"]
    assert scan.others == {"hidden or excluded": 6}
    assert scanned(folder)[0] == ["1.png", "drafts/x.png", "sub/2.png", "sub/raw/x.png"]


def test_names_that_are_not_utf8_keep_their_bytes(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        drawn(5).save(folder / name)
    except OSError as error:
        pytest.skip(f"this file system takes no such names: {error}")
    found = [one for one in FolderScan().files_below(folder) if isinstance(one, Outcome)]
    assert [(one.path, one.outcome) for one in found] == [(str(folder / name), "rejected")]
    assert os.fsencode(found[0].key).endswith(b"caf\xe9.png")


def test_a_link_to_a_hidden_file_is_read(folder: Path) -> None:
    """As git-annex keeps images; the target itself is never found."""
    (folder / ".store").mkdir()
    drawn(6).save(folder / ".store" / "x.png")
    (folder / "x.png").symlink_to(folder / ".store" / "x.png")
    (folder / "again.png").symlink_to(folder / "1.png")
    assert scanned(folder)[0] == ["1.png", "sub/2.png", "x.png"]


def test_folders_of_any_depth(folder: Path) -> None:
    deep = folder
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    drawn(7).save(deep / "7.png")
    assert len(scanned(folder)[0]) == 3
