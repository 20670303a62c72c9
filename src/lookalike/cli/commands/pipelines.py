"""`pipelines`: list, add, backfill, compare, promote and drop the pipelines of a gallery while it is in use."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from lookalike import __version__
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import GALLERY, Group, Session, app, command, flag, name_of, open_gallery_or_client, option
from lookalike.cli.output import counted, day, emit, out, print_error, print_line, printable
from lookalike.errors import BadSetting, LookalikeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.cli.options import AnyGallery
    from lookalike.pipeline_change import PipelineChange
    from lookalike.results import GalleryPipeline

pipelines_app = typer.Typer(
    cls=Group,
    help="The pipelines of a gallery: add one, fill it in, compare it, let it rank, go back. Searches go on meanwhile.",
    no_args_is_help=True,
)
app.add_typer(pipelines_app, name="pipelines", rich_help_panel=GALLERY)
OTHER_INDEX = {"building": "is being built", "kept": "is kept", "dropping": "is being deleted"}
"""Words for the other index of a pipeline, by its state."""
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a pipeline.", show_default=False)]


@command(pipelines_app, "list", remote=True)
def list_pipelines(session: Session) -> int:
    """List the pipelines in order of precedence, with the number of images that lack their features."""
    with open_gallery_or_client(session) as gallery:
        _show(session, gallery.pipeline_states())
    return ExitCode.OK


@command(pipelines_app, "add", remote=True)
def add_pipeline(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of an encoder; see `lookalike models`.")],
    index: Annotated[
        str | None,
        option("--index ENGINE", "Its index: flat, mih, hnsw, or the URL of an engine, without a password."),
    ] = None,
) -> int:
    """Add a pipeline as shadow: new images get its features from now on, and no search uses it yet."""
    with open_gallery_or_client(session) as gallery:
        added = gallery.add_pipeline(name, index=index)
    if session.json:
        _emit(added)
        return ExitCode.OK
    print_line(f"{name} is {added.state}: new images get its features.")
    if added.missing:
        print_line(f"{counted(added.missing, 'image')} lack them: lookalike pipelines backfill {name}")
    return ExitCode.OK


@command(pipelines_app, "backfill", remote=True)
def backfill(
    session: Session,
    name: NameArgument,
    rate: Annotated[float | None, option("--rate N", "Images per second, at most, of this process.", min=0.01)] = None,
    retry: Annotated[bool, flag("--retry", "Also try the images that an earlier one could not encode.")] = False,
) -> int:
    """Encode the images that lack the features of a pipeline, from their originals.

    Run it on as many machines as there are: each takes a part, and what one leaves is taken over. It can be stopped at
    any time and started again. With --server it runs in a job of the server.
    """
    from lookalike.cli.progress import ProgressBar
    from lookalike.gallery import Gallery

    with open_gallery_or_client(session) as gallery:
        if not isinstance(gallery, Gallery):
            found = gallery.backfill(name, retry=retry)
        else:
            encoding = gallery.backfill_iter(name, rate=rate, retry=retry)  # loads the encoder, which is not progress
            with ProgressBar("encoding", None, quiet=session.json) as bar:
                done = 0
                for progress in encoding:
                    bar.set_total(progress.total)
                    bar.advance(progress.done - done)
                    done = progress.done
                    if session.json:
                        emit({"encoded": progress.encoded, "failed": progress.failed,
                              "unreachable": progress.unreachable, "total": progress.total})  # fmt: skip
            found = gallery.pipeline_state(name)
    if session.json:
        _emit(found)
    else:
        _print_missing(found)
    return ExitCode.PARTIAL if found.missing else ExitCode.OK


@command(pipelines_app, "compare", remote=True)
def compare(
    session: Session,
    name: NameArgument,
    old: Annotated[str | None, option("--with NAME", "The other pipeline. [default: the one that ranks]")] = None,
    sample: Annotated[int, option("--sample N", "Images to search for.", show_default=True, min=1)] = 200,
    edits: Annotated[
        str | None, option("--edits NAMES", "Also search for edited copies of them, such as jpeg15,crop_80.")
    ] = None,
    live: Annotated[
        bool, flag("--live", "Also search by users' queries that a server keeps (serve --live-queries).")
    ] = False,
    html: Annotated[str | None, option("--html FILE", "Write a report with charts and what has changed.")] = None,
    seed: Annotated[int, option("--seed N", "Of the choice of images and of the edits.", show_default=True)] = 0,
) -> int:
    """Search for images of the gallery by two of its pipelines, and show what the change does before it counts.

    Nothing is changed. Each pipeline is searched alone, by distance. With --server it runs in a job of the server.
    """
    from lookalike.evaluation.edits import find
    from lookalike.evaluation.pipeline_comparison import compare_pipelines
    from lookalike.evaluation.pipeline_report import figures
    from lookalike.gallery import Gallery

    if html is not None and not Path(html).absolute().parent.is_dir():
        raise BadSetting(f"cannot write {html}: its folder does not exist")
    chosen = [find(edit.strip()).name for edit in (edits or "").split(",") if edit.strip()]
    with open_gallery_or_client(session) as gallery:
        ranking = old or gallery.pipelines[-1]
        if ranking == name:
            raise BadSetting(f"{name} ranks already; name the other pipeline with --with")
        if not isinstance(gallery, Gallery):
            change = gallery.compare_pipelines(
                name, old=ranking, sample=sample, edits=chosen, live=live, seed=seed, tenant=session.tenant
            )
        elif live:
            raise BadSetting("only a server keeps queries: name it with --server")
        else:
            change = compare_pipelines(
                gallery, ranking, name, sample=sample, edits=chosen, tenant=session.tenant, seed=seed
            )
        if html is not None:
            _write_report(gallery, session, change, Path(html))
    if session.json:
        emit(change.as_json())
    else:
        queries = counted(len(change.queries), "query", "queries")
        print_line(f"{queries} of {counted(change.images, 'image')}{f' and {change.live:,} live' if live else ''}\n")
        table = Table("", ranking, name, box=None, padding=(0, 2), header_style="dim")
        for row in figures(change):
            table.add_row(*row)
        out().print(table)
    for image, why in change.skipped.items():
        print_error(f"skipped {image}: {why}")
    return ExitCode.PARTIAL if change.skipped else ExitCode.OK


def _write_report(gallery: AnyGallery, session: Session, change: PipelineChange, path: Path) -> None:
    from lookalike.evaluation.pipeline_report import pipeline_report

    def image_of(key: str) -> bytes | None:
        try:
            return gallery.get_thumbnail(key, tenant=session.tenant)
        except LookalikeError:  # shown as missing
            return None

    notes = [
        f"{counted(change.images, 'image')} of {name_of(session)}. Lookalike {__version__}, {day(time.time())}, "
        f"{shlex.join(['lookalike', *sys.argv[1:]])}"
    ]
    path.write_text(pipeline_report(change, notes, image_of), encoding="utf-8")
    print_error(f"report: {printable(path.absolute().as_uri())}")


@command(pipelines_app, "promote", remote=True)
def promote(
    session: Session,
    name: NameArgument,
    replace: Annotated[bool, flag("--replace", "Let the one that ranked before become shadow.")] = False,
    incomplete: Annotated[
        bool, flag("--incomplete", "Promote it although images lack its features; searches by it miss these.")
    ] = False,
) -> int:
    """Let a pipeline rank the answers, in one step for all processes.

    Those after it in order become shadow: promoting an earlier one takes back what was promoted later.
    """
    with open_gallery_or_client(session) as gallery:
        _show(session, gallery.promote_pipeline(name, replace=replace, incomplete=incomplete))
    return ExitCode.OK


@command(pipelines_app, "drop", remote=True)
def drop(session: Session, name: NameArgument) -> int:
    """Delete a pipeline with its index and features, once no process uses it any more."""
    with open_gallery_or_client(session) as gallery:
        gallery.drop_pipeline(name)
    if session.json:
        emit({"dropped": name})
    else:
        print_line(f"Dropped {printable(name)}, its index and its features.")
    return ExitCode.OK


def _show(session: Session, pipelines: Iterable[GalleryPipeline]) -> None:
    if session.json:
        for pipeline in pipelines:
            _emit(pipeline)
        return
    missing = Column("without features", justify="right")
    table = Table(
        "pipeline", "state", missing, "index", "added", "promoted", box=None, padding=(0, 2), header_style="dim"
    )
    for pipeline in pipelines:
        state = f"{pipeline.state}, ranks" if pipeline.ranks else pipeline.state
        number = "" if pipeline.missing is None else f"{pipeline.missing:,}"
        times = ("" if at is None else day(at) for at in (pipeline.created, pipeline.promoted))
        index, other = pipeline.index or "default", pipeline.other_index
        if other is not None:
            index += f" ({other.address} {OTHER_INDEX[other.state]})"
        table.add_row(pipeline.name, state, number, printable(index), *times)
    out().print(table)


def _emit(pipeline: GalleryPipeline) -> None:
    from lookalike.wire.objects import to_dict
    from lookalike.wire.pipelines import Pipeline

    emit(to_dict(Pipeline.of(pipeline)))


def _print_missing(pipeline: GalleryPipeline) -> None:
    from lookalike.descriptions import describe_failures

    if not pipeline.missing:
        print_line(f"Every image has the features of {pipeline.name}: lookalike pipelines compare {pipeline.name}")
        return
    print_line(f"{counted(pipeline.missing, 'image')} still lack the features of {pipeline.name}.")
    for line in describe_failures(pipeline.failed):
        print_error(line)
    if unreachable := pipeline.missing - pipeline.failures:
        print_error(f"not tried, or out of reach: {unreachable:,}")
