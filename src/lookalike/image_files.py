"""Finds the image files of folders, and makes items of files."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import translate
from pathlib import Path

import numpy as np

from lookalike.errors import BadInput, ImageRejected, LookalikeError, NotFound
from lookalike.imaging import Limits, encode_pixels
from lookalike.imaging.raw_preview import SIGNATURES as RAW_SIGNATURES
from lookalike.sources.archives import archive_images
from lookalike.sources.objects import FEW_ATTEMPTS, expand_glob, list_objects, read_object, stat_object
from lookalike.sources.urls import (
    LOCAL,
    MEMBER,
    canonical_url,
    expand_numbers,
    is_archive,
    is_local,
    is_url,
    members_of,
    split_member,
)
from lookalike.types import (
    Addable,
    Attributes,
    Found,
    FoundArchive,
    FoundFile,
    FoundObject,
    Item,
    Outcome,
    ScannedFolder,
)

EXTENSIONS = frozenset(
    (
        ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs .heic .heif .hif .mpo "
        ".jxl .jp2 .j2k .j2c .jpc .jpf .jpx .ico .ppm .pgm .pbm .pnm .tga .icb .vda .vst .psd "
        ".dng .nef .nrw .crw .cr2 .cr3 .arw .sr2 .srf .orf .rw2 .rwl .pef .raf .srw .3fr .fff .iiq "
        ".mrw .erf .kdc .dcr .x3f"
    ).split()
)
DEFAULT_EXCLUDES = ("@eaDir", ".thumbnails", "Thumbs.db", "__MACOSX", ".git")
"""Names of files and folders that are never images of their owner: thumbnails and metadata of other programs."""
MAX_SUFFIX = 8
"""Characters of an extension that is reported as a format; a longer one is part of a name."""
_MAGIC = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ", b"8BPS\0\1", *RAW_SIGNATURES),
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
    limits: Limits | None = None,
) -> Iterator[Found]:
    """Yield the image files of files and folders, and what else is among them as it is.

    Images in memory become files: one alone needs a key, several are `Item`s.
    """
    if not isinstance(what, str | Path) and (isinstance(what, np.ndarray) or not isinstance(what, Iterable)):
        if key is None:
            raise BadInput("an image in memory needs a key: add(image, key=...)")
        what = [Item(key, what, attributes)]
    scan = FolderScan((*DEFAULT_EXCLUDES, *exclude), limits or Limits())
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
        elif isinstance(source, FoundFile | FoundObject | FoundArchive | ScannedFolder | Outcome):
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


def with_keys(found: Iterable[Found], prefix_of: Callable[[FoundFile | FoundObject], str]) -> Iterator[Item | Outcome]:
    """Yield items for a gallery that does not see the files, under keys relative to the folders given.

    `prefix_of` says what such a key begins with. Of two files that would get the same key the second is rejected,
    because it would replace the first. Objects are read here, one after the other.
    """
    seen: dict[str, str] = {}
    for one in _members_too(found):
        if isinstance(one, Item | Outcome):
            yield one
        elif isinstance(one, FoundFile | FoundObject):
            key, path = prefix_of(one) + one.relative, one.path if isinstance(one, FoundFile) else one.url
            if seen.setdefault(key, path) == path:
                yield _as_item(key, one)
            else:
                reason = f"{seen[key]} has the same key; add the folder that holds both, or use another gallery"
                yield Outcome(key, path, "rejected", reason)


def _members_too(found: Iterable[Found]) -> Iterator[Found]:
    for one in found:
        if isinstance(one, FoundArchive):
            yield from one.members()
        else:
            yield one


def _as_item(key: str, one: FoundFile | FoundObject) -> Item | Outcome:
    """Return an item that can be read without a gallery: its path, or the bytes of an object."""
    if isinstance(one, FoundFile) or not is_url(one.url):
        return Item(key, one.path if isinstance(one, FoundFile) else one.url, one.attributes)
    try:
        data = one.data if one.data is not None else read_object(one.url, Limits(), one.nbytes)
    except LookalikeError as error:
        return Outcome(key, one.url, "rejected", f"unreadable: {error}")
    return Item(key, data, one.attributes)


def find_files(
    paths: Iterable[str | Path],
    *,
    key: str | None = None,
    attributes: Attributes | None = None,
    scan: "FolderScan | None" = None,
) -> Iterator[Found]:
    """Yield the image files of files and folders, in name order; what cannot be read is a rejected outcome.

    A path may be a URL: an object, or a prefix, in the order of its store; one that ends in the name of an archive is
    that archive. `*` and `{0..9}` in a URL are expanded. A `key` makes an item of a single file; other files get their
    keys from the gallery. Hidden and excluded names, linked folders, other galleries and files that are no images are
    counted in `scan`. Raises NotFound for a path that does not exist, before anything is read.
    """
    roots = [root for path in paths for root in _expanded(absolute(path))]
    for root in roots:
        if not is_url(root) and _is_absent(root):
            raise NotFound(f"no such file or folder: {root}")
    folders = [root for root in roots if _is_folder(root)]
    if key is not None and (len(roots) != 1 or folders or is_archive(roots[0])):
        raise BadInput("a key can be given for exactly one file")
    return _find(roots, folders, key, attributes, scan or FolderScan())


def absolute(path: str | Path) -> str:
    """Return the absolute path of a file or folder, with `~` expanded, links in it are kept; a URL as it is stored."""
    if isinstance(path, str) and is_url(path):
        return canonical_url(path)
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - keeps links


def _is_absent(root: str) -> bool:
    """Whether there is nothing at a path; below a locked folder that is found out on reading."""
    try:
        os.lstat(root)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False


def _expanded(root: str) -> list[str]:
    if not is_url(root):
        return [root]
    return [one for url in expand_numbers(root) for one in (expand_glob(url) if "*" in url else [url])]


def _is_folder(root: str) -> bool:
    """Whether a path is a folder, or a URL a prefix; raises NotFound for a URL of which there is neither."""
    if not is_url(root):
        return os.path.isdir(root)  # noqa: PTH112 - False where forbidden
    return not (MEMBER in root or is_archive(root)) and stat_object(root, FEW_ATTEMPTS).is_folder


def _find(
    roots: list[str], folders: list[str], key: str | None, attributes: Attributes | None, scan: "FolderScan"
) -> Iterator[Found]:
    is_alone = len(folders) == 1
    for root in roots:
        if is_url(root) or (is_archive(root) and root not in folders):
            yield from _find_remote(root, root in folders, key, attributes, scan, is_alone)
        elif root in folders:
            for path in scan.files_below(root):
                yield path if isinstance(path, Outcome) else FoundFile(path, root, attributes, is_alone)
            yield ScannedFolder(root)
        elif not is_text(root):
            yield not_utf8(root)
        elif key is not None:
            yield Item(key, root, attributes)
        else:
            yield FoundFile(root, None, attributes)


def _find_remote(
    root: str,
    is_prefix: bool,
    key: str | None,
    attributes: Attributes | None,
    scan: "FolderScan",
    is_alone: bool,
) -> Iterator[Found]:
    """Yield what a URL names: the images below a prefix, one object, or an archive, also one of this machine."""
    archive, inside = split_member(root)
    if is_archive(archive):
        yield _archive(archive if is_url(archive) else LOCAL + archive, inside, attributes, scan)
        return
    if not is_prefix:
        info = stat_object(root, FEW_ATTEMPTS)
        yield FoundObject(root, None, attributes, key=key, etag=info.etag, nbytes=info.nbytes)
        return
    try:
        for info in list_objects(root):
            if not is_text(info.url):
                yield not_utf8(info.url)
            elif not scan.passes_over(info.url[len(root) :].lstrip("/")):
                yield FoundObject(info.url, root, attributes, is_alone, etag=info.etag, nbytes=info.nbytes)
    except LookalikeError as error:
        yield Outcome(root, root, "rejected", f"unreadable: it cannot be listed further: {error}")
        return
    yield ScannedFolder(root)


def _archive(url: str, inside: str | None, attributes: Attributes | None, scan: "FolderScan") -> Found:
    """Return an archive, or the part of it below `inside`, which is never known to be complete."""
    try:
        if is_local(url):
            status = os.stat(url.removeprefix(LOCAL))  # noqa: PTH116 - as elsewhere here
            etag, nbytes = f"{status.st_mtime_ns} {status.st_size}", status.st_size
        else:
            info = stat_object(url)
            etag, nbytes = info.etag or "", info.nbytes
    except (OSError, LookalikeError) as error:
        return Outcome(url, url, "rejected", f"unreadable: {error}")

    def members() -> Iterator[Found]:
        if inside is None:
            yield from archive_images(url, etag or None, scan.limits, scan.passes_over, attributes)
            yield ScannedFolder(members_of(url))
            return
        start = inside.rstrip("/")

        def is_outside(name: str) -> bool:
            return not (name == start or name.startswith(f"{start}/")) or scan.passes_over(name)

        yield from archive_images(url, etag or None, scan.limits, is_outside, attributes)

    return FoundArchive(url, etag or None if inside is None else None, nbytes, members, attributes)


@dataclass(slots=True)
class FolderScan:
    """Finds the image files below folders, and counts what it passes over by kind.

    `excludes` are patterns as of `fnmatch`, for a name, or, where they contain a slash, for the path below the folder.
    `limits` are those of the members of archives.
    `passed_over` counts files by extension ("jxl", "no extension"), and other entries by what they are.
    """

    excludes: tuple[str, ...] = DEFAULT_EXCLUDES
    limits: Limits = field(default_factory=Limits)
    passed_over: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    _names: re.Pattern[str] = field(init=False)
    _paths: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self._names = _any_of(pattern for pattern in self.excludes if "/" not in pattern.rstrip("/"))
        self._paths = _any_of(pattern for pattern in self.excludes if "/" in pattern.rstrip("/"))

    def passes_over(self, name: str) -> bool:
        """Return whether an object or a member is no image by its name below what was given; it is counted then.

        Names without an extension may be images: whether they are is not known before they are read.
        """
        parts = name.split("/")
        for depth, part in enumerate(parts, 1):
            if part.startswith(".") or self._matches(part, "/".join(parts[:depth]), ""):
                self.others["hidden or excluded"] += 1
                return True
        suffix = os.path.splitext(parts[-1])[1].lower()  # noqa: PTH122 - faster than making a Path
        if suffix in EXTENSIONS or not 1 < len(suffix) <= MAX_SUFFIX + 1:
            return False
        self.passed_over[suffix[1:]] += 1
        return True

    def changed(self, folder: str, path: str) -> Iterator[str | Outcome]:
        """Yield the images of one file or folder below a folder as `files_below` would, without reading the rest."""
        names = path[len(folder) :].strip(os.sep).split(os.sep)  # noqa: PTH206
        if names == [""]:
            return  # the folder itself
        at = folder
        for name in names:
            at = os.path.join(at, name)  # noqa: PTH118 - keeps what is no Unicode
            if name.startswith(".") or self._matches(name, at, folder):
                self.others["hidden or excluded"] += 1
                return
            if at != path and (os.path.islink(at) or os.path.isfile(os.path.join(at, "gallery.toml"))):  # noqa: PTH113, PTH114, PTH118
                return
        if not os.path.isdir(path) or os.path.islink(path):  # noqa: PTH112, PTH114
            if (found := self._file(_Entry(path), folder)) is not None:
                yield found
        elif not os.path.isfile(os.path.join(path, "gallery.toml")):  # noqa: PTH113, PTH118
            yield from self.files_below(folder, path)

    def files_below(self, folder: str | Path, start: str | None = None) -> Iterator[str | Outcome]:
        """Yield the paths of a folder's images, in name order; what cannot be entered is a rejected outcome.

        `start` is a folder below it to which they are restricted.
        """
        top = str(folder)
        stack = [self._entries(start or top)]
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

    def _file(self, entry: "os.DirEntry[str] | _Entry", top: str) -> str | Outcome | None:
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


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file by its path, as an `os.DirEntry`."""

    path: str

    @property
    def name(self) -> str:
        return os.path.basename(self.path)  # noqa: PTH119

    def is_symlink(self) -> bool:
        return os.path.islink(self.path)  # noqa: PTH114


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
