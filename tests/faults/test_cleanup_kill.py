"""Clean-ups and their undoing killed before every file operation, and before and after every line of the journal.

Each file, or what it is restored from, is there.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lookalike
from lookalike.cleanup import CleanupOptions, apply_cleanup, plan_cleanup, undo_cleanup
from lookalike.cleanup.journal import Journal
from lookalike.errors import NotFound
from lookalike.gallery import Gallery
from lookalike.types import Item
from tests.support.cleanup_files import content, own_trash, tree
from tests.support.drawn_images import drawn, encoded
from tests.support.faults.forked_process import Child
from tests.support.faults.small_disk import small_disk

OPERATIONS = ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.chmod", "os.utime", "shutil.copyfile")
"""Audit events of what changes files: https://docs.python.org/3/library/audit_events.html."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
"""Flags of `open`: before a file is read, a kill finds what it found before the last change."""
FILES = ("a.jpg", "sub/a.jpg", "sub/b.jpg")
"""All of the same bytes, the first one the smallest by name."""
TWO, THREE = 2, 3
"""How many of them: with three, a kill meets a clean-up between two files."""


def work(base: str, to: str, undo: bool, kill_at: int) -> None:
    """Apply or undo a clean-up, and die by SIGKILL at the step of this number; says how many there were."""
    with pytest.MonkeyPatch.context() as patch, lookalike.open(Path(base) / "gallery") as gallery:
        own_trash(Path(base) / "home", patch)
        plan = None if undo else plan_cleanup(gallery, CleanupOptions(to=to))
        count = 0

        def step() -> None:
            nonlocal count
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        write = Journal._write

        def stepping_write(journal: Journal, *line: Any, **options: Any) -> None:
            step()
            write(journal, *line, **options)
            step()

        patch.setattr(Journal, "_write", stepping_write)
        sys.addaudithook(lambda event, arguments: step() if changes_files(event, arguments) else None)
        if plan is None:
            undo_cleanup(gallery)
        else:
            apply_cleanup(gallery, plan)
        print("ended", count, flush=True)


def changes_files(event: str, arguments: tuple[Any, ...]) -> bool:
    return event in OPERATIONS and (event != "open" or bool(arguments[2] & WRITING))


def files_of(base: Path) -> list[tuple[str, int]]:
    """The photos and which file each of them is: links are the same one."""
    names = tree(base / "photos")
    inodes = [(base / "photos" / name).stat().st_ino for name in names]
    return [(name, inodes.index(inode)) for name, inode in zip(names, inodes, strict=True)]


def ends(child: Child) -> bool:
    """Wait for a child; returns whether it ended by itself. Fails where it failed."""
    line = child.said.readline()
    child.kill()
    assert line.startswith("ended ") or (line, child.exit_code) == ("", -signal.SIGKILL)
    return line.startswith("ended ")


def make_base(base: Path, count: int) -> Path:
    """A folder with so many photos, and a gallery of them."""
    photos = base / "photos"
    (photos / "sub").mkdir(parents=True)
    for name in FILES[:count]:
        (photos / name).write_bytes(encoded(drawn(1), "JPEG"))
        os.utime(photos / name, (1_500_000_000, 1_500_000_000))
    with lookalike.open(base / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add([Item(name, photos / name, {"name": name}) for name in FILES[:count]])
    return base


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos, a gallery of them, and a trash."""
    own_trash(tmp_path / "home", monkeypatch)
    return make_base(tmp_path, THREE)


@pytest.fixture(
    params=[("trash", TWO), ("folder", THREE), ("other disk", TWO), ("hardlink", TWO), ("delete", TWO)],
    ids=lambda param: param[0],
)
def cleaned(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str]]:
    """A folder as that of `base`, and where to its duplicates go."""
    own_trash(tmp_path / "home", monkeypatch)
    to, count = request.param
    make_base(tmp_path, count)
    if to == "other disk":
        with small_disk(8) as disk:
            yield tmp_path, str(disk.path / "duplicates")
    else:
        yield tmp_path, str(tmp_path / "duplicates") if to == "folder" else to


def leftovers(base: Path, to: str) -> list[Path]:
    """Files of a clean-up that are left besides the photos."""
    found = [path for path in (base / "photos").rglob(".*") if path.is_file()]
    moved = [path for path in Path(to).rglob("*") if path.is_file()] if os.sep in to else []
    return found + moved + list((base / "home" / "share" / "Trash" / "files").glob("*"))


class State:
    """What photos and gallery have to be again once a clean-up is undone."""

    def __init__(self, base: Path, to: str) -> None:
        self._base, self._to = base, to
        self.files = files_of(base)
        self._before = tree(base / "photos")
        with lookalike.open(base / "gallery") as gallery:
            self._images = content(gallery)

    def check_undone(self, gallery: Gallery) -> None:
        """Undo what was begun, and compare."""
        try:
            outcomes = {outcome.outcome for outcome in undo_cleanup(gallery).outcomes}
            assert outcomes <= {"restored", "unchanged"}
        except NotFound:
            pass  # nothing was begun, or everything undone: the comparison below tells
        assert tree(self._base / "photos") == self._before
        assert len({number for _, number in files_of(self._base)}) == len(self.files)
        assert content(gallery) == self._images
        assert leftovers(self._base, self._to) == []


def test_a_clean_up_that_is_killed_can_be_undone(cleaned: tuple[Path, str]) -> None:
    base, to = cleaned
    state = State(base, to)
    kills, partly = 0, 0
    while not ends(Child(work, str(base), to, False, kills + 1)):
        kills += 1
        partly += files_of(base) != state.files
        with lookalike.open(base / "gallery") as gallery:
            state.check_undone(gallery)
    print(f"{to}: {kills} kills, {partly} of them with files removed or replaced, none lost")
    assert kills > 10
    assert partly > 1
    with lookalike.open(base / "gallery") as gallery:
        state.check_undone(gallery)


def test_undoing_that_is_killed_can_be_repeated(cleaned: tuple[Path, str]) -> None:
    base, to = cleaned
    state = State(base, to)
    kills, ended = -1, False
    while not ended:
        kills += 1
        with lookalike.open(base / "gallery") as gallery:
            if kills:
                state.check_undone(gallery)
            apply_cleanup(gallery, plan_cleanup(gallery, CleanupOptions(to=to)))
        assert files_of(base) != state.files
        ended = ends(Child(work, str(base), to, True, kills + 1))
    with lookalike.open(base / "gallery") as gallery:
        state.check_undone(gallery)
    print(f"{to}: {kills} kills while undoing, nothing lost")
    assert kills > 10


def test_a_run_after_a_kill_completes_the_gallery(base: Path) -> None:
    """Without undoing: images of removed files leave the gallery at the next clean-up."""
    kills = 0
    while True:
        ended = ends(Child(work, str(base), "trash", False, kills + 1))
        kills += 1
        with lookalike.open(base / "gallery") as gallery:
            apply_cleanup(gallery, plan_cleanup(gallery))
            assert set(content(gallery)) == set(tree(base / "photos"))
            assert len(tree(base / "photos")) == 1
            while True:
                try:
                    undo_cleanup(gallery)
                except NotFound:
                    break
            assert set(content(gallery)) == set(FILES) == set(tree(base / "photos"))
        if ended:
            break
    assert kills > 10
