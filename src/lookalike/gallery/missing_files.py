"""Finds, and forgets, the images of a tenant whose files are gone."""

from collections import Counter
from itertools import islice
from pathlib import Path

from lookalike.catalog import Catalog, StoredFile
from lookalike.catalog.statements import batches
from lookalike.errors import NotFound
from lookalike.gallery.file_keys import FileKeys
from lookalike.gallery.presence import FilePresence, is_away, is_gone
from lookalike.image_files import absolute
from lookalike.results import MissingFiles

MIN_REMAINING = 2
"""Images of a folder from which on it counts as away where none of their files is left."""


def find_missing(
    catalog: Catalog, tenant: int, given: str | Path | None, *, whole_folder: bool = False
) -> MissingFiles:
    """Return the images whose files are gone; those of folders that are away are counted, or with `whole_folder` named.

    Raises NotFound for a folder that no image was added from.
    """
    missing, away = _find(catalog, tenant, given, whole_folder=whole_folder)
    return MissingFiles(tuple(file.key for file in missing), away)


def prune(catalog: Catalog, tenant: int, given: str | Path | None, *, whole_folder: bool) -> MissingFiles:
    """Remove the images that `find_missing` returns."""
    missing, away = _find(catalog, tenant, given, whole_folder=whole_folder)
    removed: list[str] = []
    for batch in batches(missing):
        gone = [file.key for file in batch if is_gone(file.path)]  # one may have come back
        removed += [deleted.key for deleted in catalog.images.delete(tenant, gone, remember=False)]
    if whole_folder:
        for root in catalog.roots.of_tenant(tenant):
            if is_away(root.path) and next(catalog.paths.below(tenant, root.path), None) is None:
                catalog.roots.forget(root)  # its name is free again
    return MissingFiles(tuple(removed), away)


def _find(
    catalog: Catalog, tenant: int, given: str | Path | None, *, whole_folder: bool
) -> tuple[list[StoredFile], dict[str, int]]:
    folder = None if given is None else FileKeys(catalog, tenant).canonical(absolute(given))
    presence = FilePresence(lambda: catalog.roots.of_tenant(tenant))
    missing: dict[str, list[StoredFile]] = {}
    total: Counter[str] = Counter()
    for file in catalog.paths.below(tenant, folder):
        root = presence.folder_of(file.path)
        total[root] += 1
        if is_gone(file.path):
            missing.setdefault(root, []).append(file)
    if folder is not None and not total:
        raise NotFound(f"no image was added from {folder}")
    kept: list[StoredFile] = []
    away: dict[str, int] = {}
    for root, files in missing.items():
        if not whole_folder and _is_away(catalog, tenant, root, all_gone=len(files) == total[root]):
            away[root] = len(files)
        else:
            kept += files
    return kept, away


def _is_away(catalog: Catalog, tenant: int, root: str, *, all_gone: bool) -> bool:
    """Whether a folder is away: not there, empty, or without any of the files that were added from it."""
    if is_away(root):
        return True
    if not all_gone:
        return False
    files = catalog.paths.below(tenant, root)
    if not all(is_gone(file.path) for file in files):
        return False
    return len(list(islice(catalog.paths.below(tenant, root), MIN_REMAINING))) >= MIN_REMAINING
