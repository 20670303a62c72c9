"""`watch`: keep the images of a folder in the gallery as its files change."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import IMAGES, Session, app, command, flag, option
from lookalike.cli.output import counted, emit, print_line, printable
from lookalike.errors import NotFound
from lookalike.optional import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from lookalike.cli.commands.add import AddSummary
    from lookalike.types import Outcome


@command(app, rich_help_panel=IMAGES)
def watch(
    session: Session,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder to watch.")],
    exif: Annotated[
        bool, flag("--exif/--no-exif", "Store what EXIF data say: capture time, camera, orientation, position.")
    ] = True,
    exclude: Annotated[
        list[str] | None, option("--exclude GLOB", "Pass over files and folders as `add` does. Repeatable.")
    ] = None,
) -> int:
    """Add a folder, and follow what is added, changed, moved and deleted in it. Stop it with Ctrl-C.

    The image of a deleted file is forgotten, unless the folder itself is gone or empty, as that of an unplugged disk
    is. A moved file keeps the attributes of its image. No other process can write to the gallery meanwhile, unless its
    catalog is on a server.
    """
    require("watchfiles", purpose="lookalike watch")
    from lookalike.cli.commands.add import AddSummary
    from lookalike.cli.json_output import outcome_object
    from lookalike.folder_watch import FolderWatch
    from lookalike.image_files import DEFAULT_EXCLUDES, FolderScan, absolute

    path = absolute(folder)
    if not Path(path).is_dir():
        raise NotFound(f"no such folder: {path}")
    scan = FolderScan((*DEFAULT_EXCLUDES, *(exclude or ())), session.settings.limits)
    with session.open(create=True) as gallery, _stop_on_signal() as stop:
        following = FolderWatch(gallery, path, scan, session.tenant, exif=exif, stop=stop)
        for outcomes in following.run():
            summary = AddSummary(scan)
            for outcome in outcomes:
                summary.count(outcome)
                if session.json:
                    emit(outcome_object(outcome))
            if not session.json:
                _print_batch(outcomes, summary)
    if not session.json:
        print_line(f"Stopped watching {printable(path)}.")
    return ExitCode.OK


def _print_batch(outcomes: list[Outcome], summary: AddSummary) -> None:
    from lookalike.folder_watch import FORGOTTEN

    forgotten = sum(outcome.reason == FORGOTTEN for outcome in outcomes)
    text = summary.counts_text() if summary.outcomes.total() > summary.outcomes["missing"] else ""
    parts = [text] if text else []
    if forgotten:
        parts.append(f"{counted(forgotten, 'image')} forgotten")
    if missing := summary.outcomes["missing"] - forgotten:
        parts.append(f"{counted(missing, 'image')} missing")
    print_line(", ".join(parts) or "nothing to add")
    for outcome in outcomes:
        if outcome.outcome == "rejected":
            print_line(f"  rejected: {printable(outcome.key)}: {printable(outcome.reason or '')}")


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; what is being added is finished first. A second signal interrupts."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
