"""Undoing a clean-up: files go back to their paths, and their images into the gallery."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lookalike.cleanup.actions import Action, CannotRestore
from lookalike.cleanup.apply import action_of, finish_interrupted_runs
from lookalike.cleanup.files import file_digest, file_status, set_metadata
from lookalike.cleanup.journal import Entry, Journal, Run, State, list_runs, locked_journals, read_run, reopen_journal
from lookalike.errors import NotFound
from lookalike.gallery import Gallery
from lookalike.results import DEFAULT_TENANT, UndoOutcome, UndoReport
from lookalike.types import Item, Outcome

PENDING: tuple[State, ...] = ("begin", "done", "undoing")
IN_GALLERY = ("added", "duplicate", "updated", "unchanged")
"""Outcomes after which an image is in the gallery."""
NOT_UNDONE: tuple[State, ...] = (*PENDING, "lost")
"""What is tried again where a run is named: another user's trash, or what was put back into it."""


def undo_cleanup(gallery: Gallery, run: str | None = None, *, tenant: str = DEFAULT_TENANT) -> UndoReport:
    """Undo a clean-up: restore its files and the images of the gallery.

    Nothing is replaced: where another file is at the path now, the removed one stays where it is. What could not be
    restored is tried again when the run is undone again.

    Args:
        gallery: The gallery of the run, opened on the machine of the files.
        run: The name of the run; by default the last one of the tenant that is not undone.
        tenant: Owner of the images.

    Returns:
        The outcome of each removal. Images are added again with their attributes; the time at which they were first
        added is lost.

    Raises:
        NotFound: There is no such run, or nothing to undo.
        GalleryBusy: Another process is writing to the gallery, or cleaning it up.
    """
    with locked_journals(gallery.folder):
        found = _run_to_undo(gallery.folder, run, tenant)
        gallery.remove([], tenant=tenant)  # takes the gallery's lock, or raises, before any file is touched
        finish_interrupted_runs(gallery)
        action = action_of(found)
        with reopen_journal(gallery.folder, found) as journal:
            numbers = found.entries_in(*(PENDING if run is None else NOT_UNDONE))
            return UndoReport(found.id, tuple(_undo(gallery, action, journal, numbers)))


def _run_to_undo(folder: Path, id_: str | None, tenant: str) -> Run:
    if id_ is not None:
        run = read_run(folder, id_)
        if run.tenant != tenant:
            raise NotFound(f"there is no clean-up {id_!r}")
        if not run.entries_in(*NOT_UNDONE):
            raise NotFound(f"the clean-up {id_} has nothing to undo")
        return run
    for name in list_runs(folder):
        run = read_run(folder, name)
        if run.tenant == tenant and run.entries_in(*PENDING):
            return run
    raise NotFound("there is no clean-up to undo")


def _undo(gallery: Gallery, action: Action, journal: Journal, numbers: Sequence[int]) -> list[UndoOutcome]:
    run = journal.run
    for number in numbers:
        if run.states[number] == "undoing":
            _clean(action, run.entries[number])
        journal.set_state(number, "undoing")
    journal.sync()
    outcomes = {number: _restore(action, run.entries[number]) for number in reversed(numbers)}
    restored = [n for n in numbers if outcomes[n].outcome in ("restored", "unchanged")]
    refused = _add_again(gallery, run, restored) if action.removes else {}
    for number in numbers:
        outcome = outcomes[number]
        if number in refused:
            reason = f"the file is back, but not in the gallery: {refused[number].reason}"
            outcomes[number] = UndoOutcome(outcome.key, outcome.path, "failed", reason)
        elif outcome.outcome != "failed":
            journal.set_state(number, "lost" if outcome.outcome == "lost" else "undone")
    return [outcomes[number] for number in numbers]


def _clean(action: Action, entry: Entry) -> None:
    """Delete what an interrupted undoing left: an empty file that reserved the path, or the file at its other place."""
    path = Path(entry.path)
    with suppress(OSError):  # restoring meets the same error, and reports it
        if path.is_file() and path.stat().st_size == 0 != entry.nbytes:
            path.unlink()
        elif path.is_file():
            action.clean(entry)


def _restore(action: Action, entry: Entry) -> UndoOutcome:
    """Bring one file back, unless it is there."""
    try:
        if os.path.lexists(entry.path) and not _is_replacement(action, entry):
            if file_digest(entry.path) == entry.sha256:
                return UndoOutcome(entry.key, entry.path, "unchanged", "the file is there")
            return UndoOutcome(entry.key, entry.path, "failed", "another file is at this path now; move it away")
        _check_folder(entry)
        action.restore(entry)
        set_metadata(entry.path, entry.mode, entry.mtime_ns)
    except CannotRestore as error:
        return UndoOutcome(entry.key, entry.path, "lost" if error.lost else "failed", str(error))
    except OSError as error:
        return UndoOutcome(entry.key, entry.path, "failed", error.strerror or str(error))
    return UndoOutcome(entry.key, entry.path, "restored")


def _check_folder(entry: Entry) -> None:
    """Raise CannotRestore where the folder of a file is gone with its disk, which would be made on another disk."""
    folder = Path(entry.path).parent
    if folder.is_dir():
        return
    above = next(parent for parent in folder.parents if parent.exists())
    if above.stat().st_dev != entry.device:
        raise CannotRestore(f"the folder {folder} is not there: connect its disk, or create it")


def _is_replacement(action: Action, entry: Entry) -> bool:
    """Whether the file at the path is what the action put in its place: another file with the bytes that it had."""
    status = file_status(entry.path)
    if action.removes or status is None or status.identity == (entry.device, entry.inode):
        return False
    return file_digest(entry.path) == entry.sha256


def _add_again(gallery: Gallery, run: Run, numbers: Sequence[int]) -> dict[int, Outcome]:
    """Add the images of restored files with their keys and attributes; returns those that were refused."""
    refused: dict[int, Outcome] = {}
    entries = {number: run.entries[number] for number in numbers}
    for number, entry in list(entries.items()):
        try:
            present = gallery.get(entry.key, tenant=run.tenant)
        except NotFound:
            continue
        if present.path != entry.path:
            reason = f"{present.path or 'another image'} has the key {entry.key!r} now"
            refused[number] = Outcome(entry.key, entry.path, "rejected", reason)
            del entries[number]
    items = [Item(entry.key, entry.path, entry.attributes) for entry in entries.values()]
    outcomes = {outcome.key: outcome for outcome in gallery.add(items, tenant=run.tenant, again=True)}
    refused |= {n: outcomes[e.key] for n, e in entries.items() if outcomes[e.key].outcome not in IN_GALLERY}
    return refused
