"""`search`: queries from files, folders and standard input, answered in batches as they come."""

import os
import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from lookalike.cli.failures import ExitCode
from lookalike.cli.gallery_access import AnyGallery, open_gallery_or_client
from lookalike.cli.json_output import query_object
from lookalike.cli.options import Session, listed
from lookalike.cli.output import emit, out, print_error, printable
from lookalike.cli.preview import can_preview, preview_of
from lookalike.errors import BadSetting
from lookalike.gallery import Query, SearchOptions, StoredImage, files_below, parse_filter, parse_value
from lookalike.types import Answer, Hit, Outcome

CHUNK = 4096
"""The most queries that wait while others are being answered."""
STYLES = {"exact": "bold green", "copy": "green", "similar": "dim"}


@dataclass(frozen=True, slots=True)
class SearchArguments:
    """How to search, as the command line has it."""

    k: int = 10
    page: int = 1
    threshold: float | None = None
    filter: Sequence[str] | None = None
    pipelines: Sequence[str] | None = None
    orientations: bool = True
    all_tenants: bool = False
    engine_filter: str | None = None

    def options(self, session: Session) -> SearchOptions:
        """The same for the service."""
        return {
            "k": self.k,
            "page": self.page,
            "threshold": self.threshold,
            "filter": parse_filter(self.filter or ()),
            "pipelines": self.pipelines or None,
            "orientations": self.orientations,
            "tenant": None if self.all_tenants else session.tenant,
            "engine_filter": _engine_filter(self.engine_filter),
        }


def _engine_filter(written: str | None) -> dict[str, Any] | None:
    if written is None:
        return None
    engine, equals, text = written.partition("=")
    if not equals:
        raise BadSetting(f"--engine-filter is written ENGINE=FILTER, such as elasticsearch={{...}}, not {written!r}")
    return {engine.strip(): parse_value(text)}


def search(
    session: Session, images: Sequence[str], keys: Sequence[str], wanted: SearchArguments, *, null: bool, preview: bool
) -> int:
    """Answer every query, keys first; gives 1 where any could not be answered."""
    options = wanted.options(session)
    told = ResultPrinter(session, preview=preview)
    with open_gallery_or_client(session) as gallery:
        told.all_of(gallery, map(StoredImage, keys), options)
        queries = _queries(images, null=null)
        if "-" not in images:
            return told.all_of(gallery, queries, options)
        for chunk in _arriving(queries):
            told.all_of(gallery, iter(chunk), options)
    return told.code


class ResultPrinter:
    """Answers as they are told, and whether all of them were answers."""

    def __init__(self, session: Session, *, preview: bool) -> None:
        self._json = session.json
        self._console = out()
        self._preview = preview and not self._json and can_preview(self._console)
        self.code = ExitCode.OK

    def all_of(self, gallery: AnyGallery, queries: Iterable[Query], options: SearchOptions) -> int:
        """Search for these, and tell each answer as soon as it is known."""
        for query, answer in gallery.search_many(queries, **options):
            path = query.key if isinstance(query, StoredImage) else query if isinstance(query, str) else ""
            if not isinstance(answer, Answer):
                self.code = ExitCode.PARTIAL
            if self._json:
                emit(query_object(path, answer))
            elif not isinstance(answer, Answer):
                print_error(f"{path}: {answer}")
            else:
                self._show(path, answer, with_image=not isinstance(query, StoredImage))
        return self.code

    def _show(self, query: str, answer: Answer, *, with_image: bool) -> None:
        self._console.print(Text(printable(query), style="bold"))
        if self._preview and with_image and (image := preview_of(query)):
            self._console.print(image)
        if answer.hits:
            self._console.print(self._table(answer))
        else:
            self._console.print("  no hits")
        self._console.print(Text("  " + _footer(answer), style="dim"))
        self._console.print()

    def _table(self, answer: Answer) -> Table:
        table = Table(box=None, padding=(0, 2), pad_edge=True, header_style="dim")
        table.add_column("evidence")
        table.add_column("distance", justify="right")
        table.add_column("found by")
        if self._preview:
            table.add_column("")
        table.add_column("key", overflow="fold")
        if not self._preview:
            table.add_column("path", style="dim", overflow="fold")
        for hit in answer.hits:
            table.add_row(*self._row(hit))
        return table

    def _row(self, hit: Hit) -> list[Text | str]:
        style = STYLES[hit.evidence]
        row: list[Text | str] = [Text(hit.evidence, style=style), f"{hit.distance:.3f}", hit.pipeline]
        path = printable(hit.path or "")
        if self._preview:
            image = preview_of(hit.path) if hit.path else None
            return [*row, image or "", Text(printable(hit.key) + "\n") + Text(path, style="dim")]
        return [*row, printable(hit.key), path]


def _footer(answer: Answer) -> str:
    told = [f"{sum(answer.took_ms.values()):.0f} ms"]
    for name, distance in answer.exact_within.items():
        if distance >= 0:
            told.append(f"{name} missed nothing" + (f" within {distance:.3f}" if distance < 1 else ""))
    for name, why in answer.failed.items():
        told.append(f"{name} could not be asked, so hits may be missing: {printable(why)}")
    if answer.more:
        told.append(f"more: --page {answer.page + 1}")
    return "; ".join(told)


def _queries(images: Sequence[str], *, null: bool) -> Iterator[str]:
    """The paths meant: files as given, those below a folder, those that standard input lists."""
    for image in images:
        for path in listed(sys.stdin.buffer, null=null) if image == "-" else [image]:
            if Path(path).is_dir():
                yield from _below(path)
            else:
                yield path


def _below(folder: str) -> Iterator[str]:
    found = False
    for file in files_below(Path(folder)):
        found = True
        # a folder that cannot be read is passed on as a query: it fails with the reason, like any other
        path = Path((file.path or file.key) if isinstance(file, Outcome) else file)
        yield os.path.join(folder, path.relative_to(folder))  # noqa: PTH118 - keeps the folder as it was written
    if not found:
        print_error(f"no images below {folder}")


def _arriving(queries: Iterator[str]) -> Iterator[list[str]]:
    """Chunks of what has come by now, never waiting for more: a program may ask one by one and await each answer."""
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(CHUNK)

    def read() -> None:
        try:
            for query in queries:
                waiting.put(query)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader of the queue
            waiting.put(error)
        waiting.put(None)

    threading.Thread(target=read, name="read queries", daemon=True).start()
    while True:
        chunk, first = [], waiting.get()
        while isinstance(first, str):
            chunk.append(first)
            if len(chunk) == CHUNK or waiting.empty():
                break
            first = waiting.get()
        if chunk:
            yield chunk
        if isinstance(first, BaseException):
            raise first
        if first is None:
            return
