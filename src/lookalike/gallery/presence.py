"""Which images' files are gone, and which folders are away as a whole, as an unplugged disk is."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lookalike.catalog.origins import Root, root_of
from lookalike.results import Cluster
from lookalike.sources.urls import is_url, members_of, parent_of, split_member
from lookalike.types import Answer, Record

FileId = tuple[int, int]
"""Device and inode."""


def is_gone(path: str) -> bool:
    """Return whether there is no file at a path, or a folder; one that cannot be looked at is not gone."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - for every hit of a search
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False


def is_away(folder: str) -> bool:
    """Return whether a folder is not there, or empty, as the mount point of an unplugged disk is."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def file_id(path: str) -> FileId | None:
    """Return the device and inode of a file, None where it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - for every image of a cluster
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


class FilePresence:
    """Tells missing files from those of folders that are away. Folders are looked at once, files at every call.

    Object stores are not asked, for this is done for every hit of a search: see `missing_files`.
    """

    def __init__(self, load_roots: Callable[[], Sequence[Root]]) -> None:
        self._load_roots = load_roots
        self._roots: Sequence[Root] | None = None
        self._away: dict[str, bool] = {}

    def is_missing(self, path: str | None) -> bool:
        """Whether a file is gone while the folder that it was added from is there."""
        return path is not None and not is_url(path) and is_gone(path) and not self._is_away(self.folder_of(path))

    def is_out_of_reach(self, path: str) -> bool:
        """Whether a file is gone with the folder that it was added from, as those of an unplugged disk are."""
        return is_gone(path) and self._is_away(self.folder_of(path))

    def folder_of(self, path: str) -> str:
        """The folder that a file was added from; that of the file itself, or its archive, where it was given alone."""
        if self._roots is None:
            self._roots = self._load_roots()
        root = root_of(self._roots, path)
        if root is not None:
            return root.path
        if not is_url(path):
            return str(Path(path).parent)
        archive, member = split_member(path)
        return parent_of(path) if member is None else members_of(archive)

    def _is_away(self, folder: str) -> bool:
        if folder not in self._away:
            self._away[folder] = is_away(folder)
        return self._away[folder]

    def mark_records(self, records: Iterable[Record]) -> list[Record]:
        """The records, with `missing` set."""
        return [replace(one, missing=True) if self.is_missing(one.path) else one for one in records]

    def mark_answer(self, answer: Answer) -> Answer:
        """The answer, with `missing` set in its hits."""
        hits = tuple(replace(hit, missing=True) if self.is_missing(hit.path) else hit for hit in answer.hits)
        return replace(answer, hits=hits) if any(hit.missing for hit in hits) else answer

    def mark_clusters(self, clusters: Iterable[Cluster]) -> Iterator[Cluster]:
        """The clusters with `missing` set in their images, without those of fewer than two different files."""
        for cluster in clusters:
            images: list[Record] = []
            files: set[FileId | str] = set()
            for image in cluster.images:
                file = None if image.path is None else file_id(image.path)
                if file is None and self.is_missing(image.path):
                    images.append(replace(image, missing=True))
                    continue
                images.append(image)
                files.add(file or image.path or f"key {image.key}")
            if len(files) > 1:
                yield replace(cluster, images=tuple(images))
