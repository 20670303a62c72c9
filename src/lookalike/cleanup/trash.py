"""The trash of the desktop: send2trash moves files there; where they are now is found by their bytes.

send2trash does not tell where it put a file. Undoing searches the folders that trashes use, on each system those of the
user and of the disk of the file: https://specifications.freedesktop.org/trash-spec on Linux, `.Trash` and `.Trashes` on
macOS, `$Recycle.Bin` on Windows.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platformdirs import user_data_path

from lookalike.cleanup.files import file_digest
from lookalike.cleanup.journal import Entry


def send(path: str) -> None:
    """Move a file to the trash; raises OSError, also where the disk of the file has no trash that may be written."""
    from send2trash import TrashPermissionError, send2trash  # noqa: PLC0415 - looks for desktop libraries

    try:
        send2trash(path)
    except TrashPermissionError as error:
        reason = "the disk of the file has no trash that may be written; move it to a folder instead (--to DIR)"
        raise OSError(error.errno, reason) from error


class TrashIndex:
    """The files in the trash by size, each trash listed once."""

    def __init__(self) -> None:
        self._files: dict[Path, dict[int, list[tuple[tuple[int, int], str]]]] = {}

    def find(self, entry: Entry) -> str | None:
        """The path of a removed file in the trash, by its inode or else by its bytes; None where it is not there."""
        found = [file for folder in _folders(entry.path) for file in self._list(folder).get(entry.nbytes, ())]
        for _, path in sorted(found, key=lambda file: file[0] != (entry.device, entry.inode)):
            with suppress(OSError):  # it was restored or deleted meanwhile
                if file_digest(path) == entry.sha256:
                    return path
        return None

    def _list(self, folder: Path) -> dict[int, list[tuple[tuple[int, int], str]]]:
        if folder not in self._files:
            by_size: dict[int, list[tuple[tuple[int, int], str]]] = {}
            with suppress(OSError), os.scandir(folder) as files:  # a trash that does not exist, or of another user
                for file in files:
                    if file.is_file(follow_symlinks=False):
                        status = file.stat(follow_symlinks=False)
                        by_size.setdefault(status.st_size, []).append(((status.st_dev, status.st_ino), file.path))
            self._files[folder] = by_size
        return self._files[folder]


def forget(path: str) -> None:
    """Delete the description of a file that was taken out of the trash (Linux)."""
    file = Path(path)
    with suppress(OSError):
        (file.parent.parent / "info" / f"{file.name}.trashinfo").unlink(missing_ok=True)


def _folders(path: str) -> Iterator[Path]:
    """The folders in which a file of this path may be in the trash."""
    mount = Path(path).parent
    while not mount.exists() or not mount.is_mount():
        if mount.parent == mount:
            break
        mount = mount.parent
    if sys.platform == "win32":
        with suppress(OSError):
            yield from (Path(mount.anchor) / "$Recycle.Bin").iterdir()
    elif sys.platform == "darwin":
        yield Path.home() / ".Trash"
        yield mount / ".Trashes" / str(os.getuid())
    else:
        yield user_data_path() / "Trash" / "files"
        yield mount / ".Trash" / str(os.getuid()) / "files"
        yield mount / f".Trash-{os.getuid()}" / "files"
