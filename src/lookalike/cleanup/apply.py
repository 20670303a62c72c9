"""Applying a plan: each file is checked right before it is touched, and its removal journaled."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from lookalike.cleanup.actions import Action, CannotRestore, parse_action
from lookalike.cleanup.files import FileStatus, file_digest, file_status
from lookalike.cleanup.journal import (
    Entry,
    Journal,
    Run,
    list_runs,
    locked_journals,
    new_journal,
    read_run,
    reopen_journal,
)
from lookalike.cleanup.plan import CHANGED, CleanupPlan
from lookalike.errors import LookalikeError
from lookalike.gallery import Gallery
from lookalike.results import CleanupGroup, CleanupOutcome, CleanupOutcomeKind, CleanupReport
from lookalike.types import Record

GALLERY_BATCH = 200
"""Removed files after which their images leave the gallery, in one transaction."""


class _Refused(Exception):
    """A file that is not touched; the message says why."""


def apply_cleanup(
    gallery: Gallery, plan: CleanupPlan, *, on_outcome: Callable[[CleanupOutcome], None] | None = None
) -> CleanupReport:
    """Do what a plan says.

    A file is touched only if it has the bytes that the gallery knows, and the kept one is another file that is there
    and has the bytes that the gallery knows. A file that fails is reported, and the others go on.

    Args:
        gallery: The gallery of the plan, opened on the machine of the files.
        plan: The plan, of `plan_cleanup` or `revise_plan`.
        on_outcome: Called with each outcome as soon as it is known.

    Returns:
        The outcome of each removal, and the name of the run for `undo_cleanup`.

    Raises:
        GalleryBusy: Another process is writing to the gallery, or cleaning it up.
        Unavailable: The journal cannot be written; nothing further was touched.
    """
    outcomes: list[CleanupOutcome] = []
    with locked_journals(gallery.folder):
        tenant = plan.options.tenant
        gallery.remove([], tenant=tenant)  # takes the gallery's lock, or raises, before any file is touched
        finish_interrupted_runs(gallery)
        action = parse_action(plan.options.to)
        with new_journal(gallery.folder, tenant, action.name) as journal:
            run = _CleanupRun(gallery, action, journal)
            try:
                for outcome in (one for group in plan.groups for one in run.apply(group)):
                    outcomes.append(outcome)
                    if on_outcome is not None:
                        on_outcome(outcome)
            finally:
                run.remove_from_gallery()  # also after Ctrl-C
            journal.end()
    return CleanupReport(journal.run.id, action.name, tuple(outcomes), plan.skipped)


class _CleanupRun:
    def __init__(self, gallery: Gallery, action: Action, journal: Journal) -> None:
        self._gallery = gallery
        self._action = action
        self._journal = journal
        self._removed: list[Record] = []
        self._checked: dict[str, tuple[tuple[int, int], int, int]] = {}

    def apply(self, group: CleanupGroup) -> Iterator[CleanupOutcome]:
        """Remove the files of one group."""
        for image in group.removed:
            record = image.image
            assert record.path is not None
            try:
                entry = self._entry(record, group.images[0].image)
                destination = self._remove(entry)
            except _Refused as error:
                yield CleanupOutcome(record.key, record.path, "failed", str(error))
            except OSError as error:
                yield CleanupOutcome(record.key, record.path, "failed", error.strerror or str(error))
            else:
                if self._action.removes:
                    self._removed.append(record)
                if len(self._removed) >= GALLERY_BATCH:
                    self.remove_from_gallery()
                kind: CleanupOutcomeKind = "removed" if self._action.removes else "replaced"
                yield CleanupOutcome(record.key, record.path, kind, image.reason, image.frees, destination)

    def remove_from_gallery(self) -> None:
        """Remove the images of removed files, except those that have changed meanwhile."""
        images = self._gallery.catalog.images.by_ids([record.id for record in self._removed])
        same = [r for r in self._removed if r.id in images and images[r.id].sequence == r.sequence]
        if same:
            self._gallery.remove([record.key for record in same], tenant=self._journal.run.tenant)
        self._removed = []

    def _entry(self, record: Record, kept: Record) -> Entry:
        """Check both files; returns the entry of the removal, or raises _Refused or OSError."""
        assert record.path is not None
        assert kept.path is not None
        beside = self._check_kept(kept)
        status = _check(record)
        if status.is_link:
            raise _Refused("it is a symbolic link now")
        if status.is_read_only:
            raise _Refused("it is read-only now")
        if status.identity == beside.identity:
            raise _Refused("it is the same file as the kept one")
        same_bytes = record.sha256 == kept.sha256
        if (reason := self._action.obstacle(status, beside, same_bytes=same_bytes)) is not None:
            raise _Refused(reason)
        if file_status(record.path) != status:
            raise _Refused(CHANGED)
        name = f".lookalike-{self._journal.run.id}-{secrets.token_hex(4)}.tmp"
        return Entry(
            key=record.key,
            path=record.path,
            sha256=record.sha256,
            nbytes=status.nbytes,
            mtime_ns=status.mtime_ns,
            mode=status.mode,
            device=status.identity[0],
            inode=status.identity[1],
            attributes=record.attributes,
            kept=kept.path,
            kept_sha256=kept.sha256,
            temporary=str(Path(record.path).parent / name),
            destination=self._action.destination(record.path),
        )

    def _check_kept(self, kept: Record) -> FileStatus:
        """Check that the kept file has its bytes; they are read once a run, if its size and time stay the same."""
        assert kept.path is not None
        status = file_status(kept.path)
        state = None if status is None else (status.identity, status.nbytes, status.mtime_ns)
        if status is None or self._checked.get(kept.path) != state:
            try:
                status = _check(kept)
            except (_Refused, OSError) as error:
                raise _Refused(f"the kept file {kept.path} cannot be relied on: {error}") from error
            self._checked[kept.path] = (status.identity, status.nbytes, status.mtime_ns)
        return status

    def _remove(self, entry: Entry) -> str | None:
        number = self._journal.begin(entry)
        try:
            self._action.run(entry)
        except OSError as error:
            self._action.clean(entry)
            status = file_status(entry.path)
            if status is not None and status.identity == (entry.device, entry.inode):
                self._journal.set_state(number, "failed", str(error))  # otherwise there is something to undo
            raise
        if self._action.removes and file_status(entry.kept) is None:
            self._put_back(number, entry)
        self._journal.set_state(number, "done")
        return entry.destination

    def _put_back(self, number: int, entry: Entry) -> None:
        """Restore a file that was the kept one, too: one disk that is mounted twice. Raises _Refused."""
        try:
            self._action.restore(entry)
        except (CannotRestore, OSError) as error:
            raise _Refused(f"it is the kept file by another path, and cannot be put back: {error}") from error
        self._journal.set_state(number, "failed")
        raise _Refused("it is the kept file by another path; it was put back")


def _check(record: Record) -> FileStatus:
    """The state of an image's file; raises _Refused where it is not the file that the gallery knows, or OSError."""
    assert record.path is not None
    status = file_status(record.path)
    if status is None:
        raise _Refused("the file is missing")
    if status.nbytes != record.nbytes or file_digest(record.path) != record.sha256:
        raise _Refused(CHANGED)
    if file_status(record.path) != status:
        raise _Refused("the file is being changed")
    return status


def finish_interrupted_runs(gallery: Gallery) -> None:
    """Complete the runs that a crash interrupted: delete temporary files, and remove images whose files are gone."""
    for id_ in list_runs(gallery.folder):
        run = read_run(gallery.folder, id_)
        if run.ended:
            return  # earlier ones were completed before it started
        if run.entries:
            action = action_of(run)
            for number in run.entries_in("begin"):
                action.clean(run.entries[number])
            _remove_missing(gallery, run)
        with reopen_journal(gallery.folder, run) as journal:
            journal.end()


def action_of(run: Run) -> Action:
    """The action of a run, also where its folder is gone."""
    return parse_action(Path(run.to) if os.path.isabs(run.to) else run.to)  # noqa: PTH117


def _remove_missing(gallery: Gallery, run: Run) -> None:
    """Remove the images of a run whose files it removed, if they are at their paths still."""
    gone = []
    for number in run.entries_in("begin", "done"):
        entry = run.entries[number]
        if os.path.lexists(entry.path):
            continue
        try:
            record = gallery.get(entry.key, tenant=run.tenant)
        except LookalikeError:
            continue  # it left the gallery before the crash
        if record.path == entry.path and record.sha256 == entry.sha256:
            gone.append(entry.key)
    if gone:
        gallery.remove(gone, tenant=run.tenant)
