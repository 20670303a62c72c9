"""Finds, reports and forgets the images of a tenant whose files are gone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from lookalike.catalog import Catalog, StoredFile
from lookalike.catalog.statements import BATCH, batches
from lookalike.errors import LookalikeError, NotFound
from lookalike.gallery.item_lookup import FileKeys, SeenImages, is_uploaded
from lookalike.gallery.originals import Originals, State
from lookalike.gallery.presence import FilePresence, is_away
from lookalike.image_files import absolute
from lookalike.results import MissingFiles
from lookalike.sources.objects import list_objects
from lookalike.sources.urls import MEMBER, is_members, is_url, split_member
from lookalike.types import Outcome

MIN_REMAINING = 2
"""Images of a folder from which on it counts as away where none of their files is left."""


@dataclass(slots=True)
class MissingFinder:
    """Looks for the files of a tenant's images. Of object stores, only where `remote`, each object is asked for."""

    catalog: Catalog
    tenant: int
    originals: Originals
    remote: bool = True
    _archives: dict[str, str | None] = field(default_factory=dict)

    def find(self, given: str | Path | None, *, whole_folder: bool = False) -> MissingFiles:
        """Return the images whose files are gone; those of folders that are away are counted, or `whole_folder` named.

        Raises NotFound for a folder that no image was added from.
        """
        missing, away = self._find(given, whole_folder=whole_folder)
        return MissingFiles(tuple(file.key for file in missing), away)

    def prune(self, given: str | Path | None, *, whole_folder: bool) -> MissingFiles:
        """Remove the images that `find` returns."""
        missing, away = self._find(given, whole_folder=whole_folder)
        removed = self._remove(missing, even_unreachable=whole_folder)
        if whole_folder:
            for root in self.catalog.roots.of_tenant(self.tenant):
                if is_uploaded(root):  # its images have no path
                    continue
                empty = next(self.catalog.paths.below(self.tenant, root.path), None) is None
                if empty and (is_url(root.path) or is_away(root.path)):
                    self.catalog.roots.forget(root)  # its name is free again
        return MissingFiles(tuple(removed), away)

    def prune_paths(self, paths: Iterable[str]) -> MissingFiles:
        """Remove the images of these files, or below these folders, that are gone while the folder added is there."""
        presence = self._presence()
        files: dict[int, StoredFile] = {}
        keys = FileKeys(self.catalog, self.tenant)
        for path in paths:
            files.update((file.id, file) for file in self.catalog.paths.at_or_below(self.tenant, keys.canonical(path)))
        gone: list[StoredFile] = []
        away: Counter[str] = Counter()
        for file, state in self._states(files.values()):
            if state == "gone":
                root = presence.folder_of(file.path)
                if is_away(root):
                    away[root] += 1
                else:
                    gone.append(file)
        return MissingFiles(tuple(self._remove(gone, even_unreachable=False)), dict(away))

    def report(self, folder: str, seen: SeenImages) -> Iterator[Outcome]:
        """Yield the images whose files are gone from a folder, a prefix or an archive that was just added.

        Files that were `seen`, and images added since, are not looked at again; members that were not are gone.
        """
        files = self.catalog.paths.below(self.tenant, folder)
        of_archive, is_remote = is_members(folder), is_url(folder)
        if not of_archive and (not seen.counts[folder] if is_remote else is_away(folder)):
            if number := sum(1 for _ in files):
                what = "there is no image below it" if is_remote else "the folder is empty"
                question = "is it the right place?" if is_remote else "is its disk there?"
                reason = f"{what}, and {number:,} images were added from it: {question} "
                yield Outcome(folder, folder, "rejected", f"{reason}`lookalike prune --whole-folder` forgets them")
            return
        before = self.catalog.paths.below(self.tenant, folder, through=seen.sequence)
        unseen = (file for file in before if not seen.has(file))
        for file, state in ((file, "gone") for file in unseen) if of_archive else self._states(unseen):
            if state == "gone":
                yield Outcome(file.key, file.path, "missing", "the file is gone", file.sequence)

    def _remove(self, missing: Sequence[StoredFile], *, even_unreachable: bool) -> list[str]:
        removed: list[str] = []
        for batch in batches(missing):  # one may have come back
            gone = [file.key for file, state in self._states(batch) if state == "gone" or even_unreachable]
            removed += [deleted.key for deleted in self.catalog.images.delete(self.tenant, gone, remember=False)]
        return removed

    def _find(self, given: str | Path | None, *, whole_folder: bool) -> tuple[list[StoredFile], dict[str, int]]:
        folder = None if given is None else FileKeys(self.catalog, self.tenant).canonical(absolute(given))
        presence = self._presence()
        missing: dict[str, list[StoredFile]] = {}
        away: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for file, state in self._states(self.catalog.paths.below(self.tenant, folder)):
            root = presence.folder_of(file.path)
            total[root] += 1
            if state == "unreachable" and not whole_folder:
                away[root] += 1
            elif state != "there":
                missing.setdefault(root, []).append(file)
        if folder is not None and not total:
            raise NotFound(f"no image was added from {folder}")
        kept: list[StoredFile] = []
        for root, files in missing.items():
            if not whole_folder and self._is_away(root, all_gone=len(files) == total[root]):
                away[root] += len(files)
            else:
                kept += files
        return kept, dict(away)

    def _states(self, files: Iterable[StoredFile]) -> Iterator[tuple[StoredFile, State]]:
        """Yield each file with its state; a member that its archive does not have any more is gone."""
        rest = iter(files)
        while batch := list(islice(rest, BATCH)):
            looked_at = [file for file in batch if self.remote or not is_url(file.path)]
            for file, state in zip(looked_at, self.originals.states([file.path for file in looked_at]), strict=True):
                yield file, "gone" if state == "there" and self._has_left(file) else state

    def _has_left(self, file: StoredFile) -> bool:
        """Whether an archive was added again, changed, without this member."""
        if not is_url(file.path) or MEMBER not in file.path:
            return False
        archive, name = split_member(file.path)
        if name is None:
            return False
        if archive not in self._archives:
            added = self.catalog.archives.get(self.tenant, archive)
            self._archives[archive] = None if added is None else added.etag
        return self._archives[archive] not in (None, file.etag)

    def _presence(self) -> FilePresence:
        return FilePresence(lambda: self.catalog.roots.of_tenant(self.tenant))

    def _is_away(self, root: str, *, all_gone: bool) -> bool:
        """Whether a folder is away: not there, empty, or without any of the files that were added from it."""
        if all_gone and _is_empty_prefix(root) if is_url(root) else is_away(root):
            return True
        if not all_gone:
            return False
        files = self.catalog.paths.below(self.tenant, root)
        if not all(state == "gone" for _, state in self._states(files)):
            return False
        return len(list(islice(self.catalog.paths.below(self.tenant, root), MIN_REMAINING))) >= MIN_REMAINING


def _is_empty_prefix(url: str) -> bool:
    """Whether a prefix has no object, or cannot be listed."""
    if MEMBER in url:
        return False
    try:
        return next(list_objects(url), None) is None
    except LookalikeError:
        return True
