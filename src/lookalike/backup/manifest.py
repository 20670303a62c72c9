"""The manifest of a backup, and what is compared with it. Written last: without it there is no backup."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lookalike.catalog import Catalog
from lookalike.catalog.transfer import TableDigest, table_digests
from lookalike.durability import sync_folder
from lookalike.errors import BadInput, Damaged, NotFound, Unavailable

MANIFEST_FILE = "manifest.json"
CATALOG_FILE = "catalog.sqlite"
FORMAT = 1
NO_TABLE = TableDigest(0, f"{0:032x}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    `sequence` is the last change in it, `created` the time when it was begun, in seconds since 1970. `files` are by
    name their SHA-256 digests, `tables` by name the numbers of rows and digests of their values. `engines` are the
    servers, without passwords, that indexes were on, by pipeline; a restored gallery does not use them by itself.
    """

    version: str
    created: float
    database: str
    sequence: int
    images: int
    tenants: Mapping[str, int]
    files: Mapping[str, str]
    tables: Mapping[str, TableDigest]
    engines: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest durably, under a name of its own until it is complete; raises Unavailable."""
    temporary = folder / f"{MANIFEST_FILE}.partial"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(manifest), file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / MANIFEST_FILE)
        sync_folder(folder)
    except OSError as error:
        raise Unavailable(f"cannot write {folder / MANIFEST_FILE}: {error.strerror}") from error


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a backup.

    Raises NotFound where there is none, as in a backup that was interrupted, Damaged for one that cannot be read,
    BadInput for one of a later version of Lookalike.
    """
    path = folder / MANIFEST_FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / CATALOG_FILE).exists():
            raise NotFound(
                f"the backup {folder} is incomplete: {MANIFEST_FILE}, which is written last, is missing. It was "
                "interrupted; delete it and make another one"
            ) from None
        raise NotFound(f"there is no backup in {folder}: {MANIFEST_FILE} is missing") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise Damaged(f"{path} is damaged: {error}; use another backup") from None
    return _parse(path, value)


def _parse(path: Path, value: Any) -> Manifest:
    try:
        if value["format"] > FORMAT:
            raise BadInput(f"the backup {path.parent} has the format {value['format']}; upgrade Lookalike to read it")
        tables = {name: TableDigest(int(table["rows"]), table["digest"]) for name, table in value["tables"].items()}
        return Manifest(**{**value, "tables": tables})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Damaged(f"{path} is not the manifest of a backup ({error!r}); use another backup") from None


def file_digest(path: Path) -> str:
    """The SHA-256 digest of a file, in hexadecimal digits; raises Unavailable where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


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
