"""What happens to the file of an image that is not kept: one class each, which also undoes it.

Each leaves, at any moment at which the process may be killed, the file itself or what `restore` makes it from.
"""

import os
import sys
from pathlib import Path
from typing import Protocol

from lookalike.cleanup import files, trash
from lookalike.cleanup.files import FileStatus, Folders, file_digest
from lookalike.cleanup.journal import Entry
from lookalike.errors import BadInput, BadSetting

OTHER_BYTES = "not the same bytes as the kept one: a link would lose them"
OTHER_DISK = "on another disk than the kept one: a link is not possible"
IN_FOLDER = "in that folder already"
FICLONE = 0x40049409
"""The Linux ioctl that makes a file share the storage of another one (ioctl_ficlone(2))."""


class CannotRestore(Exception):
    """A file cannot be restored; `lost` where it never can be."""

    def __init__(self, reason: str, *, lost: bool = False) -> None:
        super().__init__(reason)
        self.lost = lost


class Action(Protocol):
    """An action on files.

    `removes` is False where a file stays at its path, and so in the gallery.
    """

    name: str
    removes: bool

    def obstacle(self, file: FileStatus, kept: FileStatus, *, same_bytes: bool) -> str | None:
        """Why this file cannot be removed this way; None if it can."""

    def destination(self, path: str) -> str | None:
        """Where a file is to be moved to, a path that does not exist; None where the action has no such path."""

    def run(self, entry: Entry) -> None:
        """Remove or replace a file whose entry is in the journal; raises OSError."""

    def clean(self, entry: Entry) -> None:
        """Delete what an interrupted `run` left besides the file or its replacement."""

    def restore(self, entry: Entry) -> None:
        """Put a file back at its path, where there is none; raises CannotRestore or OSError."""


class MoveToTrash:
    """Move a file to the trash of the desktop, by send2trash."""

    name = "trash"
    removes = True

    def __init__(self) -> None:
        self._index = trash.TrashIndex()

    def obstacle(self, file: FileStatus, kept: FileStatus, *, same_bytes: bool) -> str | None:
        return None

    def destination(self, path: str) -> str | None:
        return None

    def run(self, entry: Entry) -> None:
        trash.send(entry.path)

    def clean(self, entry: Entry) -> None:
        """The trash keeps nothing of an interrupted move but a description without a file, which desktops ignore."""

    def restore(self, entry: Entry) -> None:
        found = self._index.find(entry)
        if found is None:
            raise CannotRestore("it is not in the trash", lost=True)
        files.move(found, entry.path, entry.temporary)
        trash.forget(found)


class MoveToFolder:
    """Move a file into a folder, under its own name, or with a number where the name is taken."""

    removes = True

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder
        self._inside = Folders([folder]) if folder.is_dir() else Folders([])
        self._numbers: dict[str, int] = {}

    def obstacle(self, file: FileStatus, kept: FileStatus, *, same_bytes: bool) -> str | None:
        return IN_FOLDER if self._inside.containing(file.path) is not None else None

    def destination(self, path: str) -> str | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = Path(path)
        target, number = self._folder / name.name, self._numbers.get(name.name, 1)
        while os.path.lexists(target):
            number += 1
            target = self._folder / f"{name.stem} ({number}){name.suffix}"
        self._numbers[name.name] = number  # so that many files of one name do not try all numbers again
        return str(target)

    def run(self, entry: Entry) -> None:
        assert entry.destination is not None
        files.move(entry.path, entry.destination, _beside(entry.destination, entry))

    def clean(self, entry: Entry) -> None:
        assert entry.destination is not None
        files.delete_leftovers(entry.path, entry.destination, _beside(entry.destination, entry), entry.sha256)

    def restore(self, entry: Entry) -> None:
        assert entry.destination is not None
        if not _holds(entry.destination, entry.sha256):
            raise CannotRestore(f"{entry.destination} is gone or has changed")
        files.move(entry.destination, entry.path, entry.temporary)


class Hardlink:
    """Replace a file by a hard link to the kept one, which has the same bytes."""

    name = "hardlink"
    removes = False

    def obstacle(self, file: FileStatus, kept: FileStatus, *, same_bytes: bool) -> str | None:
        if not same_bytes:
            return OTHER_BYTES
        return OTHER_DISK if file.identity[0] != kept.identity[0] else None

    def destination(self, path: str) -> str | None:
        return None

    def run(self, entry: Entry) -> None:
        os.link(os.path.realpath(entry.kept), entry.temporary)
        files.replace(entry.temporary, entry.path)

    def clean(self, entry: Entry) -> None:
        Path(entry.temporary).unlink(missing_ok=True)

    def restore(self, entry: Entry) -> None:
        _copy_of_kept(entry)


class Reflink(Hardlink):
    """Replace a file by one that shares the storage of the kept one, until either is changed."""

    name = "reflink"

    def run(self, entry: Entry) -> None:
        import fcntl  # noqa: PLC0415 - not on Windows

        with Path(entry.kept).open("rb") as kept, Path(entry.temporary).open("xb") as made:
            fcntl.ioctl(made.fileno(), FICLONE, kept.fileno())
            os.fsync(made.fileno())
        files.set_metadata(entry.temporary, entry.mode, entry.mtime_ns)
        files.replace(entry.temporary, entry.path)


class Delete:
    """Delete a file for good. Only one with the same bytes as the kept one can be restored, as a copy of that."""

    name = "delete"
    removes = True

    def obstacle(self, file: FileStatus, kept: FileStatus, *, same_bytes: bool) -> str | None:
        return None

    def destination(self, path: str) -> str | None:
        return None

    def run(self, entry: Entry) -> None:
        """Rename the file first: where both paths lead to one file, the kept one is gone then, and can be had back."""
        files.replace(entry.path, entry.temporary)
        if Path(entry.kept).exists():
            Path(entry.temporary).unlink()

    def clean(self, entry: Entry) -> None:
        """Put back a file that was only renamed."""
        if os.path.lexists(entry.temporary) and not os.path.lexists(entry.path):
            files.move(entry.temporary, entry.path, entry.temporary)

    def restore(self, entry: Entry) -> None:
        self.clean(entry)
        if not os.path.lexists(entry.path):
            _copy_of_kept(entry)


_ACTIONS: dict[str, type[MoveToTrash] | type[Hardlink] | type[Reflink] | type[Delete]] = {
    action.name: action for action in (MoveToTrash, Hardlink, Reflink, Delete)
}


def parse_action(to: str | Path) -> Action:
    """Return the action of a name, or of a folder: an existing one, or a path that cannot be mistaken for a name.

    Raises BadInput for anything else, and BadSetting for an action that this system does not have.
    """
    if isinstance(to, str) and to in _ACTIONS:
        if to == "reflink" and not sys.platform.startswith("linux"):
            raise BadSetting("reflink works on Linux only; use hardlink or trash")
        return _ACTIONS[to]()
    folder = Path(to).expanduser()
    if not str(to) or (isinstance(to, str) and not folder.is_dir() and os.sep not in to):
        hint = f"; write a new folder as ./{to}" if to else ""
        raise BadInput(f"unknown action {str(to)!r}: it is {', '.join(_ACTIONS)} or a folder{hint}")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")
    return MoveToFolder(Path(os.path.abspath(folder)))  # noqa: PTH100 - keeps links


def _holds(path: str, sha256: bytes) -> bool:
    try:
        return file_digest(path) == sha256
    except OSError:
        return False


def _beside(path: str, entry: Entry) -> str:
    """The entry's temporary name, in the folder of another path."""
    return str(Path(path).parent / Path(entry.temporary).name)


def _copy_of_kept(entry: Entry) -> None:
    """Make the file again from the kept one, which must have the same bytes still."""
    if entry.kept_sha256 != entry.sha256:
        raise CannotRestore("it was deleted for good", lost=True)
    if not _holds(entry.kept, entry.sha256):
        raise CannotRestore(f"{entry.kept}, which has the same bytes, is gone or has changed")
    files.copy(entry.kept, entry.temporary, entry.sha256)
    files.set_metadata(entry.temporary, entry.mode, entry.mtime_ns)
    files.replace(entry.temporary, entry.path)
