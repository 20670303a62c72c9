"""`search`: queries from files, folders and standard input, answered in batches as they arrive."""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from lookalike.cli.app import IMAGES, app
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import (
    FilterOption,
    NullOption,
    OutputOption,
    PipelineNamesOption,
    Session,
    command,
    flag,
    open_gallery_or_client,
    option,
    output_format,
    read_entries,
)
from lookalike.cli.output import CsvWriter, emit, out, print_error, print_unwrapped, printable
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lookalike.cli.options import AnyGallery
    from lookalike.results import Query, SearchOptions
    from lookalike.types import Answer, Hit

MAX_WAITING = 4096
"""Queries read ahead from standard input while others are being answered."""
CSV_COLUMNS = ("query", "key", "evidence", "distance", "false_match_rate", "pipeline", "path")
"""Columns of `--output csv`: the query, and fields of a hit's JSON."""
STYLES = {"exact": "bold green", "copy": "green", "similar": "dim"}


@command(app, remote=True, rich_help_panel=IMAGES)
def search(
    session: Session,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...", show_default=False, help="Image files, folders, or - to read paths from standard input."
        ),
    ] = None,
    key: Annotated[
        list[str] | None, option("--key KEY", "Search with an image of the gallery, by its key. Repeatable.")
    ] = None,
    k: Annotated[
        int, option("-k --k N", "Maximum number of hits per image.", show_default=True, min=1, max=10_000)
    ] = 10,
    page: Annotated[int, option("--page N", "Page of N hits: 2 for the next ones, ...", show_default=True, min=1)] = 1,
    threshold: Annotated[float | None, option("--threshold 0..1", "Maximum distance of a hit.", min=0, max=1)] = None,
    filter: FilterOption = None,
    pipeline: PipelineNamesOption = None,
    orientations: Annotated[
        bool, flag("--orientations/--no-orientations", "Also find rotated and mirrored copies by their hash.")
    ] = True,
    all_tenants: Annotated[bool, flag("--all-tenants", "Search the images of all tenants.")] = False,
    engine_filter: Annotated[
        str | None,
        option(
            "--engine-filter ENGINE=FILTER",
            'A further filter in the engine\'s own syntax: elasticsearch={"match": {"title": "Alps"}}.',
        ),
    ] = None,
    null: NullOption = False,
    output: OutputOption = "table",
    preview: Annotated[bool, flag("--preview/--no-preview", "Show thumbnails in a terminal.")] = True,
) -> int:
    """Find the original of an image, its copies and similar images.

    Evidence: **exact** is the same file or the same pixels, **copy** an edited copy, **similar** an image that looks
    similar; nearest first.
    """
    if not (images or key):
        raise typer.BadParameter("no image to search with: name a file, or an image of the gallery with --key.")
    from lookalike.gallery import parse_filter
    from lookalike.results import StoredImage

    options: SearchOptions = {
        "k": k,
        "page": page,
        "threshold": threshold,
        "filter": parse_filter(filter or ()),
        "pipelines": pipeline or None,
        "orientations": orientations,
        "tenant": None if all_tenants else session.tenant,
        "engine_filter": _engine_filter(engine_filter),
    }
    printer = ResultPrinter(output_format(session, output), preview=preview)
    with open_gallery_or_client(session) as gallery:
        printer.search(gallery, map(StoredImage, key or ()), options)
        queries = _queries(images or (), null=null)
        if "-" not in (images or ()):
            printer.search(gallery, queries, options)
        else:
            for chunk in _arriving(queries):
                printer.search(gallery, iter(chunk), options)
    return printer.code


def _engine_filter(argument: str | None) -> dict[str, Any] | None:
    from lookalike.gallery import parse_value

    if argument is None:
        return None
    engine, equals, text = argument.partition("=")
    if not equals:
        raise BadSetting(f"--engine-filter must be ENGINE=FILTER, such as elasticsearch={{...}}, not {argument!r}")
    return {engine.strip(): parse_value(text)}


class ResultPrinter:
    """Searches, prints each answer as it arrives, and keeps the exit code."""

    def __init__(self, form: str, *, preview: bool) -> None:
        from lookalike.cli.preview import can_preview

        self._json = form == "json"
        self._csv = CsvWriter(*CSV_COLUMNS) if form == "csv" else None
        self._console = out()
        self._preview = preview and form == "table" and can_preview(self._console)
        self.code = ExitCode.OK

    def search(self, gallery: AnyGallery, queries: Iterable[Query], options: SearchOptions) -> None:
        from lookalike.cli.json_output import query_object
        from lookalike.results import StoredImage
        from lookalike.types import Answer

        for query, answer in gallery.search_many(queries, **options):
            path = query.key if isinstance(query, StoredImage) else query if isinstance(query, str) else ""
            if not isinstance(answer, Answer):
                self.code = ExitCode.PARTIAL
            if self._json:
                emit(query_object(path, answer))
            elif not isinstance(answer, Answer):
                print_error(f"{path}: {answer}")
            elif self._csv is not None:
                for hit in query_object(path, answer)["hits"]:
                    self._csv.row({"query": path, **hit})
            else:
                self._show(path, answer, with_image=not isinstance(query, StoredImage))

    def _show(self, query: str, answer: Answer, *, with_image: bool) -> None:
        from lookalike.cli.preview import preview_of

        self._console.print(Text(printable(query), style="bold"))
        if self._preview and with_image and (image := preview_of(query)):
            self._console.print(image)
        if answer.hits:
            print_unwrapped(self._table(answer))
        else:
            self._console.print("  no hits")
        self._console.print(Text("  " + _footer(answer), style="dim"))
        self._console.print()

    def _table(self, answer: Answer) -> Table:
        key, path = Column("key", no_wrap=True), Column("path", no_wrap=True)
        last = ("", key) if self._preview else (key, path)
        columns = ("evidence", Column("distance", justify="right"), "found by", *last)
        table = Table(*columns, box=None, padding=(0, 2), header_style="dim")
        for hit in answer.hits:
            table.add_row(*self._row(hit))
        return table

    def _row(self, hit: Hit) -> list[Text | str]:
        from lookalike.cli.preview import preview_of

        style = STYLES[hit.evidence]
        row: list[Text | str] = [Text(hit.evidence, style=style), f"{hit.distance:.3f}", hit.pipeline]
        path = printable(hit.path or "")
        if self._preview:
            image = preview_of(hit.path) if hit.path else None
            return [*row, image or "", Text(printable(hit.key) + "\n") + Text(path, style="dim")]
        return [*row, printable(hit.key), Text(path, style="dim")]


def _footer(answer: Answer) -> str:
    notes = [f"{sum(answer.took_ms.values()):.0f} ms"]
    for name, distance in answer.exact_within.items():
        if distance >= 0:
            notes.append(f"{name} exact" + (f" within {distance:.3f}" if distance < 1 else ""))
    for name, why in answer.failed.items():
        notes.append(f"{name} failed, so hits may be missing: {printable(why)}")
    if answer.more:
        notes.append(f"more: --page {answer.page + 1}")
    return "; ".join(notes)


def _queries(images: Sequence[str], *, null: bool) -> Iterator[str]:
    """Paths of queries: files as given, files below folders, and paths listed on standard input."""
    for image in images:
        for path in read_entries(sys.stdin.buffer, null=null) if image == "-" else [image]:
            yield from _below(path) if Path(path).is_dir() else [path]


def _below(folder: str) -> Iterator[str]:
    from lookalike.image_files import files_below
    from lookalike.types import Outcome

    found = False
    for file in files_below(Path(folder)):
        found = True
        # an unreadable folder becomes a query, which fails with the reason like any other
        path = Path((file.path or file.key) if isinstance(file, Outcome) else file)
        yield os.path.join(folder, path.relative_to(folder))  # noqa: PTH118 - keeps the folder as given
    if not found:
        print_error(f"no images below {folder}")


def _arriving(queries: Iterator[str]) -> Iterator[list[str]]:
    """Chunks of the queries read so far, without waiting for more: a program may send one and wait for its answer."""
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(MAX_WAITING)

    def read() -> None:
        try:
            for query in queries:
                waiting.put(query)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            waiting.put(error)
        waiting.put(None)

    threading.Thread(target=read, name="read queries", daemon=True).start()
    while True:
        chunk, first = [], waiting.get()
        while isinstance(first, str):
            chunk.append(first)
            if len(chunk) == MAX_WAITING or waiting.empty():
                break
            first = waiting.get()
        if chunk:
            yield chunk
        if isinstance(first, BaseException):
            raise first
        if first is None:
            return
