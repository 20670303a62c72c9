"""`duplicates` and `compare`: clusters of copies in the gallery, and two images side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.cli.app import IMAGES, app
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import PipelineNamesOption, Session, command, open_gallery_or_client, option
from lookalike.cli.output import counted, emit, out, print_line, printable, size

if TYPE_CHECKING:
    from lookalike.results import Comparison

VERDICTS = {
    "exact": "They are the same image.",
    "copy": "One is an edited copy of the other.",
    "similar": "They are different images.",
}
ALIKE = "They are similar, but not similar enough to call one a copy of the other."
MAX_ALIKE_RATE = 1e-3
"""The highest false-match rate at which two images that are no copies are called similar."""
MIN_SHOWN_RATE = 1e-9


@command(app, remote=True, rich_help_panel=IMAGES)
def duplicates(session: Session, pipeline: PipelineNamesOption = None) -> int:
    """Find images of the gallery that are copies of one another."""
    from lookalike.cli.json_output import cluster_object

    clusters = images = 0
    with open_gallery_or_client(session) as gallery:
        for cluster in gallery.duplicates(tenant=session.tenant, pipelines=pipeline or None):
            clusters, images = clusters + 1, images + len(cluster.images)
            if session.json:
                emit(cluster_object(cluster))
                continue
            how = "the same image" if cluster.evidence == "exact" else f"copies, at most {cluster.distance:.3f} apart"
            print_line(f"{counted(len(cluster.images), 'image')}, {how}:")
            for image in cluster.images:
                dimensions = f"{image.width}x{image.height}"
                print_line(f"  {dimensions:>11}  {size(image.nbytes):>8}  {printable(image.key)}")
    if not session.json:
        print_line(f"{counted(clusters, 'cluster')} of copies, {counted(images, 'image')} in all")
    return ExitCode.OK


@command(app, remote=True, rich_help_panel=IMAGES)
def compare(
    session: Session,
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE...]", show_default=False, help="Image files, in the gallery or not."),
    ] = None,
    key: Annotated[
        list[str] | None, option("--key KEY", "An image of the gallery, by its key, in place of a file. Repeatable.")
    ] = None,
) -> int:
    """Compare two images, files or images of the gallery, by content and by each pipeline."""
    from lookalike.cli.json_output import comparison_object
    from lookalike.results import StoredImage

    files, keys = images or [], key or []
    names = [*files, *keys]
    if len(names) != 2:
        raise typer.BadParameter(f"name two images, by file or by --key; there are {len(names)}.")
    queries: list[str | StoredImage] = [*files, *map(StoredImage, keys)]
    with open_gallery_or_client(session) as gallery:
        found = gallery.compare(queries[0], queries[1], tenant=session.tenant)
    if session.json:
        emit(comparison_object(names[0], names[1], found))
    else:
        print_line(_verdict(found))
        out().print(_table(found))
    return ExitCode.OK


def _table(found: Comparison) -> Table:
    columns = ("compared", "result", "distance", "copies are within", "unrelated images this close")
    table = Table(*columns, box=None, padding=(0, 2), header_style="dim")
    table.add_row("bytes", "the same" if found.same_bytes else "different")
    table.add_row("pixels", "the same" if found.same_pixels else "different")
    for measured in found.pipelines:
        if measured.distance is None or measured.false_match_rate is None:
            table.add_row(measured.pipeline, "unknown: too little contrast")
            continue
        result = "a copy" if measured.is_copy else "not a copy"
        rate = measured.false_match_rate
        share = "1 in " + (f"{1 / rate:,.0f}" if rate > MIN_SHOWN_RATE else "a billion or fewer")
        table.add_row(measured.pipeline, result, f"{measured.distance:.3f}", f"{measured.threshold:.3f}", share)
    return table


def _verdict(comparison: Comparison) -> str:
    rates = (m.false_match_rate for m in comparison.pipelines if m.false_match_rate is not None)
    if comparison.evidence == "similar" and min(rates, default=1.0) <= MAX_ALIKE_RATE:
        return ALIKE
    return VERDICTS[comparison.evidence]
