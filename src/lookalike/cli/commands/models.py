"""`models`: what encoders there are, which are here, and fetching them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from rich.table import Table

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import Session
from lookalike.cli.output import emit, out, print_line, printable, size
from lookalike.encoders import Precision, info, is_pulled, model_entries, pull
from lookalike.errors import BadSetting

PULLABLE = ("fp32", "bf16", "int8")


def list_models(session: Session) -> int:
    """One line a model."""
    settings = session.settings
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("model", "here", "what it is", "licence"):
        table.add_column(name)
    for name, entry in model_entries(settings.models).items():
        here = is_pulled(name, settings.cache, user_file=settings.models)
        if session.json:
            emit({"name": name, "title": entry.title, "licence": entry.licence, "source": entry.source, "pulled": here})
        table.add_row(name, "yes" if here else "no", printable(entry.title), printable(entry.licence))
    if not session.json:
        out().print(table)
    return ExitCode.OK


def show_model(session: Session, name: str) -> int:
    """All that is known of one; raises NotFound."""
    told = _info(session, name)
    if session.json:
        emit(told)
        return ExitCode.OK
    table = Table.grid(padding=(0, 2))
    for field, value in told.items():
        if field == "bytes" and value is not None:
            value = f"{value:,} ({size(value)})"
        table.add_row(field, {None: "", True: "yes", False: "no"}.get(value, printable(str(value), keep="\n")))
    out().print(table)
    return ExitCode.OK


def pull_model(
    session: Session,
    name: str,
    from_file: Path | None,
    precision: str | None,
    calibrate: Path | None,
    *,
    accept_licence: bool,
) -> int:
    """Fetch and check a model; raises Unavailable, with what to do, where nothing can be fetched."""
    if precision is not None and precision not in PULLABLE:
        raise BadSetting(f"--precision is one of {', '.join(PULLABLE)}, not {precision!r}")
    settings = session.settings
    path = pull(
        name,
        settings.cache,
        user_file=settings.models,
        from_file=from_file,
        precision=cast(Precision | None, precision),
        calibrate=calibrate,
        accept_licence=accept_licence,
    )
    if session.json:
        emit(_info(session, name))
    else:
        print_line(f"{name} is here and checked: {printable(str(path))}")
    return ExitCode.OK


def _info(session: Session, name: str) -> dict[str, Any]:
    settings = session.settings
    told = asdict(info(name, settings.cache, user_file=settings.models))
    told["path"] = None if told["path"] is None else str(told["path"])
    return {("bytes" if field == "nbytes" else field): value for field, value in told.items()}
