"""`doctor`: what this machine has, what is missing, and how to mend it."""

import functools
from collections.abc import Callable
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from lookalike.cli.options import Session
from lookalike.cli.output import emit, out, print_line, printable
from lookalike.config import GallerySettings, read_gallery
from lookalike.diagnostics import Check, diagnose, exit_code
from lookalike.encoders import model_entries
from lookalike.errors import BadInput, LookalikeError, NotFound
from lookalike.factory import probes

MARKS = {"ok": ("ok", "green"), "warn": ("note", "yellow"), "fail": ("FAIL", "bold red")}


def doctor(session: Session) -> int:
    """Check the machine for the gallery's pipelines, or for the default ones; gives 1 where anything failed."""
    settings = session.settings
    try:
        made_with = read_gallery(session.folder)
    except NotFound:
        made_with = GallerySettings()
    made_with = made_with.with_environment(settings)
    wanted = made_with.pipelines
    entries = model_entries(settings.models)
    models = [name for name in wanted if name in entries and entries[name].network != "phash"]
    engines = [functools.partial(_server, name, ask) for name, ask in probes(made_with).items()]
    checks = diagnose(settings.cache, session.folder, models=models, user_file=settings.models, engines=engines)
    if session.json:
        for check in checks:
            emit(asdict(check))
        return exit_code(checks)
    table = Table(box=None, padding=(0, 2), show_header=False, pad_edge=False)
    for check in checks:
        word, style = MARKS[check.status]
        told = Text(printable(check.found))
        if check.remedy:
            told.append(f"\n{printable(check.remedy)}", "bold")
        table.add_row(Text(word, style), check.name, told)
    out().print(table)
    failed = sum(check.status == "fail" for check in checks)
    print_line(f"\n{failed} of {len(checks)} checks failed." if failed else "\nAll that is needed is here.")
    return exit_code(checks)


def _server(name: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", ask())
    except LookalikeError as error:
        return Check(
            name, "fail", str(error), "" if isinstance(error, BadInput) else "start it, or correct its address"
        )
