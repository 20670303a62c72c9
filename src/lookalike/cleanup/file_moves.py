"""Moving and copying files without replacing one, and so that a crash at any moment leaves one whole file."""

import errno
import os
import shutil
import stat
from pathlib import Path

from lookalike.cleanup.file_facts import file_digest
from lookalike.durability import sync_folder


def move(source: str, target: str, temporary: str) -> None:
    """Move a file to a path that does not exist; raises FileExistsError where it does.

    The name is reserved by an empty file first, for a rename would replace what another process put there meanwhile.
    On another disk the file is copied to `temporary`, on the disk of the target, and compared with its source, which
    is deleted once the copy is durable.
    """
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        Path(source).replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            Path(target).unlink()
            raise
        _move_by_copy(source, target, temporary)
    sync_folder(Path(target).parent)


def _move_by_copy(source: str, target: str, temporary: str) -> None:
    """Move a file over the empty one at the target; where that fails the source is as it was."""
    try:
        copy(source, temporary, file_digest(source))
        replace(temporary, target)
        Path(source).unlink()
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        Path(target).unlink()
        raise


def copy(source: str, target: str, sha256: bytes) -> None:
    """Copy a file with its times and permissions, durably; raises OSError where the copy differs from the digest."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).unlink(missing_ok=True)  # of an interrupted run: the names of temporary files are this program's own
    shutil.copy2(source, target)
    with Path(target).open("rb") as file:
        os.fsync(file.fileno())
    if file_digest(target) != sha256:
        Path(target).unlink()
        raise OSError(errno.EIO, f"the copy of {source} differs from it")


def replace(source: str, target: str) -> None:
    """Rename a file, durably, in place of what is at the target."""
    Path(source).replace(target)
    sync_folder(Path(target).parent)


def set_metadata(path: str, mode: int, mtime_ns: int) -> None:
    """Give a file these permissions and this time of modification."""
    Path(path).chmod(stat.S_IMODE(mode))
    os.utime(path, ns=(mtime_ns, mtime_ns))


def delete_leftovers(source: str, target: str, temporary: str, sha256: bytes) -> None:
    """Delete what an interrupted `move` left besides the source, if the source is whole."""
    Path(temporary).unlink(missing_ok=True)
    if not (Path(source).is_file() and Path(target).is_file()) or Path(source).samefile(target):
        return
    if file_digest(source) == sha256 and (Path(target).stat().st_size == 0 or file_digest(target) == sha256):
        Path(target).unlink()
