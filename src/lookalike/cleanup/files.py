"""Files of a clean-up: what is known of them, and moves and copies that replace nothing and survive a crash."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import cast

from PIL import ExifTags

from lookalike.durability import sync_folder
from lookalike.errors import NotFound
from lookalike.imaging import formats

HEAD_BYTES = 4096
"""First bytes of a file, by which its format is recognized."""
_TIMES = (
    (ExifTags.IFD.Exif, ExifTags.Base.DateTimeOriginal),
    (ExifTags.IFD.Exif, ExifTags.Base.DateTimeDigitized),
)


@dataclass(frozen=True, slots=True)
class FileStatus:
    """State of a file: what it is on its disk, and whether the path is a symbolic link to it.

    Two paths with the same `identity` (device, inode) are names of one file; `names` counts its hard links.
    """

    path: str
    identity: tuple[int, int]
    nbytes: int
    mtime_ns: int
    mode: int
    names: int
    is_link: bool

    @property
    def is_read_only(self) -> bool:
        """Whether nobody may write the file: how people and cameras protect one."""
        return not self.mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """Whether a file has EXIF data of a camera or of when it was taken, and that time as sortable text."""

    has_exif: bool = False
    taken: str | None = None


def file_status(path: str) -> FileStatus | None:
    """The state of a regular file, followed through symbolic links; None where there is none that can be seen."""
    try:
        is_link = Path(path).is_symlink()
        found = os.stat(path)  # noqa: PTH116 - of every file of a plan
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    identity = (found.st_dev, found.st_ino)
    return FileStatus(path, identity, found.st_size, found.st_mtime_ns, found.st_mode, found.st_nlink, is_link)


def file_digest(path: str | Path) -> bytes:
    """SHA-256 of a file's bytes; raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def exif_facts(path: str) -> ExifFacts:
    """EXIF facts of a file; none for a file without or with damaged EXIF, or one that cannot be read.

    Reads the header only; EXIF that a PNG stores after its pixels is not seen.
    """
    try:
        with Path(path).open("rb") as file:
            kind = formats.identify(file.read(HEAD_BYTES))
            file.seek(0)
            exif = formats.READERS[kind](cast(BytesIO, file)).getexif()
            values = [exif.get_ifd(ifd).get(tag) for ifd, tag in _TIMES] + [exif.get(ExifTags.Base.DateTime)]
            camera = exif.get(ExifTags.Base.Make) or exif.get(ExifTags.Base.Model)
        taken = next((time for value in values if (time := _time_of(value)) is not None), None)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and then a file counts as having none
        return ExifFacts()
    return ExifFacts(has_exif=bool(camera) or taken is not None, taken=taken)


def _time_of(value: object) -> str | None:
    """An EXIF time in ISO 8601; None for one that was never set (cameras write zeros or blanks) or is damaged."""
    try:
        return datetime.strptime(str(value).strip("\0 "), "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None


class Folders:
    """A set of folders, and whether a file is below one of them, by device and inode: links and case do not matter."""

    def __init__(self, folders: Iterable[str | Path]) -> None:
        """Raises NotFound for a folder that does not exist: a protection that does not hold must be noticed."""
        self._identities: dict[tuple[int, int], str] = {}
        self._known: dict[Path, str | None] = {}
        for folder in folders:
            path = Path(folder).expanduser()
            if not path.is_dir():
                raise NotFound(f"no such folder: {path}; name an existing one")
            found = path.stat()
            self._identities[found.st_dev, found.st_ino] = str(folder)

    def containing(self, path: str) -> str | None:
        """The folder of the set, as it was given, that contains the file; None where there is none."""
        if not self._identities:
            return None
        return self._find(Path(os.path.realpath(os.path.dirname(path))))  # noqa: PTH120

    def _find(self, folder: Path) -> str | None:
        if folder not in self._known:
            try:
                found = folder.stat()
                inside = self._identities.get((found.st_dev, found.st_ino))
            except OSError:
                inside = None
            if inside is None and folder.parent != folder:
                inside = self._find(folder.parent)
            self._known[folder] = inside
        return self._known[folder]


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
