"""`changes`: what was added, updated and deleted, in order, and as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import IMAGES, Session, app, command, flag, open_gallery_or_client, option
from lookalike.cli.output import emit, print_line, printable

if TYPE_CHECKING:
    from lookalike.results import Change


@command(app, remote=True, rich_help_panel=IMAGES)
def changes(
    session: Session,
    after: Annotated[
        int, option("--after SEQUENCE", "Only changes after this one; 0 for all.", show_default=True, min=0)
    ] = 0,
    limit: Annotated[int | None, option("--limit N", "Stop after so many changes.", min=1)] = None,
    follow: Annotated[bool, flag("--follow", "Wait for further changes, until interrupted.")] = False,
    all_tenants: Annotated[bool, flag("--all-tenants", "The changes of all tenants.")] = False,
) -> int:
    """List what was added, updated and deleted, in the order of sequence numbers.

    An image is listed once, with its last change. Go on later with the last number as `--after`.
    """
    from lookalike.results import MAX_CHANGES_PAGE, MAX_CHANGES_WAIT

    tenant = None if all_tenants else session.tenant
    left = limit
    position: int | str = after
    with open_gallery_or_client(session) as gallery:
        while left is None or left > 0:
            size = MAX_CHANGES_PAGE if left is None else min(left, MAX_CHANGES_PAGE)
            page = gallery.changes(after=position, tenant=tenant, limit=size, wait=MAX_CHANGES_WAIT if follow else 0.0)
            for change in page.changes:
                _show(change, json=session.json, all_tenants=all_tenants)
            left = None if left is None else left - len(page.changes)
            position = page.next
            if not page.more and not follow:
                break
    return ExitCode.OK


def _show(change: Change, *, json: bool, all_tenants: bool) -> None:
    from lookalike.cli.json_output import change_object

    if json:
        emit(change_object(change))
        return
    tenant = f"{printable(change.tenant)}\t" if all_tenants else ""
    print_line(f"{change.sequence}\t{change.kind}\t{tenant}{printable(change.key)}")
