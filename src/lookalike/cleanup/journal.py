"""Journals of clean-ups: JSON lines in the gallery's folder, a file for each run, durable before a file is touched.

The first line describes the run. `begin` lines are written and synced before their action, `done` and `failed` after
it; `undoing`, synced as well, before it is undone, `undone` or `lost` after that. A line that a crash cut off is
ignored: a cut `begin` means that its action was not started, and what the others say is found out by looking at files.
"""

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from lookalike.durability import sync_folder
from lookalike.errors import BadInput, GalleryBusy, NotFound, Unavailable

FOLDER = "cleanup"
"""Folder of the journals, in that of the gallery."""
VERSION = 1
State = Literal["begin", "done", "failed", "undoing", "undone", "lost"]

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Entry:
    """One removal: the image's key and attributes, its file as it was, and the kept file.

    `temporary` is a name in the file's folder that only this run uses.
    """

    key: str
    path: str
    sha256: bytes
    nbytes: int
    mtime_ns: int
    mode: int
    device: int
    inode: int
    attributes: Mapping[str, Any]
    kept: str
    kept_sha256: bytes
    temporary: str
    destination: str | None


@dataclass(slots=True)
class Run:
    """A clean-up as its journal tells it: entries with the last state of each; `ended` unless it was interrupted."""

    id: str
    tenant: str
    to: str
    entries: list[Entry] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    ended: bool = False

    def entries_in(self, *states: State) -> list[int]:
        """The numbers of the entries in one of these states."""
        return [number for number, state in enumerate(self.states) if state in states]


class Journal:
    """A journal that is being written."""

    def __init__(self, file: FileIO, run: Run) -> None:
        self._file = file
        self.run = run

    def begin(self, entry: Entry) -> int:
        """Add an entry, durably; returns its number."""
        number = len(self.run.entries)
        members = asdict(entry) | {"sha256": entry.sha256.hex(), "kept_sha256": entry.kept_sha256.hex()}
        self._write({"begin": number, **members}, durable=True)
        self.run.entries.append(entry)
        self.run.states.append("begin")
        return number

    def set_state(self, number: int, state: State, reason: str | None = None) -> None:
        """Record what became of an entry."""
        self._write({state: number} | ({} if reason is None else {"reason": reason}))
        self.run.states[number] = state

    def end(self) -> None:
        """Record that the run was completed, and that the gallery reflects it."""
        self._write({"end": True}, durable=True)
        self.run.ended = True

    def sync(self) -> None:
        """Make all lines durable; raises Unavailable."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot_write(error.strerror or str(error)) from error

    def _write(self, line: Mapping[str, Any], *, durable: bool = False) -> None:
        """Write a line; raises Unavailable, which ends the run: what is not in the journal cannot be undone."""
        data = (json.dumps(line) + "\n").encode()
        try:
            written = self._file.write(data)
        except OSError as error:
            raise _cannot_write(error.strerror or str(error)) from error
        if written != len(data):
            raise _cannot_write(os.strerror(errno.ENOSPC))
        if durable:
            self.sync()


def _cannot_write(reason: str) -> Unavailable:
    remedy = "free some space. What was done can be undone"
    return Unavailable(f"cannot write the journal of the clean-up: {reason}; {remedy}")


@contextmanager
def new_journal(folder: Path, tenant: str, to: str) -> Iterator[Journal]:
    """Start the journal of a run, in the gallery's folder."""
    id_ = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"
    journals = folder / FOLDER
    with FileIO(journals / f"{id_}.jsonl", "x") as file:
        journal = Journal(file, Run(id_, tenant, to))
        journal._write({"version": VERSION, "run": id_, "tenant": tenant, "to": to}, durable=True)
        sync_folder(journals)
        yield journal


@contextmanager
def reopen_journal(folder: Path, run: Run) -> Iterator[Journal]:
    """Go on with the journal of a run; a last line that a crash cut off is ended first."""
    with FileIO(folder / FOLDER / f"{run.id}.jsonl", "a") as file:
        file.write(b"\n")
        yield Journal(file, run)
        os.fsync(file.fileno())


@contextmanager
def locked_journals(folder: Path) -> Iterator[None]:
    """Hold the lock of the journals: of two runs at once each could remove what the other keeps."""
    (folder / FOLDER).mkdir(exist_ok=True)
    lock = FileLock(folder / FOLDER / "lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise GalleryBusy(f"another clean-up of the gallery {folder} is running: wait until it has finished") from error
    try:
        yield
    finally:
        lock.release()


def read_run(folder: Path, id_: str) -> Run:
    """Read the journal of a run; raises NotFound, and BadInput for one of a later version."""
    path = folder / FOLDER / f"{id_}.jsonl"
    if "/" in id_ or os.sep in id_ or not path.is_file():
        raise NotFound(f"there is no clean-up {id_!r}")
    run = Run(id_, "", "")
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            members = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut off by a crash
        if "version" in members:
            if members["version"] > VERSION:
                raise BadInput(f"the journal {path} was written by a later version of Lookalike; upgrade it")
            run.tenant, run.to = members["tenant"], members["to"]
        elif "begin" in members:
            run.entries.append(_entry(members))
            run.states.append("begin")
        elif "end" in members:
            run.ended = True
        else:
            for state in STATES:
                if state in members:
                    run.states[members[state]] = state
    return run


def list_runs(folder: Path) -> list[str]:
    """The runs, the newest first."""
    return sorted((path.stem for path in (folder / FOLDER).glob("*.jsonl")), reverse=True)


def _entry(members: Mapping[str, Any]) -> Entry:
    values = {name: members[name] for name in Entry.__dataclass_fields__}
    digests = {name: bytes.fromhex(members[name]) for name in ("sha256", "kept_sha256")}
    return Entry(**(values | digests))
