"""What the rules and checks of a clean-up need to know about files."""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import cast

from PIL import ExifTags

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
