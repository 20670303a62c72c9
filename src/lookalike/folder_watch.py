"""Following a folder: what is added, changed, moved or deleted in it while a process watches."""

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from lookalike.gallery import Gallery
from lookalike.gallery.presence import is_away
from lookalike.image_files import FolderScan, absolute
from lookalike.optional import require
from lookalike.results import DEFAULT_TENANT
from lookalike.types import Attributes, Found, FoundFile, Outcome

BURST_MILLISECONDS = 10_000
"""Changes of a burst are one batch, at most this long after the first of them."""
QUIET_MILLISECONDS = 500
"""A burst ends where nothing changes for so long: a file that is being copied changes all the time."""
CHECK_MILLISECONDS = 500
"""Time after which it is looked whether the folder is still there, if nothing changes."""

FORGOTTEN = "its file was deleted; the image is forgotten"

SizeAndTime = tuple[int, int]
"""Bytes of a file, and its modification time in nanoseconds: a move leaves both as they are."""


@dataclass(slots=True)
class FolderWatch:
    """Keeps the images of a folder as its files are, those of other folders stay.

    `scan` says what belongs to it; `stop` ends `run`.
    """

    gallery: Gallery
    folder: str
    scan: FolderScan = field(default_factory=FolderScan)
    tenant: str = DEFAULT_TENANT
    exif: bool = True
    again: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        require("watchfiles", purpose="watching a folder")
        self.folder = absolute(self.folder)

    def run(self) -> Iterator[list[Outcome]]:
        """Yield the outcomes of each batch, the first one those of the whole folder, until it is stopped.

        A folder that goes away is waited for, and nothing of it is forgotten; it is added as a whole when it is back.
        The first changes are noticed before the folder is added, so that none is missed.
        """
        while not self.stop.is_set():
            if not Path(self.folder).is_dir():
                reason = "unreadable: the folder is away; it is waited for, and its images are kept"
                yield [Outcome(self.folder, self.folder, "rejected", reason)]
                self._wait_for_folder()
                continue
            yield from self._watch()

    def _watch(self) -> Iterator[list[Outcome]]:
        """Yield the outcomes of the folder, and of what changes in it, until it is gone or this is stopped."""
        changes = self._changes()
        first = next(changes, [])  # watches from here on
        yield self._add_folder()
        for paths in chain([first], changes):
            if not Path(self.folder).is_dir():
                return
            if paths and (outcomes := self.apply(paths)):
                yield outcomes

    def apply(self, paths: Iterable[str]) -> list[Outcome]:
        """Bring the gallery up to date with these paths of files and folders, and return the outcomes.

        A file that was moved takes the attributes of its image along.
        """
        changed = sorted(set(paths))
        there = [path for path in changed if os.path.lexists(path)]
        gone = [path for path in changed if not os.path.lexists(path)]
        moved = self._attributes_by_file(gone)
        found = list(self._found(there, moved))
        outcomes = list(self.gallery.add_iter(found, tenant=self.tenant, exif=self.exif, again=self.again))
        forgotten = self.gallery.prune_paths(gone, tenant=self.tenant)
        outcomes += [Outcome(key, None, "missing", FORGOTTEN) for key in forgotten.keys]
        for folder, number in forgotten.away.items():
            reason = f"the folder is away or empty: {number:,} images of it are kept; `lookalike prune` forgets them"
            outcomes.append(Outcome(folder, folder, "rejected", reason))
        return outcomes

    def _add_folder(self) -> list[Outcome]:
        excluded = self.scan.excludes
        add = self.gallery.add_iter
        return list(add(self.folder, tenant=self.tenant, exif=self.exif, exclude=excluded, again=self.again))

    def _changes(self) -> Iterator[list[str]]:
        """Yield the paths of each burst, none where nothing changes for a time."""
        from watchfiles import watch  # noqa: PLC0415 - of the extra watch

        batches = watch(
            self.folder,
            watch_filter=None,
            debounce=BURST_MILLISECONDS,
            step=QUIET_MILLISECONDS,
            rust_timeout=CHECK_MILLISECONDS,
            yield_on_timeout=True,
            stop_event=self.stop,
            raise_interrupt=True,
            ignore_permission_denied=True,
        )
        for batch in batches:
            yield [path for _, path in batch]

    def _found(self, paths: Iterable[str], moved: dict[SizeAndTime, Attributes]) -> Iterator[Found]:
        seen: set[str] = set()  # a new folder and its files are changes of their own
        for path in paths:
            for one in self.scan.changed(self.folder, path):
                if isinstance(one, Outcome):
                    yield one
                elif one not in seen:
                    seen.add(one)
                    yield FoundFile(one, self.folder, _attributes_of(one, moved))

    def _attributes_by_file(self, gone: Iterable[str]) -> dict[SizeAndTime, Attributes]:
        """The attributes of the images of these files, by size and time, which a move leaves as they are."""
        catalog = self.gallery.catalog
        tenant_id = catalog.tenants.find(self.tenant)
        if tenant_id is None:
            return {}
        files = [file for path in gone for file in catalog.paths.at_or_below(tenant_id, path)]
        images = catalog.images.existing_images(tenant_id, [file.key for file in files])
        by_file: dict[SizeAndTime, Attributes] = {}
        for file in files:
            if file.mtime_ns is not None and (image := images.get(file.key)) is not None and image.attributes:
                by_file[file.nbytes, file.mtime_ns] = image.attributes
        return by_file

    def _wait_for_folder(self) -> None:
        while not self.stop.is_set() and is_away(self.folder):
            self.stop.wait(CHECK_MILLISECONDS / 1000)


def _attributes_of(path: str, moved: dict[SizeAndTime, Attributes]) -> Attributes | None:
    if not moved:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116 - as elsewhere for files of folders
    except OSError:
        return None
    return moved.get((status.st_size, status.st_mtime_ns))
