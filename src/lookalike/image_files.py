"""Finds the image files of folders, and makes items of files."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import translate
from pathlib import Path

import numpy as np

from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.imaging import encode_pixels
from lookalike.types import Addable, Attributes, Found, FoundFile, Item, Outcome, ScannedFolder

EXTENSIONS = frozenset(
    (
        ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs .heic .heif .hif .mpo "
        ".jxl .jp2 .j2k .j2c .jpc .jpf .jpx .ico .ppm .pgm .pbm .pnm .tga .icb .vda .vst .psd "
        ".dng .nef .nrw .cr2 .cr3 .arw .sr2 .srf .orf .rw2 .rwl .pef .raf .srw .3fr .fff .iiq .mrw .erf .kdc .dcr .x3f"
    ).split()
)
DEFAULT_EXCLUDES = ("@eaDir", ".thumbnails", "Thumbs.db", "__MACOSX", ".git")
"""Names of files and folders that are never images of their owner: thumbnails and metadata of other programs."""
MAX_SUFFIX = 8
"""Characters of an extension that is reported as a format; a longer one is part of a name."""
_MAGIC = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ", b"8BPS\0\1", b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR"),
)
_BRANDS = (b"avif", b"avis", b"crx ", b"mif3", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_image_file(path: str) -> bool:
    """Return whether a file in a folder is probably an image, by its extension or else by its first bytes.

    This only keeps other files of the folder from being reported as broken images; decoding checks for itself.
    """
    if os.path.splitext(path)[1].lower() in EXTENSIONS:  # noqa: PTH122 - ten times faster than making a Path
        return True
    try:
        with Path(path).open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    return head.startswith(_MAGIC) or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)


def files_of(
    what: Addable,
    key: str | None,
    attributes: Attributes | None,
    exclude: Iterable[str] = (),
) -> Iterator[Found]:
    """Yield the image files of files and folders, and what else is among them as it is.

    Images in memory become files: one alone needs a key, several are `Item`s.
    """
    if not isinstance(what, str | Path) and (isinstance(what, np.ndarray) or not isinstance(what, Iterable)):
        if key is None:
            raise BadInput("an image in memory needs a key: add(image, key=...)")
        what = [Item(key, what, attributes)]
    scan = FolderScan((*DEFAULT_EXCLUDES, *exclude))
    sources = [what] if isinstance(what, str | Path) else what
    if isinstance(sources, list | tuple) and all(isinstance(source, str | Path) for source in sources):
        paths = [source for source in sources if isinstance(source, str | Path)]
        yield from find_files(paths, key=key, attributes=attributes, scan=scan)
        return
    for source in sources:
        if isinstance(source, str | Path):
            yield from find_files([source], key=key, attributes=attributes, scan=scan)
        elif isinstance(source, Item):
            yield encoded(source)
        elif isinstance(source, FoundFile | ScannedFolder | Outcome):
            yield source
        else:
            raise TypeError(f"items to add are paths, `Item`s and outcomes, not {type(source).__name__}")


def encoded(item: Item) -> Item | Outcome:
    """Return an item whose image in memory, if it is one, is replaced by a file's bytes; rejected if that fails."""
    if isinstance(item.source, str | Path | bytes):
        return item
    try:
        return replace(item, source=encode_pixels(item.source))
    except ImageRejected as error:
        return Outcome(item.key, None, "rejected", f"{error.reason}: {error}")


def with_relative_keys(found: Iterable[Found]) -> Iterator[Item | Outcome]:
    """Yield items under keys relative to the folders given, for a gallery that does not know them.

    Of two files that would get the same key the second is rejected, because it would replace the first.
    """
    seen: dict[str, str] = {}
    for one in found:
        if isinstance(one, Item | Outcome):
            yield one
        elif isinstance(one, FoundFile):
            key = one.relative
            if seen.setdefault(key, one.path) == one.path:
                yield Item(key, one.path, one.attributes)
            else:
                reason = f"{seen[key]} has the same key; add the folder that holds both, or use another gallery"
                yield Outcome(key, one.path, "rejected", reason)


def find_files(
    paths: Iterable[str | Path],
    *,
    key: str | None = None,
    attributes: Attributes | None = None,
    scan: "FolderScan | None" = None,
) -> Iterator[Found]:
    """Yield the image files of files and folders, in name order; what cannot be read is a rejected outcome.

    A `key` makes an item of a single file; other files get their keys from the gallery. Hidden and excluded names,
    linked folders, other galleries and files that are no images are counted in `scan.passed_over`. Raises NotFound for
    a path that does not exist, before anything is read.
    """
    roots = [absolute(path) for path in paths]
    for root in roots:
        if not os.path.lexists(root):
            raise NotFound(f"no such file or folder: {root}")
    if key is not None and (len(roots) != 1 or os.path.isdir(roots[0])):  # noqa: PTH112 - False where forbidden
        raise BadInput("a key can be given for exactly one file")
    return _find(roots, key, attributes, scan or FolderScan())


def absolute(path: str | Path) -> str:
    """Return the absolute path of a file or folder, with `~` expanded; links in it are kept."""
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - keeps links


def _find(roots: list[str], key: str | None, attributes: Attributes | None, scan: "FolderScan") -> Iterator[Found]:
    is_alone = sum(map(os.path.isdir, roots)) == 1
    for root in roots:
        if os.path.isdir(root):  # noqa: PTH112 - False where forbidden
            for path in scan.files_below(root):
                yield path if isinstance(path, Outcome) else FoundFile(path, root, attributes, is_alone)
            yield ScannedFolder(root)
        elif not is_text(root):
            yield not_utf8(root)
        elif key is not None:
            yield Item(key, root, attributes)
        else:
            yield FoundFile(root, None, attributes)


@dataclass(slots=True)
class FolderScan:
    """Finds the image files below folders, and counts what it passes over by kind.

    `excludes` are patterns as of `fnmatch`, for a name, or, where they contain a slash, for the path below the folder.
    `passed_over` counts files by extension ("jxl", "no extension"), and other entries by what they are.
    """

    excludes: tuple[str, ...] = DEFAULT_EXCLUDES
    passed_over: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    _names: re.Pattern[str] = field(init=False)
    _paths: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self._names = _any_of(pattern for pattern in self.excludes if "/" not in pattern.rstrip("/"))
        self._paths = _any_of(pattern for pattern in self.excludes if "/" in pattern.rstrip("/"))

    def files_below(self, folder: str | Path) -> Iterator[str | Outcome]:
        """Yield the paths of a folder's images, in name order; what cannot be entered is a rejected outcome."""
        top = str(folder)
        stack = [self._entries(top)]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, Outcome):
                yield entry
            elif self._is_excluded(entry, top):
                self.others["hidden or excluded"] += 1
            elif entry.is_dir(follow_symlinks=False):
                if os.path.isfile(os.path.join(entry.path, "gallery.toml")):  # noqa: PTH113, PTH118 - False if forbidden
                    self.others["galleries"] += 1
                else:
                    stack.append(self._entries(entry.path))
            elif (found := self._file(entry, top)) is not None:
                yield found

    def _entries(self, folder: str) -> Iterator["os.DirEntry[str] | Outcome"]:
        """Yield a folder's entries in name order, or, where it cannot be read, a rejected outcome."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Outcome(folder, folder, "rejected", f"cannot read the folder: {error.strerror}")
            return
        yield from found

    def _is_excluded(self, entry: "os.DirEntry[str]", top: str) -> bool:
        return entry.name.startswith(".") or self._matches(entry.name, entry.path, top)

    def _matches(self, name: str, path: str, top: str) -> bool:
        return bool(self._names.match(name) or self._paths.match(path[len(top) :].lstrip(os.sep)))

    def _file(self, entry: "os.DirEntry[str]", top: str) -> str | Outcome | None:
        """Return the path of an image file; an outcome for what cannot be read; None for what is passed over."""
        if entry.is_symlink():
            linked = self._link(entry.path, top)
            if linked is not None:
                return linked if isinstance(linked, Outcome) else None
        if not is_image_file(entry.path):
            suffix = os.path.splitext(entry.name)[1][1:].lower()  # noqa: PTH122 - faster than making a Path
            self.passed_over[suffix if 0 < len(suffix) <= MAX_SUFFIX and is_text(suffix) else "no extension"] += 1
            return None
        return entry.path if is_text(entry.path) else not_utf8(entry.path)

    def _link(self, path: str, top: str) -> Outcome | bool | None:
        """Examine a symbolic link: an outcome to report, True for one to pass over, None for one to read as a file."""
        try:
            os.stat(path)  # noqa: PTH116 - the name may be any bytes
        except OSError as error:
            target = os.readlink(path) if os.path.islink(path) else ""  # noqa: PTH114, PTH115
            return Outcome(path, path, "rejected", f"unreadable: the link to {target} leads nowhere: {error.strerror}")
        if os.path.isdir(path):  # noqa: PTH112
            self.others["linked folders"] += 1
            return True
        target = os.path.realpath(path)
        folder = os.path.realpath(top)
        if target.startswith(os.path.join(folder, "")) and is_image_file(target):  # noqa: PTH118
            names = target[len(folder) :].lstrip(os.sep).split(os.sep)  # noqa: PTH206
            if not any(name.startswith(".") or self._matches(name, target, folder) for name in names):
                return Outcome(path, path, "linked", f"the same file as {target}")
        return None


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return an expression that matches what one of these patterns matches."""
    return re.compile("|".join(translate(pattern.rstrip("/")) for pattern in patterns) or r"(?!)")


def is_text(name: str) -> bool:
    """Return whether a file's name is valid Unicode; other names hold lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_utf8(path: str) -> Outcome:
    """Return the outcome of a file whose name cannot be stored; its bytes stay in the path as lone surrogates."""
    return Outcome(path, path, "rejected", "the name is not valid UTF-8; rename the file")
