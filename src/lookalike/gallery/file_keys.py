"""The keys of files: those of stored images, else the name of the folder that was added and the path below it."""

import os
from collections.abc import Sequence
from itertools import islice

from lookalike.catalog import Catalog
from lookalike.catalog.roots import Root
from lookalike.image_files import is_text
from lookalike.sources.urls import is_url
from lookalike.types import FoundFile, FoundObject, Outcome

MAX_COMPARED = 32
"""Files of a folder that is gone which are looked for in a new one, to recognise it as the same folder."""
MIN_FOUND = 0.9
"""Share of them that must be there, with the same size and time."""
MAX_TIME_DIFFERENCE = 2_000_000_000
"""Nanoseconds by which the time of a copied file may differ: FAT stores even seconds."""


class FileKeys:
    """Keys of the files of one tenant; folders are remembered when their first file is added."""

    def __init__(self, catalog: Catalog, tenant: int) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._roots = catalog.roots.of_tenant(tenant)
        self._canonical: dict[str, str] = {}
        self._folders: dict[str, str | None] = {}

    def register(self, found: FoundFile | FoundObject) -> Outcome | None:
        """Remember the folder of a file, if it is new; returns an outcome where a known folder was moved there."""
        if found.root is None or found.root in self._canonical or not is_text(found.root):
            return None
        folder = self.canonical(found.root)
        if root_of(self._roots, folder) is not None:
            return None
        moved = self._moved_to(folder)
        if moved is not None:
            self._catalog.roots.move(self._tenant, moved, folder)
        else:
            name = os.path.basename(folder) or "files"  # noqa: PTH119 - of a path as text
            self._catalog.roots.register(self._tenant, folder, ["", name] if found.is_alone else [name])
        self._roots = self._catalog.roots.of_tenant(self._tenant)
        self._folders.clear()
        return None if moved is None else Outcome(folder, folder, "moved", f"it was {moved.path} before")

    def canonical(self, folder: str) -> str:
        """The path by which the gallery knows a folder: one reached through a link is the folder itself."""
        if folder not in self._canonical:
            self._canonical[folder] = self._resolve(folder)
        return self._canonical[folder]

    def path_of(self, found: FoundFile | FoundObject) -> str:
        """The path of a file below the path by which the gallery knows its folder."""
        if isinstance(found, FoundObject):
            return found.url
        if found.root is None or (folder := self._canonical.get(found.root, found.root)) == found.root:
            return found.path
        return folder + found.path[len(found.root) :]

    def key_of(self, path: str) -> str:
        """The key of a new file."""
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            root = root_of(self._roots, folder)
            below = None if root is None else folder[len(root.path.rstrip("/")) :].lstrip("/")
            self._folders[folder] = None if root is None else root.prefix + (f"{below}/" if below else "")
        return (self._folders[folder] or "") + name

    def _resolve(self, folder: str) -> str:
        if is_url(folder) or root_of(self._roots, folder) is not None:
            return folder
        real = os.path.realpath(folder)
        for root in self._roots:
            if is_url(root.path):
                continue
            known = os.path.realpath(root.path)
            if real == known or real.startswith(f"{known}/"):
                return root.path + real[len(known) :]
        return folder

    def _moved_to(self, folder: str) -> Root | None:
        """The known folder that is gone and whose files are in this one; prefixes of object stores are not compared."""
        for root in () if is_url(folder) else self._roots:
            if is_url(root.path) or os.path.lexists(root.path):
                continue
            files = list(islice(self._catalog.paths.below(self._tenant, root.path), MAX_COMPARED))
            there = sum(
                _is_same_file(folder + file.path[len(root.path) :], file.nbytes, file.mtime_ns) for file in files
            )
            if files and there >= MIN_FOUND * len(files):
                return root
        return None


def root_of(roots: Sequence[Root], path: str) -> Root | None:
    """The innermost of these folders that is, or holds, a path."""
    holding = [root for root in roots if path == root.path or path.startswith(root.path.rstrip("/") + "/")]
    return max(holding, key=lambda root: len(root.path), default=None)


def _is_same_file(path: str, nbytes: int, mtime_ns: int | None) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116 - for many files
    except OSError:
        return False
    return found.st_size == nbytes and abs(found.st_mtime_ns - (mtime_ns or 0)) <= MAX_TIME_DIFFERENCE
