"""`backup`, `restore` and `verify`: copies of a gallery that can be relied on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import GALLERY, Session, app, command, flag, option, parse_pairs
from lookalike.cli.output import counted, day, emit, print_error, print_line, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.backup import Manifest

SOURCE = typer.Argument(metavar="BACKUP", show_default=False, help="The folder of a backup.")


@command(app, rich_help_panel=GALLERY)
def backup(
    session: Session,
    destination: Annotated[
        Path, typer.Argument(metavar="FOLDER", show_default=False, help="A folder that does not exist yet.")
    ],
) -> int:
    """Back up the gallery into a folder, while it is searched and written to.

    The backup has records, attributes, features, thumbnails and API keys, everything acknowledged before it began. It
    has no image files; indexes are rebuilt by `restore`.
    """
    from lookalike.backup import make_backup

    manifest = make_backup(session.folder, destination.expanduser().absolute(), session.settings)
    if session.json:
        emit(_object(destination, manifest))
    else:
        print_line(f"Backed up {_contents(manifest)} to {printable(str(destination))}.")
    _warn_of_engines(manifest)
    return ExitCode.OK


@command(app, rich_help_panel=GALLERY)
def restore(
    session: Session,
    source: Annotated[Path, SOURCE],
    catalog: Annotated[
        str | None,
        option("--catalog URL", "Into an empty database, postgresql://user@host/name. [default: a file in the folder]"),
    ] = None,
    index: Annotated[
        list[str] | None,
        option("--index NAME=ENGINE", "Another index for a pipeline, as of `init`. Repeatable."),
    ] = None,
) -> int:
    """Restore a backup into a new gallery, named by --gallery, and rebuild its indexes.

    A backup of a SQLite catalog can be restored into PostgreSQL, and the other way round.
    """
    from lookalike.backup import restore_backup

    restored = restore_backup(
        source.expanduser().absolute(),
        session.folder,
        session.settings,
        catalog=catalog,
        index=parse_pairs(index, "--index"),
    )
    if session.json:
        rest = {"rebuilt": dict(restored.rebuilt), "dropped_jobs": restored.dropped_jobs}
        emit({**_object(source, restored.manifest), "gallery": str(session.folder), **rest})
    else:
        print_line(f"Restored {_contents(restored.manifest)} into {printable(str(session.folder))}.")
        for name, rows in restored.rebuilt.items():
            print_line(f"Index of {name} rebuilt: {counted(rows, 'row')}.")
    if restored.dropped_jobs:
        print_error(f"{counted(restored.dropped_jobs, 'unfinished job')} dropped; queue them again if they are needed")
    _warn_of_engines(restored.manifest)
    return ExitCode.OK


@command(app, rich_help_panel=GALLERY)
def verify(
    session: Session,
    source: Annotated[Path, SOURCE],
    compare: Annotated[bool, flag("--compare", "Also compare the backup with the gallery, row by row.")] = False,
) -> int:
    """Verify a backup: its files, counts and digests, and the catalog in it. With --compare also the gallery.

    The gallery equals the backup right after a restore, and while nothing is changed; the exit code is 1 if it differs.
    """
    from lookalike.backup import compare_backup, verify_backup
    from lookalike.factory import open_catalog

    source = source.expanduser().absolute()
    manifest = verify_backup(source)
    differences = []
    if compare:
        with open_catalog(session.folder, session.settings) as opened:
            differences = compare_backup(source, opened)
    if session.json:
        found = [{"table": d.table, "backup": d.backup, "gallery": d.gallery} for d in differences]
        emit({**_object(source, manifest), **({"differences": found} if compare else {})})
    else:
        print_line(f"The backup is complete and undamaged: {_contents(manifest)}.")
        for difference in differences:
            print_line(
                f"The gallery differs in {difference.table}: {counted(difference.gallery, 'row')}, and "
                f"{difference.backup:,} in the backup."
            )
        if compare and not differences:
            print_line("The gallery equals the backup.")
    return ExitCode.PARTIAL if differences else ExitCode.OK


def _contents(manifest: Manifest) -> str:
    return f"{counted(manifest.images, 'image')}, sequence {manifest.sequence:,}, of {day(manifest.created)}"


def _object(folder: Path, manifest: Manifest) -> Mapping[str, object]:
    from lookalike.wire.objects import rfc3339

    return {
        "backup": str(folder),
        "created": rfc3339(manifest.created),
        "version": manifest.version,
        "database": manifest.database,
        "images": manifest.images,
        "sequence": manifest.sequence,
        "tenants": dict(manifest.tenants),
        "tables": {name: table.rows for name, table in manifest.tables.items()},
        "engines": dict(manifest.engines),
    }


def _warn_of_engines(manifest: Manifest) -> None:
    for name, engine in manifest.engines.items():
        print_error(
            f"the index of {name} is on {engine}, which a backup leaves out: a restored gallery has an embedded index, "
            f"unless `restore --index {name}=URL` names a server"
        )
