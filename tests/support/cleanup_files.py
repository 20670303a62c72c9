"""Folders of photos with copies, their state, and a trash of the test's own."""

import os
import stat
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lookalike.cleanup import CleanupOptions, apply_cleanup, plan_cleanup
from lookalike.gallery import Gallery
from lookalike.results import CleanupReport, UndoReport
from lookalike.types import Item, Record
from tests.support.drawn_images import drawn, encoded

Tree = dict[str, tuple[str, int, int]]
"""By path below a folder: digest, permissions and time of modification of each file."""


def make_photos(folder: Path) -> Path:
    """Three photos, each with the same bytes in a subfolder, a smaller copy and one that is compressed more."""
    (folder / "card").mkdir(parents=True)
    for n in range(3):
        image = drawn(n, (320, 240))
        (folder / f"{n}.jpg").write_bytes(encoded(image, "JPEG", quality=95))
        (folder / "card" / f"{n}.jpg").write_bytes(encoded(image, "JPEG", quality=95))
        (folder / f"{n} small.png").write_bytes(encoded(image.resize((160, 120))))
        (folder / f"{n} low.jpg").write_bytes(encoded(image, "JPEG", quality=40))
    return folder


def add_photos(gallery: Gallery, folder: Path) -> Gallery:
    """Add a folder, each image with its number in the order of names as an attribute."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    gallery.add([Item(p.relative_to(folder).as_posix(), p, {"n": n}) for n, p in enumerate(paths)])
    return gallery


def counts(report: CleanupReport | UndoReport) -> dict[str, int]:
    """Number of outcomes by kind."""
    return dict(Counter(str(outcome.outcome) for outcome in report.outcomes))


def reasons(report: CleanupReport | UndoReport) -> dict[str, str]:
    """By key, why it failed or was lost."""
    return {outcome.key: outcome.reason or "" for outcome in report.outcomes if outcome.outcome in ("failed", "lost")}


def clean(gallery: Gallery, to: str | Path, **options: Any) -> CleanupReport:
    """Plan a clean-up and apply it."""
    return apply_cleanup(gallery, plan_cleanup(gallery, CleanupOptions(to=to, **options)))


def tree(folder: Path) -> Tree:
    """What is in a folder, hidden files and links included; a link counts as its target's path."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        status = path.lstat()
        if path.is_symlink():
            found[name] = (f"link to {path.readlink()}", 0, 0)
        elif path.is_file():
            digest = sha256(path.read_bytes()).hexdigest()
            found[name] = (digest, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    return found


def content(gallery: Gallery) -> dict[str, tuple[str | None, bytes, object]]:
    """By key, what a gallery has of an image: path, digest and attributes."""
    records: list[Record] = gallery.ls(limit=10_000)
    return {record.key: (record.path, record.sha256, record.attributes) for record in records}


def blocks(folder: Path) -> int:
    """Bytes of the files in a folder, each once however many names it has."""
    files = {(s.st_dev, s.st_ino): s.st_size for s in (p.lstat() for p in folder.rglob("*")) if stat.S_ISREG(s.st_mode)}
    return sum(files.values())


def own_trash(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let send2trash use a trash below this folder, on its disk; returns the folder of the files in it."""
    if os.name != "posix":
        pytest.skip("the trash of this system cannot be moved for a test")
    plat_other = pytest.importorskip("send2trash.plat_other")
    data = home / "share"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", os.fsencode(data))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(data / "Trash"))
    monkeypatch.setattr("send2trash.send2trash", plat_other.send2trash)
    return data / "Trash" / "files"
