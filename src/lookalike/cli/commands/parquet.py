"""`export` and `import`: images with their features as Parquet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import GALLERY, Session, app, command, flag
from lookalike.cli.output import counted, emit, print_error, print_line, printable


@command(app, rich_help_panel=GALLERY)
def export(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", show_default=False, help="The new file.")],
    all_tenants: Annotated[bool, flag("--all-tenants", "The images of all tenants.")] = False,
) -> int:
    """Export records, attributes, thumbnails and features as Parquet, while the gallery is in use."""
    from lookalike.factory import open_catalog
    from lookalike.optional import require

    require("pyarrow", purpose="an export")
    from lookalike.parquet import export_parquet

    with open_catalog(session.folder, session.settings) as catalog:
        number = export_parquet(catalog, file, tenant=None if all_tenants else session.tenant)
    if session.json:
        emit({"file": str(file), "images": number})
    else:
        print_line(f"Exported {counted(number, 'image')} to {printable(str(file))}.")
    return ExitCode.OK


@command(app, "import", rich_help_panel=GALLERY)
def import_file(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", show_default=False, help="A file of `export`.")],
    all_tenants: Annotated[bool, flag("--all-tenants", "Keep the tenants of the images.")] = False,
) -> int:
    """Import an export into this gallery, with any catalog and engines. Image files are not read.

    Each pipeline of the gallery needs its features in the file, made by the same encoder. Importing twice changes
    nothing; an image with the same key and other bytes or attributes is replaced.
    """
    from lookalike.optional import require

    require("pyarrow", purpose="an import")
    from lookalike.parquet import import_parquet

    with session.open() as gallery:
        report = import_parquet(gallery, file, tenant=None if all_tenants else session.tenant)
    if session.json:
        emit({"file": str(file), **asdict(report)})
    else:
        print_line(
            f"{counted(report.added, 'image')} added, {report.updated:,} updated, {report.unchanged:,} unchanged, "
            f"{report.rejected:,} rejected."
        )
    for key, reason in report.reasons.items():
        print_error(f"{key}: {reason}")
    for name in report.ignored:
        print_error(f"features of {name} were left out: this gallery has no such pipeline")
    return ExitCode.PARTIAL if report.rejected else ExitCode.OK
