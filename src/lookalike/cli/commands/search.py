"""`search`: queries from files, folders and standard input, answered in batches as they arrive."""

from __future__ import annotations

import queue
import threading
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import (
    IMAGES,
    FilterOption,
    NullOption,
    OutputOption,
    PipelineNamesOption,
    Session,
    app,
    command,
    flag,
    open_gallery_or_client,
    option,
    output_format,
    paths_of,
)
from lookalike.cli.output import CsvWriter, counted, emit, out, print_error, print_unwrapped, printable
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lookalike.cli.options import AnyGallery
    from lookalike.results import Query, SearchOptions
    from lookalike.types import Answer, Hit

MAX_WAITING = 4096
"""Queries read ahead from standard input while others are being answered."""
CSV_COLUMNS = (
    "query",
    "key",
    "evidence",
    "verified",
    "distance",
    "false_match_rate",
    "probability",
    "pipeline",
    "path",
)
"""Columns of `--output csv`: the query, and fields of a hit's JSON."""
STYLES = {"exact": "bold green", "copy": "green", "variant": "yellow", "similar": "dim"}


@command(app, remote=True, rich_help_panel=IMAGES)
def search(
    session: Session,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...",
            show_default=False,
            help="Image files, URLs, folders, or - to read paths from standard input.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None, option("--key KEY", "Search with an image of the gallery, by its key. Repeatable.")
    ] = None,
    phash: Annotated[
        list[str] | None,
        option("--phash HEX", "Search with a hash, 16 hexadecimal digits, as `encode` prints it. Repeatable."),
    ] = None,
    features: Annotated[
        Path | None,
        option(
            "--features FILE",
            "Search with the features in a file: lines of `encode --json` (- for standard input), or a NumPy array of "
            "the features of one --pipeline.",
        ),
    ] = None,
    fingerprint: Annotated[
        str | None,
        option("--fingerprint HEX", "Of the encoder that made a NumPy array of vectors, as `encode --json` prints it."),
    ] = None,
    k: Annotated[
        int, option("-k --k N", "Maximum number of hits per image.", show_default=True, min=1, max=10_000)
    ] = 10,
    page: Annotated[int, option("--page N", "Page of N hits: 2 for the next ones, ...", show_default=True, min=1)] = 1,
    threshold: Annotated[float | None, option("--threshold 0..1", "Maximum distance of a hit.", min=0, max=1)] = None,
    max_false: Annotated[
        float | None,
        option(
            "--max-false SHARE",
            "Only hits so sure that at most this share of queries without an original gets any: 1e-3. Needs "
            "`lookalike calibrate`.",
        ),
    ] = None,
    filter: FilterOption = None,
    pipeline: PipelineNamesOption = None,
    orientations: Annotated[
        bool, flag("--orientations/--no-orientations", "Also find rotated and mirrored copies by their hash.")
    ] = True,
    verify: Annotated[
        bool,
        flag("--verify/--no-verify", "Prove copies: compare the pixels of the best candidates with the image's."),
    ] = True,
    verify_ms: Annotated[
        float | None,
        option("--verify-ms N", "Milliseconds after which no further candidate is verified (5000).", min=0),
    ] = None,
    deep: Annotated[
        bool | None,
        flag(
            "--deep/--no-deep",
            "Compare similar images even where a copy was found; where none was, search with parts of the image as "
            "well, for originals pasted into it. "
            "[default: the latter for a single image, if it takes about a second]",
        ),
    ] = None,
    all_hits: Annotated[bool, flag("--all", "Also list similar images where copies were found.")] = False,
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

    Evidence: **exact** is the same file or the same pixels, **copy** an edited copy, **variant** the same template or
    scene with other parts, **similar** an image that looks similar; nearest first.
    """
    if not (images or key or phash or features):
        raise typer.BadParameter("no image to search with: name a file, or an image of the gallery with --key.")
    from lookalike.gallery import parse_filter

    options: SearchOptions = {
        "k": k,
        "page": page,
        "threshold": threshold,
        "max_false": max_false,
        "filter": parse_filter(filter or ()),
        "pipelines": pipeline or None,
        "orientations": orientations,
        "tenant": None if all_tenants else session.tenant,
        "engine_filter": _engine_filter(engine_filter),
        "verify": verify,
        "deep": deep if deep is not None else "auto" if _is_single(images) else False,
    }
    if verify_ms is not None:
        options["verify_ms"] = verify_ms
    printer = ResultPrinter(output_format(session, output), preview=preview, all_hits=all_hits)
    runs = chain(
        _stored_and_features(key or (), phash or (), features, pipeline or (), fingerprint, deep=deep or False),
        _image_files(images or (), null=null),
    )
    with open_gallery_or_client(session) as gallery:
        for queries, changes in runs:
            printer.search(gallery, queries, {**options, **changes})
    return printer.code


def _stored_and_features(
    keys: Sequence[str],
    phash: Sequence[str],
    features: Path | None,
    pipelines: Sequence[str],
    fingerprint: str | None,
    *,
    deep: bool,
) -> Iterator[tuple[Iterable[Query], SearchOptions]]:
    """Yield the queries that are no image files, with the options in which they differ."""
    from lookalike.results import StoredImage

    yield map(StoredImage, keys), {}
    if phash or features:
        from lookalike.cli.feature_files import feature_runs

        for names, queries in feature_runs(phash, features, pipelines, fingerprint):
            yield queries, {"pipelines": names, "deep": deep}


def _image_files(images: Sequence[str], *, null: bool) -> Iterator[tuple[Iterable[Query], SearchOptions]]:
    """Yield the paths of query images, those of standard input in chunks as they arrive."""
    queries = paths_of(images, null=null)
    if "-" not in images:
        yield queries, {}
        return
    for chunk in _arriving(queries):
        yield iter(chunk), {}


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

    def __init__(self, form: str, *, preview: bool, all_hits: bool) -> None:
        from lookalike.cli.preview import can_preview

        self._json = form == "json"
        self._csv = CsvWriter(*CSV_COLUMNS) if form == "csv" else None
        self._console = out()
        self._all_hits = all_hits
        self._preview = preview and form == "table" and can_preview(self._console)
        self.code = ExitCode.OK

    def search(self, gallery: AnyGallery, queries: Iterable[Query], options: SearchOptions) -> None:
        from lookalike.types import Answer

        if self._json or self._csv is not None:
            from lookalike.cli.json_output import query_object

        for query, answer in gallery.search_many(queries, **options):
            path = _name_of(query)
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
                self._show(path, answer, with_image=isinstance(query, str))

    def _show(self, query: str, answer: Answer, *, with_image: bool) -> None:
        from lookalike.cli.preview import preview_of

        self._console.print(Text(printable(query), style="bold"))
        if self._preview and with_image and (image := preview_of(query)):
            self._console.print(image)
        hits = answer.hits if self._all_hits else _without_similar(answer.hits)
        if hits:
            print_unwrapped(self._table(hits, answer.frames))
        else:
            self._console.print("  no hits")
        self._console.print(Text("  " + _footer(answer, hidden=len(answer.hits) - len(hits)), style="dim"))
        self._console.print()

    def _table(self, hits: Sequence[Hit], frames: int) -> Table:
        key, path = Column("key", no_wrap=True), Column("path", no_wrap=True)
        last = ("", key) if self._preview else (key, path)
        calibrated = any(hit.probability is not None for hit in hits)
        probability = (Column("probability", justify="right"),) if calibrated else ()
        columns = ("evidence", "what", Column("distance", justify="right"), *probability, "found by", *last)
        table = Table(*columns, box=None, padding=(0, 2), header_style="dim")
        for hit in hits:
            table.add_row(*self._row(hit, frames, calibrated=calibrated))
        return table

    def _row(self, hit: Hit, frames: int, *, calibrated: bool) -> list[Text | str]:
        from lookalike.cli.preview import preview_of

        evidence = Text(hit.evidence, style=STYLES[hit.evidence])
        for note in frame_notes(hit, frames):
            evidence.append(f"\n{note}", style="dim")
        row: list[Text | str] = [evidence, _what(hit), f"{hit.distance:.3f}"]
        if calibrated:
            row.append("" if hit.probability is None else f"{hit.probability.value:.3f}")
        row.append(hit.pipeline)
        path = printable(hit.path or "") + (" (missing)" if hit.missing else "")
        if self._preview:
            image = preview_of(hit.path) if hit.path else None
            return [*row, image or "", Text(printable(hit.key) + "\n") + Text(path, style="dim")]
        return [*row, printable(hit.key), Text(path, style="dim")]


def _name_of(query: Query) -> str:
    from lookalike.results import ImageFeatures, StoredImage

    if isinstance(query, StoredImage):
        return query.key
    if isinstance(query, ImageFeatures):
        return query.name
    return query if isinstance(query, str) else ""


def _without_similar(hits: Sequence[Hit]) -> Sequence[Hit]:
    """The hits without those that are merely similar, where there are others."""
    return [hit for hit in hits if hit.evidence != "similar"] or hits


def _what(hit: Hit) -> str:
    """What the verification has shown, in words."""
    from lookalike.descriptions import describe

    if hit.evidence == "copy" and not hit.verified:
        return "not verified"
    return "" if hit.verification is None or hit.evidence == "similar" else describe(hit.evidence, hit.verification)


def frame_notes(hit: Hit, frames: int) -> Iterator[str]:
    """What the table says of a hit that is not all of an image; `frames` are those of the query."""
    if hit.evidence != "exact" and max(hit.frames, frames) > 1:
        yield f"1 of {max(hit.frames, frames)} frames"
    if hit.truncated:
        yield "truncated"


def _footer(answer: Answer, *, hidden: int) -> str:
    notes = [f"{sum(answer.took_ms.values()):.0f} ms"]
    if hidden:
        notes.append(f"{hidden} similar not shown: --all")
    if answer.verification is not None and answer.verification.skipped:
        notes.append(f"{counted(answer.verification.skipped, 'candidate')} not verified in time: raise --verify-ms")
    for name, distance in answer.exact_within.items():
        if distance is not None and distance >= 0:
            notes.append(f"{name} exact" + (f" within {distance:.3f}" if distance < 1 else ""))
    for name, why in answer.not_compared.items():
        notes.append(f"{name} compared nothing: {printable(why)}")
    if answer.truncated:
        notes.append("the image is truncated: pixels are missing")
    for name, why in answer.failed.items():
        notes.append(f"{name} failed, so hits may be missing: {printable(why)}")
    if answer.more:
        notes.append(f"more: --page {answer.page + 1}")
    return "; ".join(notes)


def _is_single(images: Sequence[str] | None) -> bool:
    return images is not None and len(images) == 1 and images[0] != "-" and not Path(images[0]).is_dir()


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
