"""`evaluate`: how well searches find edited copies of the gallery's own images, as a table, JSON lines and a report."""

from __future__ import annotations

import csv
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from rich.text import Text

from lookalike import __version__
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import GALLERY, PipelineNamesOption, Session, app, command, option
from lookalike.cli.output import counted, day, emit, out, print_error, print_line, printable
from lookalike.errors import BadSetting, ImageRejected, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.evaluation.measurement import QueryResult
    from lookalike.evaluation.runner import Original, Runner
    from lookalike.evaluation.summary import Summary
    from lookalike.gallery import Gallery

POOL = 1000
"""Images among which those with the nearest neighbours are sought."""
HARD_SHARE = 4
"""One hard image is added for this many random ones."""
MIN_GALLERY = 100
"""Images from which a gallery has enough negatives of its own; below, images of the package are added."""
MAX_OUTSIDE = 12
"""Images of the package that are used beside the gallery's: as negatives, and to paste copies into."""


@command(app, rich_help_panel=GALLERY)
def evaluate(
    session: Session,
    queries: Annotated[int, option("--queries N", "Images to make copies of.", show_default=True)] = 40,
    edits: Annotated[
        str | None, option("--edits NAMES", "Edits, separated by commas, or all. [default: 27 of them]")
    ] = None,
    pipeline: PipelineNamesOption = None,
    groups: Annotated[
        str | None,
        option("--groups FILE", "Lines of KEY, tab, GROUP: images of one group are the same image."),
    ] = None,
    deep: Annotated[
        bool, option("--deep", "Also search with parts of the copies where no copy is found. [default: no]")
    ] = False,
    html: Annotated[str | None, option("--html FILE", "Write a report with charts and the worst errors.")] = None,
    seed: Annotated[int, option("--seed N", "Of the choice of images and of the edits.", show_default=True)] = 0,
) -> int:
    """Measure how well this gallery finds copies.

    Copies of its own images are edited and searched for, with their originals in the answers and without them.
    Nothing is changed. Ctrl-C shows what was measured so far.
    """
    from lookalike.cli.progress import ProgressBar

    if queries < 1:
        raise BadSetting(f"--queries must be at least 1, not {queries}")
    if html is not None and not Path(html).absolute().parent.is_dir():
        raise BadSetting(f"cannot write {html}: its folder does not exist")
    chosen = _edits(edits)
    with session.open() as gallery:
        evaluation = _start(gallery, session, queries, chosen, pipeline, groups, seed, deep=deep)
        interrupted = False
        try:
            with ProgressBar("evaluating", lambda: evaluation.originals, quiet=session.json) as bar:
                for results in evaluation.runner.run(evaluation.originals):
                    evaluation.results.extend(results)
                    bar.advance()
                    if session.json:
                        _emit_results(results)
        except KeyboardInterrupt:
            interrupted = True
            print_error("interrupted; what follows is measured on the images so far")
        _print_summaries(evaluation, json=session.json)
        if html is not None and evaluation.results:
            _write_report(gallery, session, evaluation, Path(html))
    if interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.PARTIAL if evaluation.runner.skipped else ExitCode.OK


@dataclass(slots=True)
class Evaluation:
    """A run: the images to make copies of, and the results so far."""

    runner: Runner
    originals: list[Original]
    results: list[QueryResult] = field(default_factory=list)


def _edits(names: str | None) -> tuple[str, ...]:
    from lookalike.evaluation.edits import EDITS, find
    from lookalike.evaluation.measurement import STANDARD_EDITS

    if names is None:
        return STANDARD_EDITS
    if names == "all":
        return tuple(EDITS)
    return tuple(dict.fromkeys(find(name.strip()).name for name in names.split(",")))


def _start(
    gallery: Gallery,
    session: Session,
    queries: int,
    edits: tuple[str, ...],
    pipelines: list[str] | None,
    groups: str | None,
    seed: int,
    *,
    deep: bool,
) -> Evaluation:
    """Choose the images: random ones, hard ones, and, for a small gallery, images outside of it."""
    from PIL import Image

    from lookalike.evaluation.measurement import confidence, searches
    from lookalike.evaluation.runner import Original, Runner, outside_images
    from lookalike.samples import sample_paths

    names = tuple(name for name in gallery.pipelines if not pipelines or name in pipelines)
    if unknown := set(pipelines or ()) - set(names):
        raise BadSetting(
            f"the gallery has no pipeline {min(unknown)!r}; its pipelines are {', '.join(gallery.pipelines)}"
        )
    pool = gallery.sample(max(POOL, queries), tenant=session.tenant, seed=seed)
    records = [record for record in pool if record.path is not None]
    if not records:
        raise NotFound("no image to evaluate with: the gallery is empty, or its images came without files")
    outside = outside_images(gallery, sample_paths()[:MAX_OUTSIDE], tenant=session.tenant)
    runner = Runner(
        gallery,
        session.tenant,
        confidence(gallery.pipeline_calibrations()),
        searches(names, deep=deep),
        edits,
        seed,
        [Image.open(path) for path in outside],
        None if groups is None else read_groups(Path(groups)),
    )
    originals = [Original(record.key, str(record.path)) for record in records[:queries]]
    taken = {original.name for original in originals}
    others = [record for record in records if record.key not in taken]
    originals += runner.hard_originals(others, len(originals) // HARD_SHARE)
    if len(pool) < MIN_GALLERY:
        originals += [Original(path.name, path, "outside") for path in outside[: 1 + len(originals) // HARD_SHARE]]
    return Evaluation(runner, originals)


def read_groups(path: Path) -> dict[str, str]:
    """Read a file of lines KEY, tab, GROUP; raises BadSetting."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"cannot read the groups {path}: {error}") from error
    if wrong := [number for number, row in enumerate(rows, 1) if len(row) != 2]:
        raise BadSetting(f"{path}, line {wrong[0]}: expected KEY, a tab and GROUP")
    return dict(rows)


def _emit_results(results: Sequence[QueryResult]) -> None:
    from lookalike.cli.json_output import evaluated_query_object

    for result in results:
        emit(evaluated_query_object(result))


def _print_summaries(evaluation: Evaluation, *, json: bool) -> None:
    from lookalike.cli.json_output import summary_object
    from lookalike.evaluation.summary import summarise

    results, names = evaluation.results, [search.name for search in evaluation.runner.searches]
    for name, why in evaluation.runner.skipped.items():
        print_error(f"skipped {name}: {why}")
    whole = [summarise(results, search=name) for name in names]
    hard = [summarise(results, search=name, sample="hard") for name in names]
    by_edit = {e: [summarise(results, search=name, edit=e) for name in names] for e in evaluation.runner.edits}
    if json:
        for summary in (*whole, *hard, *(s for of_edit in by_edit.values() for s in of_edit)):
            emit(summary_object(summary))
        return
    first = whole[0]
    print_line(f"{counted(first.queries, 'edited copy', 'edited copies')} of {counted(first.images, 'image')}\n")
    out().print(_whole_table(whole, hard))
    print_line()
    out().print(_edit_table(by_edit, names))


def _whole_table(whole: Sequence[Summary], hard: Sequence[Summary]) -> Table:
    from lookalike.evaluation.report import interval, percent

    table = Table("", box=None, header_style="bold", pad_edge=False)
    for summary in whole:
        table.add_column(summary.search, justify="right")
    measures = [
        ("original is the first hit", [s.recall[1] for s in whole]),
        ("original is among the first 10", [s.recall[10] for s in whole]),
        ("uAP", [s.average_precision for s in whole]),
        *(
            (f"recall at {100 * rate:g} % false answers", [s.recall_at_false[rate] for s in whole])
            for rate in whole[0].recall_at_false
        ),
        ("original is labelled a copy", [s.labelled for s in whole]),
        ("without original: wrong copy", [s.wrong_copies for s in whole]),
        ("the same, images with near neighbours", [s.wrong_copies for s in hard]),
    ]
    for name, estimates in measures:
        cells = [f"{percent(e)} ({interval(e)})" if e.value is not None else percent(e) for e in estimates]
        table.add_row(name, *cells)
    return table


def _edit_table(by_edit: dict[str, list[Summary]], names: Sequence[str]) -> Table:
    """By edit, the share of originals that are the first hit of each search; red where fewer than half are."""
    from lookalike.evaluation.edits import EDITS
    from lookalike.evaluation.report import percent

    table = Table("first hit, by edit", box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, justify="right")
    for edit, summaries in by_edit.items():
        cells = []
        for summary in summaries:
            share = summary.recall[1].value or 0.0
            style = "green" if share > 0.9 else "yellow" if share >= 0.5 else "red"
            cells.append(Text(percent(summary.recall[1]), style=style))
        table.add_row(EDITS[edit].what, *cells)
    return table


def _write_report(gallery: Gallery, session: Session, evaluation: Evaluation, path: Path) -> None:
    import time

    from lookalike.evaluation.report import Report, write_report

    originals = {original.name: original for original in evaluation.originals}

    def copy(image: str, edit: str) -> bytes | None:
        try:
            return evaluation.runner.copies(originals[image], [edit])[0]
        except ImageRejected:
            return None

    images = gallery.status().tenants.get(session.tenant, 0)
    names = [search.name for search in evaluation.runner.searches]
    calibrations = {name: found for name, found in gallery.pipeline_calibrations().items() if name in names}
    notes = [
        f"{counted(images, 'image')} in {session.folder}. Lookalike {__version__}, {day(time.time())}, "
        f"{shlex.join(['lookalike', *sys.argv[1:]])}"
    ]
    report = Report(
        session.folder.name, images, evaluation.results, names, evaluation.runner.edits, calibrations,
        evaluation.runner.skipped, notes,
    )  # fmt: skip
    write_report(report, copy, path)
    print_error(f"report: {printable(path.absolute().as_uri())}")
