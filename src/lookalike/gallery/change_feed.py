"""The feed of changes: what was added, updated and deleted, in the order of sequence numbers."""

import re
import time

from lookalike.catalog import Catalog, LoggedChange
from lookalike.errors import BadInput, ChangesPruned, UnsupportedQuery
from lookalike.results import MAX_CHANGES_PAGE, MAX_CHANGES_WAIT, Change, ChangeKind, ChangePage

POLL_PAUSE = 0.2
"""Seconds between checks for a change."""
_POSITION = re.compile(r"(\d{1,19})(?:-(\d{1,19}))?")


def parse_position(after: int | str) -> tuple[int, int]:
    """Return the sequence number of a position, and that at which its reader started; raises BadInput.

    A reader that starts at 0 never sees what was deleted before, so that it does not miss deletions that were pruned up
    to where it started. Its position says so until it has passed that number: `500-10000`.
    """
    match = _POSITION.fullmatch(str(after))
    if match is None or int(match[1]) >= 2**63:
        raise BadInput(f"`after` is a sequence number, or `next` of the page before, not {str(after)[:80]!r}")
    return int(match[1]), int(match[2] or 0)


def read_changes(catalog: Catalog, tenant_id: int | None, after: int | str, limit: int) -> ChangePage:
    """Return a page of changes, of a tenant or of all; see `GalleryAPI.changes`."""
    if not 1 <= limit <= MAX_CHANGES_PAGE:
        raise BadInput(f"the limit must be from 1 to {MAX_CHANGES_PAGE}, not {limit}")
    sequence, started = parse_position(after)
    feed = catalog.changes.feed(tenant_id, sequence, limit)
    if sequence > feed.last:
        raise UnsupportedQuery(
            f"`after` {sequence} is in the future: the last change is {feed.last}. If the gallery was restored from a "
            "backup, read everything again from 0"
        )
    if sequence == 0:
        started = feed.last
    if max(sequence, started) < feed.lost_through:
        raise ChangesPruned(
            f"deletions up to {feed.lost_through} are no longer in the log, so that the changes after {sequence} are "
            "incomplete: read everything again from 0, and forget what is not in it"
        )
    position = f"{feed.sequence}-{started}" if feed.sequence < started else str(feed.sequence)
    return ChangePage(tuple(map(_change, feed.changes)), position, feed.sequence, feed.more)


def check_wait(wait: float) -> None:
    """Raise BadInput for a wait that is out of range."""
    if not 0 <= wait <= MAX_CHANGES_WAIT:
        raise BadInput(f"`wait` must be from 0 to {MAX_CHANGES_WAIT:g} seconds, not {wait}")


def wait_beyond(catalog: Catalog, sequence: int, until: float) -> bool:
    """Wait until there is a change after this sequence number, or until a time of the monotonic clock."""
    while catalog.changes.last_sequence() <= sequence:
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(POLL_PAUSE, left))
    return True


def _change(logged: LoggedChange) -> Change:
    record = logged.record
    kind: ChangeKind = "deleted"
    if record is not None:
        kind = "added" if record.created == record.updated else "updated"
    return Change(logged.sequence, kind, logged.tenant, logged.key, record)
