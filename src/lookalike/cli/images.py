"""`show`, `ls` and `rm`: the images of the gallery by key."""

import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from rich.table import Table

from lookalike.cli.failures import ExitCode
from lookalike.cli.gallery_access import AnyGallery, open_gallery_or_client
from lookalike.cli.json_output import record_object
from lookalike.cli.options import Session, listed
from lookalike.cli.output import day, emit, out, print_error, print_line, printable, size
from lookalike.cli.preview import can_preview, preview_of
from lookalike.gallery import parse_filter
from lookalike.types import Record

PAGE = 1000
"""Records read, or images removed, at once."""


def show(session: Session, key: str, *, preview: bool) -> int:
    """Show one record; raises NotFound."""
    with open_gallery_or_client(session) as gallery:
        record = gallery.get(key, tenant=session.tenant)
    if session.json:
        emit(record_object(record))
        return ExitCode.OK
    console = out()
    if preview and record.path and can_preview(console) and (image := preview_of(record.path, 40, 12)):
        console.print(image)
    table = Table.grid(padding=(0, 2))
    for name, value in record_object(record).items():
        match name, value:
            case "thumbnail", _:
                continue  # a path of a server
            case "border", _:
                value = ", ".join(f"{side} {n}" for side, n in value.items() if n) or "none"
            case "attributes", _:
                value = ", ".join(f"{attribute}={given}" for attribute, given in value.items()) or "none"
            case "bytes", int():
                value = f"{value:,} ({size(value)})"
            case "path", None:
                value = "none is known here: it was added as bytes, or is a service's"
        table.add_row(name, printable(str(value)))
    console.print(table)
    return ExitCode.OK


def ls(session: Session, filter: Sequence[str] | None, prefix: str, limit: int | None) -> int:
    """List records in the order of their keys, page by page."""
    with open_gallery_or_client(session) as gallery:
        for record in islice(_records(gallery, session, filter, prefix), limit):
            if session.json:
                emit(record_object(record), flush=False)
            else:
                dimensions = f"{record.width}x{record.height}"
                about = f"{dimensions:>11}  {record.format:<5} {size(record.nbytes):>8}  {day(record.updated)}"
                print_line(f"{about}  {printable(record.key)}")
    return ExitCode.OK


def _records(gallery: AnyGallery, session: Session, filter: Sequence[str] | None, prefix: str) -> Iterator[Record]:
    conditions = parse_filter(filter or ())
    after: str | None = None
    while page := gallery.ls(tenant=session.tenant, after=after, limit=PAGE, filter=conditions, prefix=prefix):
        yield from page
        after = page[-1].key


def rm(session: Session, keys: Sequence[str], *, null: bool) -> int:
    """Forget images; gives 1 where any key was not there."""
    given = chain.from_iterable(listed(sys.stdin.buffer, null=null) if key == "-" else [key] for key in keys)
    removed = missing = 0
    with open_gallery_or_client(session) as gallery:
        while batch := list(islice(given, PAGE)):
            there = set(gallery.remove(batch, tenant=session.tenant))
            for key in batch:
                found = key in there
                there.discard(key)  # named twice, it is missing the second time
                removed, missing = removed + found, missing + (not found)
                if session.json:
                    emit({"key": key, "outcome": "removed" if found else "missing"})
                elif not found:
                    print_error(f"no image {key!r}")
    if not session.json:
        print_line(f"{removed:,} removed" + (f", {missing:,} not found" if missing else ""))
    return ExitCode.PARTIAL if missing else ExitCode.OK
