"""`show`, `rm` and `ls`: the images of the gallery by key."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import (
    IMAGES,
    FilterOption,
    NullOption,
    OutputOption,
    Session,
    app,
    command,
    flag,
    open_gallery_or_client,
    option,
    output_format,
    read_entries,
)
from lookalike.cli.output import CsvWriter, day, emit, out, print_error, print_line, print_unwrapped, printable, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.cli.options import AnyGallery
    from lookalike.results import Filter
    from lookalike.types import Record

LS_COLUMNS = ("key", "path", "format", "width", "height", "bytes", "updated", "sha256")
"""Columns of `ls --output csv`: fields of its JSON."""
PAGE_SIZE = 1000
"""Records read, or images removed, in one call."""
MISSING = "  (missing)"
"""Follows the key of an image whose file is gone."""


@command(app, remote=True, rich_help_panel=IMAGES)
def show(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY")],
    preview: Annotated[bool, flag("--preview/--no-preview", "Show a thumbnail in a terminal.")] = True,
) -> int:
    """Show an image's record."""
    from lookalike.cli.json_output import record_object
    from lookalike.cli.preview import can_preview, preview_of

    with open_gallery_or_client(session) as gallery:
        record = gallery.get(key, tenant=session.tenant)
    if session.json:
        emit(record_object(record))
        return ExitCode.OK
    console = out()
    if record.missing:
        print_error(f"the file of {key} is gone; `lookalike prune` forgets such images")
    if preview and record.path and can_preview(console) and (image := preview_of(record.path, 40, 12)):
        console.print(image)
    table = Table.grid(padding=(0, 2))
    for name, value in record_object(record).items():
        match name, value:
            case "thumbnail", _:
                continue  # a path of a server
            case "border", _:
                value = ", ".join(f"{side} {n}" for side, n in value.items() if n) or "none"
            case "attributes" | "exif", _:
                value = ", ".join(f"{attribute}={given}" for attribute, given in value.items()) or "none"
            case "bytes", int():
                value = f"{value:,} ({size(value)})"
            case "path", None:
                value = "unknown: the image was added as bytes, or is on a server"
        table.add_row(name, printable(str(value)))
    print_unwrapped(table)
    return ExitCode.OK


@command(app, remote=True, rich_help_panel=IMAGES)
def rm(
    session: Session,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY...]", show_default=False, help="Keys, or - to read them from standard input."),
    ] = None,
    filter: FilterOption = None,
    prefix: Annotated[str | None, option("--prefix TEXT", "All keys with this prefix (case-sensitive).")] = None,
    null: NullOption = False,
) -> int:
    """Remove images from the gallery: by key, or all that match --prefix and --filter. Files are never deleted."""
    if prefix == "":
        raise typer.BadParameter("an empty --prefix would remove every image; give the beginning of the keys.")
    if bool(keys) == bool(filter or prefix):
        raise typer.BadParameter("name the images to remove either by KEY..., or by --prefix and --filter.")
    removed = missing = 0
    with open_gallery_or_client(session) as gallery:
        entries = _listed(keys, null=null) if keys else _matching(gallery, session, filter, prefix or "")
        while batch := list(islice(entries, PAGE_SIZE)):
            existing = set(gallery.remove(batch, tenant=session.tenant))
            for key in batch:
                found = key in existing
                existing.discard(key)  # named twice, it is missing the second time
                removed, missing = removed + found, missing + (not found)
                if session.json:
                    emit({"key": key, "outcome": "removed" if found else "missing"})
                elif not found:
                    print_error(f"no image {key!r}")
    if not session.json:
        print_line(f"{removed:,} removed" + (f", {missing:,} not found" if missing else ""))
    return ExitCode.PARTIAL if missing else ExitCode.OK


@command(app, remote=True, rich_help_panel=IMAGES)
def ls(
    session: Session,
    filter: FilterOption = None,
    output: OutputOption = "table",
    prefix: Annotated[str, option("--prefix TEXT", "Only keys with this prefix (case-sensitive).")] = "",
    contains: Annotated[str, option("--contains TEXT", "Only keys that contain this text (ignores case).")] = "",
    limit: Annotated[int | None, option("--limit N", "Stop after this number of images.", min=0)] = None,
    sort: Annotated[
        str,
        option(
            "--sort NAME",
            "Sort by key or by file.folder, file.name, file.format, file.bytes, file.width, file.height, file.frames, "
            "file.added, exif.captured, exif.camera and the others of EXIF data; - before it reverses the order.",
        ),
    ] = "key",
) -> int:
    """List images in the order of their keys, or sorted by what is known of their files."""
    from lookalike.gallery import parse_filter

    form = output_format(session, output)
    if form != "table":
        from lookalike.cli.json_output import record_object
    with open_gallery_or_client(session) as gallery:
        csv = CsvWriter(*LS_COLUMNS) if form == "csv" else None
        conditions = parse_filter(filter or ())
        records = _records(gallery, session, conditions, prefix=prefix, contains=contains, sort=sort)
        for record in islice(records, limit):
            if csv is not None:
                csv.row(record_object(record))
            elif form == "json":
                emit(record_object(record), flush=False)
            else:
                dimensions = f"{record.width}x{record.height}"
                about = f"{dimensions:>11}  {record.format:<5} {size(record.nbytes):>8}  {day(record.updated)}"
                marks = f"{'  (truncated)' if record.truncated else ''}{MISSING if record.missing else ''}"
                print_line(f"{about}  {printable(record.key)}{marks}")
    return ExitCode.OK


def _listed(keys: Sequence[str], *, null: bool) -> Iterator[str]:
    """The keys that are given; - stands for those on standard input."""
    for key in keys:
        yield from read_entries(sys.stdin.buffer, null=null) if key == "-" else [key]


def _matching(gallery: AnyGallery, session: Session, filter: Sequence[str] | None, prefix: str) -> Iterator[str]:
    from lookalike.gallery import parse_filter

    for record in _records(gallery, session, parse_filter(filter or ()), prefix=prefix):
        yield record.key


def _records(gallery: AnyGallery, session: Session, filter: Filter, **options: str) -> Iterator[Record]:
    """All records, page by page."""
    after: str | None = None
    while page := gallery.ls(tenant=session.tenant, after=after, limit=PAGE_SIZE, filter=filter, **options):
        yield from page
        after = page[-1].key
