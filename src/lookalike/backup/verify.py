"""Verifying a backup against its manifest, and comparing it with a gallery."""

from dataclasses import dataclass
from pathlib import Path

from lookalike.backup.manifest import CATALOG_FILE, Manifest, file_digest, read_manifest
from lookalike.catalog import Catalog
from lookalike.catalog.transfer import TableDigest, table_digests
from lookalike.errors import Damaged

NO_TABLE = TableDigest(0, f"{0:032x}")


@dataclass(frozen=True, slots=True)
class Difference:
    """A table that differs between a backup and a gallery, with its numbers of rows, which may be equal."""

    table: str
    backup: int
    gallery: int


def verify_backup(folder: Path) -> Manifest:
    """Read all of a backup, and compare it with its manifest.

    Returns:
        The manifest.

    Raises:
        NotFound: There is no backup, or an incomplete one.
        Damaged: A file is missing or differs from the manifest, or the catalog in it fails its checks.
    """
    manifest = check_files(folder)
    with Catalog.open(folder / CATALOG_FILE, read_only=True) as snapshot:
        snapshot.check()
        if differences := differences_of(manifest, snapshot):
            tables = ", ".join(difference.table for difference in differences)
            raise Damaged(f"the backup {folder} differs from its manifest in: {tables}; use another backup")
    return manifest


def check_files(folder: Path) -> Manifest:
    """Compare the files of a backup with the digests in its manifest; raises as `verify_backup`."""
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise Damaged(f"the backup {folder} lacks the file {name}; use another backup")
        if file_digest(path) != digest:
            raise Damaged(f"the file {path} differs from the manifest of the backup; use another backup")
    return manifest


def compare_backup(folder: Path, catalog: Catalog) -> list[Difference]:
    """Compare a backup with a catalog, row by row; returns the tables that differ, none for an unchanged restore."""
    return differences_of(read_manifest(folder), catalog)


def differences_of(manifest: Manifest, catalog: Catalog) -> list[Difference]:
    """The tables in which a catalog differs from a manifest."""
    found = table_digests(catalog)
    return [
        Difference(name, expected.rows, present.rows)
        for name in sorted(manifest.tables.keys() | found.keys())
        if (expected := manifest.tables.get(name, NO_TABLE)) != (present := found.get(name, NO_TABLE))
    ]
