"""Restoring a backup into a new gallery: the catalog, as a file or in another database, the settings, the indexes."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lookalike.backup.manifest import CATALOG_FILE, Manifest, check_files, differences_of
from lookalike.catalog import Catalog
from lookalike.catalog.transfer import load_snapshot, make_separate
from lookalike.config import GALLERY_FILE, Settings, read_gallery, write_gallery
from lookalike.durability import sync_folder
from lookalike.errors import BadInput, BadSetting, Damaged, Unavailable
from lookalike.factory import CATALOG_FILE as GALLERY_CATALOG
from lookalike.factory import open_catalog, open_gallery


@dataclass(frozen=True, slots=True)
class Restored:
    """Result of a restore: the manifest of the backup, the rows of each index, unfinished jobs that were dropped."""

    manifest: Manifest
    rebuilt: Mapping[str, int]
    dropped_jobs: int


def restore_backup(
    source: Path,
    gallery: Path,
    settings: Settings,
    *,
    catalog: str | None = None,
    index: Mapping[str, str] | None = None,
) -> Restored:
    """Restore a backup into a new gallery, compare the two, and rebuild the indexes.

    The restored gallery has the keys, attributes, features, ids and sequence numbers of the original, and an id of its
    own: indexes on servers get other names, so that it can run beside the original. Unfinished jobs are dropped.

    Args:
        source: Folder of the backup.
        gallery: Folder of the new gallery; one without a gallery.
        settings: Settings of the process.
        catalog: URL of an empty PostgreSQL database; None for a file in the gallery's folder.
        index: Addresses of indexes by pipeline, in the place of those in the backup's settings.

    Raises:
        NotFound: There is no backup, or an incomplete one.
        BadInput: There is a gallery in the folder, or images in the database.
        Damaged: The backup differs from its manifest, or the restored catalog from the backup.
        Unavailable: The disk is full, or the database does not answer.
    """
    manifest = check_files(source)
    stored = read_gallery(source)
    if (gallery / GALLERY_FILE).exists():
        raise BadInput(f"there is a gallery at {gallery} already; name a folder without one")
    changed = _changed_pipelines(source)
    addresses = dict(index or {})
    if unknown := sorted(addresses.keys() - set(changed or stored.pipelines)):
        raise BadSetting(f"the backup has no pipeline {unknown[0]!r}; it has {', '.join(changed or stored.pipelines)}")
    in_settings = {name: address for name, address in addresses.items() if name in stored.pipelines}
    restored_settings = replace(stored, catalog=catalog, index={**stored.index, **in_settings})
    server = restored_settings.with_environment(settings).catalog
    if server is None:
        dropped = _restore_file(source, gallery, manifest)
    else:
        dropped = _restore_database(source, server, manifest)
    write_gallery(gallery, restored_settings)  # last: from here on there is a gallery
    if changed and addresses:
        with open_catalog(gallery, settings) as restored:
            restored.pipelines.set_addresses(addresses)
    with open_gallery(gallery, settings=settings) as opened:
        rebuilt = opened.rebuild_indexes()
    return Restored(manifest, rebuilt, dropped)


def _changed_pipelines(source: Path) -> list[str]:
    """The names of the pipelines of a backup whose gallery has changed them; none where its settings say them."""
    try:
        with Catalog.open(source / CATALOG_FILE, read_only=True) as snapshot:
            return [pipeline.name for pipeline in snapshot.pipelines.current().pipelines]
    except BadInput:  # of an older schema, in which they could not be changed
        return []


def _restore_file(source: Path, gallery: Path, manifest: Manifest) -> int:
    target, partial = gallery / GALLERY_CATALOG, gallery / f"{GALLERY_CATALOG}.restoring"
    if target.exists():
        raise BadInput(f"there is a catalog at {target} already; name an empty folder")
    try:
        gallery.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / CATALOG_FILE, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(f"cannot write {partial}: {error.strerror}") from error
    with Catalog.open(partial) as catalog:
        dropped = make_separate(catalog)
        _check(catalog, manifest)
        catalog.checkpoint()
    for suffix in ("-wal", "-shm"):  # SQLite removes them when the last connection is closed
        assert not partial.with_name(partial.name + suffix).exists()
    partial.rename(target)
    sync_folder(gallery)
    return dropped


def _restore_database(source: Path, url: str, manifest: Manifest) -> int:
    with (
        Catalog.open(url, create=True) as catalog,
        Catalog.open(source / CATALOG_FILE, read_only=True) as snapshot,
    ):
        load_snapshot(snapshot, catalog)
        dropped = make_separate(catalog)
        _check(catalog, manifest)
        return dropped


def _check(catalog: Catalog, manifest: Manifest) -> None:
    if differences := differences_of(manifest, catalog):
        tables = ", ".join(difference.table for difference in differences)
        raise Damaged(f"the restored catalog differs from the backup in: {tables}; it was not made a gallery")
