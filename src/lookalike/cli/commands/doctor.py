"""`doctor`: check the machine, and name what is missing and the remedy."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lookalike.cli.options import MACHINE, Session, app, command
from lookalike.cli.output import emit, out, print_line, printable
from lookalike.errors import BadInput, LookalikeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.diagnostics import Check

MARKS = {"ok": ("ok", "green"), "warn": ("note", "yellow"), "fail": ("FAIL", "bold red")}


@command(app, rich_help_panel=MACHINE)
def doctor(session: Session) -> int:
    """Check this machine for the gallery's pipelines and engines, and name what is missing and the remedy."""
    from lookalike.config import GallerySettings, read_gallery
    from lookalike.diagnostics import diagnose, exit_code
    from lookalike.encoders import model_entries
    from lookalike.factory import HASH_PIPELINES, probes
    from lookalike.optional import is_installed

    settings = session.settings
    try:
        gallery = read_gallery(session.folder)
    except NotFound:  # those of a new gallery: phash alone without the extra vgg16
        gallery = GallerySettings() if is_installed("vgg16") else GallerySettings(HASH_PIPELINES)
    gallery = gallery.with_environment(settings)
    entries = model_entries(settings.models, settings.cache)
    models = [name for name in gallery.pipelines if name in entries and entries[name].network != "phash"]
    engines = [functools.partial(_engine_check, name, probe) for name, probe in probes(gallery).items()]
    checks = diagnose(settings.cache, session.folder, models=models, user_file=settings.models, engines=engines)
    if session.json:
        for check in checks:
            emit(asdict(check))
        return exit_code(checks)
    table = Table(box=None, padding=(0, 2), show_header=False, pad_edge=False)
    for check in checks:
        word, style = MARKS[check.status]
        found = Text(printable(check.found))
        if check.remedy:
            found.append(f"\n{printable(check.remedy)}", "bold")
        table.add_row(Text(word, style), check.name, found)
    out().print(table)
    failed = sum(check.status == "fail" for check in checks)
    print_line(f"\n{failed} of {len(checks)} checks failed." if failed else "\nNo check failed.")
    return exit_code(checks)


def _engine_check(name: str, probe: Callable[[], str]) -> Check:
    from lookalike.diagnostics import Check

    try:
        return Check(name, "ok", probe())
    except LookalikeError as error:
        return Check(name, "fail", str(error), "" if isinstance(error, BadInput) else "start it, or correct its URL")
