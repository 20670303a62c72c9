"""Files and folders to items with keys."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.imaging import encode_pixels
from lookalike.types import Addable, Attributes, Item, Outcome

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs .heic .heif .hif .mpo".split()
)
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


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


def items_of(what: Addable, key: str | None, attributes: Attributes | None) -> Iterator[Item | Outcome]:
    """Yield the items of files and folders, and items as they are; paths in one list cannot take the same key.

    Images in memory become files: one alone needs a key, several are `Item`s.
    """
    if not isinstance(what, str | Path) and (isinstance(what, np.ndarray) or not isinstance(what, Iterable)):
        if key is None:
            raise BadInput("an image in memory needs a key: add(image, key=...)")
        what = [Item(key, what, attributes)]
    sources = [what] if isinstance(what, str | Path) else what
    if isinstance(sources, list | tuple) and all(isinstance(source, str | Path) for source in sources):
        yield from items_from([s for s in sources if isinstance(s, str | Path)], key=key, attributes=attributes)
        return
    for source in sources:
        if isinstance(source, str | Path):
            yield from items_from([source], key=key, attributes=attributes)
        elif isinstance(source, Outcome | Item):
            yield encoded(source)
        else:
            raise TypeError(f"items to add are paths, `Item`s and outcomes, not {type(source).__name__}")


def encoded(item: Item | Outcome) -> Item | Outcome:
    """Return an item whose image in memory, if it is one, is replaced by a file's bytes; rejected if that fails."""
    if isinstance(item, Outcome) or isinstance(item.source, str | Path | bytes):
        return item
    try:
        return replace(item, source=encode_pixels(item.source))
    except ImageRejected as error:
        return Outcome(item.key, None, "rejected", f"{error.reason}: {error}")


def items_from(
    paths: Iterable[str | Path], *, key: str | None = None, attributes: Attributes | None = None
) -> Iterator[Item | Outcome]:
    """Yield the items of files and folders, in name order; what cannot be an item is a rejected outcome.

    The key of a file is its name, below a folder its path relative to that folder, with forward slashes; `key` sets
    that of a single file. Hidden names, linked folders and other galleries are skipped. Of two images that would get
    the same key in one call the second is rejected, because it would replace the first. Raises NotFound for a path
    that does not exist, before anything is read.
    """
    roots = [Path(os.path.abspath(Path(path).expanduser())) for path in paths]  # noqa: PTH100 - keeps links
    for root in roots:
        if not root.exists():
            raise NotFound(f"no such file or folder: {root}")
    if key is not None and (len(roots) != 1 or roots[0].is_dir()):
        raise BadInput("a key can be given for exactly one file")
    return _named(roots, key, attributes)


def _named(roots: list[Path], key: str | None, attributes: Attributes | None) -> Iterator[Item | Outcome]:
    seen: dict[str, str] | None = {} if len(roots) > 1 else None  # one root cannot repeat a key
    for root, path in _files_of(roots):
        if isinstance(path, Outcome):
            yield path
            continue
        name = key or _relative(root, path) or root.name
        if not _is_text(path):
            printable = os.fsencode(path).decode(errors="replace")
            yield Outcome(printable, printable, "rejected", "the name is not valid UTF-8; rename the file")
        elif seen is not None and seen.setdefault(name, path) != path:
            reason = f"{seen[name]} has the same key; add the folder that holds both, or use another gallery"
            yield Outcome(name, path, "rejected", reason)
        else:
            yield Item(name, path, attributes)


def _files_of(roots: list[Path]) -> Iterator[tuple[Path, str | Outcome]]:
    for root in roots:
        if root.is_dir():
            yield from ((root, path) for path in files_below(root))
        else:
            yield root, str(root)


def _relative(root: Path, path: str) -> str:
    """Return the path relative to its root, with forward slashes; ten times faster than `Path.relative_to`."""
    return path[len(str(root)) :].lstrip(os.sep).replace(os.sep, "/")


def files_below(folder: Path) -> Iterator[str | Outcome]:
    """Yield the paths of a folder's images, in name order; a folder that cannot be read is a rejected outcome."""
    try:
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        yield Outcome(str(folder), str(folder), "rejected", f"cannot read the folder: {error.strerror}")
        return
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            subfolder = Path(entry.path)
            if not (subfolder / "gallery.toml").is_file():  # a gallery's own files are not images to add
                yield from files_below(subfolder)
        elif not entry.is_dir() and is_image_file(entry.path):
            yield entry.path


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
