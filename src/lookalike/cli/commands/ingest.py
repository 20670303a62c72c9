"""`ingest`: put the images of manifests into the gallery, with the machines of a Ray cluster."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

from lookalike.cli.commands.add import AddSummary
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import IMAGES, Session, app, command, flag, name_of, option, parse_pairs
from lookalike.cli.output import emit, print_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.cli.progress import ProgressBar
    from lookalike.image_files import FolderScan
    from lookalike.ray_ingest import IngestRun, RejectedWriter


@command(app, rich_help_panel=IMAGES)
def ingest(
    session: Session,
    manifest: Annotated[
        list[str],
        option(
            "--manifest FILE",
            "Add the images that a table names: Parquet, CSV, JSON lines or an S3 Inventory report, by path or URL "
            "that every machine can read, also with *. Repeatable.",
        ),
    ],
    ray: Annotated[
        str,
        option(
            "--ray ADDRESS",
            "host:port of the head of a Ray cluster that this machine is a member of, or local for this machine alone.",
        ),
    ],
    workers: Annotated[
        str,
        option("--workers N", "Workers, or a range such as 2-16 or 2-. [default: from 1 to all that have room]"),
    ] = "1-",
    cores: Annotated[
        int | None,
        option("--cores N", "Cores of a worker. [default: all of the smallest machine]", min=1),
    ] = None,
    rejected: Annotated[
        Path | None, option("--rejected FILE", "Write rejected images with their reasons to a Parquet file.")
    ] = None,
    attr: Annotated[
        list[str] | None,
        option("--attr NAME=VALUE", "Attribute to store with every image (a JSON value, or text). Repeatable."),
    ] = None,
    exif: Annotated[
        bool, flag("--exif/--no-exif", "Store what EXIF data say: capture time, camera, orientation, position.")
    ] = True,
    exclude: Annotated[
        list[str] | None, option("--exclude GLOB", "Pass over names in an inventory that match. Repeatable.")
    ] = None,
    again: Annotated[bool, flag("--again", "Also add images that were removed from the gallery.")] = False,
) -> int:
    """Add the images of manifests with many machines; needs a catalog in PostgreSQL, and Ray.

    Any worker or machine may be lost: its images are added by others. Where the command itself ends early, run it
    again: what the catalog has is skipped. The cluster must require a token (RAY_AUTH_MODE=token).
    """
    from lookalike.cli.progress import ProgressBar
    from lookalike.gallery import parse_value
    from lookalike.image_files import DEFAULT_EXCLUDES, FolderScan, absolute
    from lookalike.ray_ingest import (
        LOCAL,
        IndexUpdates,
        IngestRun,
        RejectedWriter,
        UnitReader,
        check_catalog,
        connected,
        cores_of_workers,
        parse_workers,
        prepare_job,
    )
    from lookalike.sources.manifest import manifest_files, row_count

    attributes = {name: parse_value(value) for name, value in parse_pairs(attr, "--attr").items()} or None
    reader = UnitReader(session.tenant, attributes, (*DEFAULT_EXCLUDES, *(exclude or ())))
    requested = parse_workers(workers)
    check_catalog(session.folder, session.settings)
    files = [absolute(file) for one in manifest for file in manifest_files(one)]
    summary = AddSummary(scan := FolderScan())
    out = sys.stdout  # Ray writes to standard output; while it runs, that is standard error
    with session.open() as gallery:
        _fetch_weights(session, gallery.encoded_pipelines)
        if not session.json:
            print_error("starting Ray" if ray == LOCAL else f"joining the Ray cluster at {ray}")
        with redirect_stdout(sys.stderr), connected(ray):
            each = cores_of_workers(cores, requested)
            job = prepare_job(session.folder, session.settings, gallery, each, exif=exif, again=again)
            run = IngestRun(job, reader, files, requested)
            with (
                nullcontext() if rejected is None else RejectedWriter(rejected) as writer,
                ProgressBar("Adding", row_count(files), quiet=session.json) as progress,
                IndexUpdates(gallery),
            ):
                try:
                    _consume(run, summary, scan, writer, progress, out if session.json else None)
                except KeyboardInterrupt:
                    print_error(f"interrupted; {summary.counts_text()}. Run the same command again to continue")
                    raise
    if not session.json:
        hint = "--rejected FILE lists all of them" if rejected is None else f"{rejected} lists all of them"
        summary.print(name_of(session), more=hint)
    elif scan.passed_over or scan.others:
        emit({"passed_over": dict(scan.passed_over), "others": dict(scan.others)})
    return ExitCode.PARTIAL if summary.outcomes["rejected"] else ExitCode.OK


def _fetch_weights(session: Session, pipelines: Sequence[str]) -> None:
    """Download missing weights once, before each worker would."""
    from lookalike.encoders import is_pulled, pull

    for name in pipelines:
        if not is_pulled(name, session.settings.cache, user_file=session.settings.models):
            pull(name, session.settings.cache, user_file=session.settings.models)


def _consume(
    run: IngestRun,
    summary: AddSummary,
    scan: FolderScan,
    writer: RejectedWriter | None,
    progress: ProgressBar,
    out: TextIO | None,
) -> None:
    """Count the outcomes of a run as they come, print them as JSON lines to `out`, and write down those rejected."""
    from lookalike.cli.json_output import outcome_object

    for result in run.results():
        scan.passed_over.update(result.passed_over)
        scan.others.update(result.others)
        for tenant, outcome in result.outcomes:
            if out is not None:
                emit({"tenant": tenant, **outcome_object(outcome)}, out=out)
            summary.count(outcome)
            if writer is not None and outcome.outcome == "rejected":
                writer.add(tenant, outcome)
        progress.advance(len(result.outcomes))
