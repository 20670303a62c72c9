"""Atomic snapshots of an index on disk: named arrays and files.

    folder/
      CURRENT                  the name of the current snapshot, and the checksum of its manifest
      snapshot-1f0c.../        manifest.json, ids.npy, ..., and any files that the index writes itself

A snapshot is written to a new folder, synced, and only then named by CURRENT, which is replaced atomically: a kill at
any moment leaves the old snapshot or the new one. Snapshots that CURRENT does not name are stale; the next save removes
them. A file that another process has memory-mapped stays readable after its removal (POSIX).
"""

import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from mmap import PAGESIZE
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Damaged, FeatureMismatch, Unavailable
from lookalike.types import FeatureSpec

FORMAT = 1
CURRENT = "CURRENT"
MANIFEST = "manifest.json"
REMEDY = "run `lookalike repair` to rebuild it from the catalog"
_POINTER = re.compile(r"(snapshot-[0-9a-f]{16}) ([0-9a-f]{8})\n")
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class LoadedSnapshot:
    """A loaded snapshot: `arrays` (read-only) by name, and `files`, the values that their readers returned, by name."""

    sequence: int
    arrays: Mapping[str, NDArray[Any]]
    files: Mapping[str, Any]
    extra: Mapping[str, Any]


def save(
    folder: Path,
    spec: FeatureSpec,
    sequence: int,
    arrays: Mapping[str, NDArray[Any]],
    *,
    files: Mapping[str, Callable[[Path], None]] | None = None,
    keep: Collection[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a snapshot durably, make it the current one, and remove the others; one process at a time.

    `files` maps a file name to the function that writes it. `keep` names arrays and files that are unchanged since the
    current snapshot, and are hard-linked. `extra` is JSON. Raises Unavailable if the disk fails or is full.
    """
    new = folder / f"snapshot-{secrets.token_hex(8)}"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(folder.parent)
        remove_stale(folder)
        new.mkdir()
        entries = _link_kept(folder, new, keep)
        for name, array in arrays.items():
            with (new / f"{name}.npy").open("xb") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entries[f"{name}.npy"] = _sync_file(new / f"{name}.npy")
        for name, write in (files or {}).items():
            write(new / name)
            entries[name] = _sync_file(new / name)
        manifest = {"format": FORMAT, "spec": asdict(spec), "sequence": sequence, "extra": extra or {}}
        (new / MANIFEST).write_bytes(json.dumps(manifest | {"files": entries}, indent=1).encode())
        checksum = _sync_file(new / MANIFEST)["crc32"]
        _sync_folder(new)
        _sync_folder(folder)
        pointer = folder / f"{CURRENT}.new"
        pointer.write_bytes(f"{new.name} {checksum:08x}\n".encode())
        _sync_file(pointer)
        pointer.replace(folder / CURRENT)
        _sync_folder(folder)
        remove_stale(folder)
    except OSError as error:
        raise Unavailable(f"cannot write the index in {folder}: {error}; check free space and permissions") from error


def load(
    folder: Path,
    spec: FeatureSpec,
    *,
    files: Mapping[str, Callable[[Path], Any]] | None = None,
    mmap: bool = True,
    verify: bool = True,
) -> LoadedSnapshot | None:
    """Load the current snapshot; None if there is none.

    `files` maps the name of each file to its reader. `verify` compares checksums, which reads every byte once. Safe
    beside a process that saves. Raises FeatureMismatch for other features, Damaged for a failed check, Unavailable for
    an I/O error.
    """
    pointer = _read_pointer(folder)
    while pointer is not None:
        try:
            return _load(folder, pointer, spec, files or {}, mmap, verify)
        except (Damaged, OSError) as error:
            latest = _read_pointer(folder)
            if latest == pointer:  # otherwise it was replaced while being read: load the new one
                if isinstance(error, Damaged):
                    raise
                raise Unavailable(f"cannot read the index in {folder}: {error}") from error
            pointer = latest
    return None


def saved_sequence(folder: Path) -> int | None:
    """The sequence number of the current snapshot, 0 without a folder; None where it must be opened to know.

    That is a folder of another form, or a damaged manifest; the rows are not checked.
    """
    try:
        pointer = _read_pointer(folder)
        if pointer is None:
            return None if folder.is_dir() else 0
        return int(_read_manifest(folder / pointer[0], pointer[1])["sequence"])
    except (Damaged, OSError):
        return None


def wipe(folder: Path) -> None:
    """Delete the snapshot durably; a folder without one is left unchanged."""
    if not folder.is_dir():
        return
    try:
        (folder / CURRENT).unlink(missing_ok=True)
        _sync_folder(folder)
        remove_stale(folder)
    except OSError as error:
        raise Unavailable(f"cannot clear the index in {folder}: {error}") from error


def remove_stale(folder: Path) -> None:
    """Remove incomplete snapshots and those that are no longer current. Only the writer may call it."""
    try:
        pointer = _read_pointer(folder)
    except Damaged:
        return  # keep everything for diagnosis
    for path in folder.iterdir():
        if path.name == f"{CURRENT}.new":
            path.unlink()
        elif path.name.startswith("snapshot-") and (pointer is None or path.name != pointer[0]):
            shutil.rmtree(path)


def _load(
    folder: Path,
    pointer: tuple[str, int],
    spec: FeatureSpec,
    readers: Mapping[str, Callable[[Path], Any]],
    mmap: bool,
    verify: bool,
) -> LoadedSnapshot:
    path = folder / pointer[0]
    manifest = _read_manifest(path, pointer[1])
    _check_spec(folder, manifest["spec"], spec)
    arrays: dict[str, NDArray[Any]] = {}
    files: dict[str, Any] = {}
    for name, entry in manifest["files"].items():
        _check_file(path / name, entry, verify)
        if name.endswith(".npy"):
            arrays[name.removesuffix(".npy")] = array = _read_array(path / name, mmap)
            if verify and isinstance(array, np.memmap):
                # read one byte of every page, so that searches do not wait for page faults
                array.reshape(-1).view(np.uint8)[::PAGESIZE].max(initial=0)
        elif name in readers:
            try:
                files[name] = readers[name](path / name)
            except (RuntimeError, ValueError) as error:
                raise Damaged(f"{path / name} cannot be read: {error}; {REMEDY}") from error
    return LoadedSnapshot(manifest["sequence"], arrays, files, manifest["extra"])


def _read_pointer(folder: Path) -> tuple[str, int] | None:
    try:
        text = (folder / CURRENT).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    match = _POINTER.fullmatch(text.decode("latin-1"))
    if match is None:
        raise Damaged(f"{folder / CURRENT} does not name a snapshot; {REMEDY}")
    return match[1], int(match[2], 16)


def _read_manifest(path: Path, checksum: int) -> dict[str, Any]:
    try:
        data = (path / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise Damaged(f"{path / MANIFEST} is missing; {REMEDY}") from error
    if zlib.crc32(data) != checksum:
        raise Damaged(f"{path / MANIFEST} has a wrong checksum; {REMEDY}")
    manifest: dict[str, Any] = json.loads(data)
    if manifest["format"] != FORMAT:
        raise Damaged(f"{path} has format {manifest['format']}, this version reads format {FORMAT}; {REMEDY}")
    return manifest


def _check_spec(folder: Path, stored: Mapping[str, Any], spec: FeatureSpec) -> None:
    expected = asdict(spec)
    if stored == expected:
        return
    different = [key for key, value in expected.items() if stored.get(key) != value]
    pairs = ", ".join(f"{key} {stored.get(key)!r} instead of {expected[key]!r}" for key in different)
    raise FeatureMismatch(f"the index in {folder} holds other features: {pairs}; {REMEDY}")


def _check_file(path: Path, entry: Mapping[str, int], verify: bool) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise Damaged(f"{path} is missing; {REMEDY}") from error
    if size != entry["bytes"]:
        raise Damaged(f"{path} has {size} bytes instead of {entry['bytes']}; {REMEDY}")
    if verify and _checksum(path) != entry["crc32"]:
        raise Damaged(f"{path} has a wrong checksum; {REMEDY}")


def _read_array(path: Path, mmap: bool) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            empty = 0 in np.lib.format.read_array_header_1_0(file)[0]
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mmap and not empty else None, allow_pickle=False)
    except ValueError as error:
        raise Damaged(f"{path} is not an array: {error}; {REMEDY}") from error
    array.setflags(write=False)
    return array


def _link_kept(folder: Path, new: Path, keep: Collection[str]) -> dict[str, dict[str, int]]:
    if not keep:
        return {}
    pointer = _read_pointer(folder)
    if pointer is None:
        raise Damaged(f"{folder} has no snapshot to link {', '.join(sorted(keep))} from; {REMEDY}")
    old = folder / pointer[0]
    stored = _read_manifest(old, pointer[1])["files"]
    entries: dict[str, dict[str, int]] = {}
    for name in keep:
        file = name if name in stored else f"{name}.npy"
        if file not in stored:
            raise Damaged(f"{old} has no {name} to link; {REMEDY}")
        try:
            os.link(old / file, new / file)
        except FileNotFoundError as error:
            raise Damaged(f"{old / file} is missing; {REMEDY}") from error
        except OSError:  # the file system has no hard links
            shutil.copyfile(old / file, new / file)
            _sync_file(new / file)
        entries[file] = stored[file]
    return entries


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _sync_file(path: Path) -> dict[str, int]:
    """Sync a file to disk; returns its size and checksum."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "crc32": _checksum(path)}


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot sync a folder; its renames are journaled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
