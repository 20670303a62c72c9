"""Snapshots of an index on disk: named arrays and files, complete or not there at all.

    folder/
      CURRENT                  the name of the snapshot that counts, and the checksum of its manifest
      snapshot-1f0c.../        manifest.json, ids.npy, ..., whatever files the index writes by itself

A snapshot is written aside, made durable, and only then named by CURRENT, which is replaced in one step: a kill at any
moment leaves the old snapshot or the new one. What CURRENT does not name is a leftover; the next save removes it.
A file that another process has mapped into memory stays readable after its removal (POSIX).
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
    """A snapshot read back: `arrays` (read-only) and `files` by name; a file is what its reader made of it."""

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
    """Write a snapshot and make it the current one, durably; older ones and leftovers are removed.

    `files` maps a file's name to a function that writes it at the path given. `keep` names arrays and files taken over
    unchanged from the current snapshot (as hard links, so that a large one is not written again). `extra` is JSON.
    One process at a time may save. Raises Unavailable where the disk refuses.
    """
    new = folder / f"snapshot-{secrets.token_hex(8)}"
    try:
        _make_folder(folder)
        remove_stale(folder)
        new.mkdir()
        entries = _link_kept(folder, new, keep)
        for name, array in arrays.items():
            entries[f"{name}.npy"] = _write_array(new / f"{name}.npy", array)
        for name, write in (files or {}).items():
            write(new / name)
            entries[name] = _sync_file(new / name)
        checksum = _write_manifest(new, spec, sequence, entries, extra or {})
        _sync_folder(new)
        _sync_folder(folder)
        _replace(folder / CURRENT, f"{new.name} {checksum:08x}\n".encode())
        _sync_folder(folder)
        remove_stale(folder)
    except OSError as error:
        raise Unavailable(f"cannot write the index in {folder}: {error}; free some space or mend the rights") from error


def load(
    folder: Path,
    spec: FeatureSpec,
    *,
    files: Mapping[str, Callable[[Path], Any]] | None = None,
    mmap: bool = True,
    verify: bool = True,
) -> LoadedSnapshot | None:
    """Read the current snapshot; None where nothing was saved.

    `files` maps the name of each file wanted to the function that reads it. With `mmap` arrays are mapped, not read.
    `verify` compares checksums, which reads every byte once. Safe beside a process that saves.
    Raises FeatureMismatch for another name, metric, width or fingerprint, Damaged where anything fails its checks,
    Unavailable where the disk refuses.
    """
    pointer = _read_pointer(folder)
    while pointer is not None:
        try:
            return _load(folder, pointer, spec, files or {}, mmap, verify)
        except (Damaged, OSError) as error:
            latest = _read_pointer(folder)
            if latest == pointer:  # otherwise it was replaced while being read: take the new one
                if isinstance(error, Damaged):
                    raise
                raise Unavailable(f"cannot read the index in {folder}: {error}") from error
            pointer = latest
    return None


def wipe(folder: Path) -> None:
    """Forget the snapshot, durably; a folder without one is left alone."""
    if not folder.is_dir():
        return
    try:
        (folder / CURRENT).unlink(missing_ok=True)
        _sync_folder(folder)
        remove_stale(folder)
    except OSError as error:
        raise Unavailable(f"cannot clear the index in {folder}: {error}") from error


def remove_stale(folder: Path) -> None:
    """Remove whatever an interrupted save left, and snapshots that are no longer current. For the writer alone."""
    try:
        pointer = _read_pointer(folder)
    except Damaged:
        return  # it may still tell a person what happened
    for path in folder.iterdir():
        if path.name == f"{CURRENT}.new":
            path.unlink()
        elif path.name.startswith("snapshot-") and (pointer is None or path.name != pointer[0]):
            shutil.rmtree(path)


def current_name(folder: Path) -> str | None:
    """The name of the current snapshot: a reader that remembers it sees cheaply that there is a newer one."""
    pointer = _read_pointer(folder)
    return pointer[0] if pointer else None


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
                _prefault(array)
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
        raise Damaged(f"{path / MANIFEST} differs from what was written (wrong checksum); {REMEDY}")
    manifest: dict[str, Any] = json.loads(data)
    if manifest["format"] != FORMAT:
        raise Damaged(f"{path} has format {manifest['format']}, this version reads format {FORMAT}; {REMEDY}")
    return manifest


def _check_spec(folder: Path, stored: Mapping[str, Any], spec: FeatureSpec) -> None:
    wanted = asdict(spec)
    if stored == wanted:
        return
    pairs = ", ".join(
        f"{key} {stored.get(key)!r} instead of {wanted[key]!r}" for key in wanted if stored.get(key) != wanted[key]
    )
    raise FeatureMismatch(f"the index in {folder} holds other features: {pairs}; {REMEDY}")


def _check_file(path: Path, entry: Mapping[str, int], verify: bool) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise Damaged(f"{path} is missing; {REMEDY}") from error
    if size != entry["bytes"]:
        raise Damaged(f"{path} has {size} bytes instead of {entry['bytes']}; {REMEDY}")
    if verify and _checksum(path) != entry["crc32"]:
        raise Damaged(f"{path} differs from what was written (wrong checksum); {REMEDY}")


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


def _prefault(array: NDArray[Any]) -> None:
    """Look at every page of a mapped array that was just read, so that searches do not wait for the page table."""
    array.reshape(-1).view(np.uint8)[::PAGESIZE].max(initial=0)


def _link_kept(folder: Path, new: Path, keep: Collection[str]) -> dict[str, dict[str, int]]:
    if not keep:
        return {}
    pointer = _read_pointer(folder)
    if pointer is None:
        raise Damaged(f"{folder} has no snapshot to take {', '.join(sorted(keep))} over from; {REMEDY}")
    old = folder / pointer[0]
    stored = _read_manifest(old, pointer[1])["files"]
    entries: dict[str, dict[str, int]] = {}
    for name in keep:
        file = name if name in stored else f"{name}.npy"
        if file not in stored:
            raise Damaged(f"{old} has no {name} to take over; {REMEDY}")
        _link(old / file, new / file)
        entries[file] = stored[file]
    return entries


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError as error:
        raise Damaged(f"{source} is missing; {REMEDY}") from error
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
        _sync_file(target)


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, int]:
    with path.open("xb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return _sync_file(path)


def _write_manifest(
    new: Path, spec: FeatureSpec, sequence: int, entries: Mapping[str, Mapping[str, int]], extra: Mapping[str, Any]
) -> int:
    manifest = {"format": FORMAT, "spec": asdict(spec), "sequence": sequence, "extra": extra, "files": entries}
    data = json.dumps(manifest, indent=1).encode()
    (new / MANIFEST).write_bytes(data)
    return _sync_file(new / MANIFEST)["crc32"]


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _sync_file(path: Path) -> dict[str, int]:
    """Make a file durable, and measure it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "crc32": _checksum(path)}


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    _sync_file(new)
    new.replace(path)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot sync a folder; its renames are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
