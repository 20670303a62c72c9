"""`duplicates` and `compare`: clusters of copies in the gallery, and two images side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import (
    IMAGES,
    FilterOption,
    OutputOption,
    PipelineNamesOption,
    Session,
    app,
    command,
    flag,
    open_gallery_or_client,
    option,
    output_format,
    parse_size,
    server_of,
)
from lookalike.cli.output import counted, emit, out, print_line, printable, size
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.results import Comparison

VERDICTS = {
    "exact": "They are the same image.",
    "copy": "One is an edited copy of the other.",
    "variant": "They are variants: one template or scene, of which parts differ.",
    "similar": "They are different images.",
}
PROBABLY = "One is probably an edited copy of the other, by the distance alone: the pixels could not be compared."
ALIKE = "They are similar, but not similar enough to call one a copy of the other."
MAX_ALIKE_RATE = 1e-3
"""The highest false-match rate at which two images that are no copies are called similar."""
CLEAN_UP = "Clean-up"
"""The panel of the options that decide which files are removed."""
KeepOption = Annotated[
    list[str] | None,
    option(
        "--keep RULE,...",
        "Which image to keep: pixels, exif, quality, oldest, format, format=heif/jpeg, folder=DIR; the first rule that "
        "tells two apart decides. Repeatable. [default: pixels,exif,conversion,quality,oldest,format]",
        rich_help_panel=CLEAN_UP,
    ),
]
ToOption = Annotated[
    str,
    option(
        "--to ACTION",
        "What happens to the others: trash, hardlink, reflink, delete, or a folder to move them to.",
        show_default=True,
        rich_help_panel=CLEAN_UP,
    ),
]
ReferenceOption = Annotated[
    list[str] | None,
    option(
        "--reference DIR",
        "Never touch files below this folder, only compare against them. Repeatable.",
        rich_help_panel=CLEAN_UP,
    ),
]


@command(app, remote=True, rich_help_panel=IMAGES)
def duplicates(
    session: Session,
    pipeline: PipelineNamesOption = None,
    keep: KeepOption = None,
    to: ToOption = "trash",
    yes: Annotated[bool, flag("--yes", "Do it. Without it nothing is changed.", rich_help_panel=CLEAN_UP)] = False,
    undo: Annotated[bool, flag("--undo", "Undo the last clean-up.", rich_help_panel=CLEAN_UP)] = False,
    run: Annotated[
        str | None,
        option("--run NAME", "With --undo: this clean-up instead of the last one.", rich_help_panel=CLEAN_UP),
    ] = None,
    reference: ReferenceOption = None,
    exact_only: Annotated[bool, flag("--exact-only", "Only images with the same bytes or pixels.")] = False,
    across_folders: Annotated[
        bool, flag("--across-folders", "Only copies in another folder than the kept image.", rich_help_panel=CLEAN_UP)
    ] = False,
    min_size: Annotated[
        str, option("--min-size SIZE", "Only files of at least this size: 100kB, 1.5MB.", rich_help_panel=CLEAN_UP)
    ] = "0",
    filter: FilterOption = None,
    max_distance: Annotated[
        float | None,
        option("--max-distance 0..1", "Only copies up to this distance from the kept image.", rich_help_panel=CLEAN_UP),
    ] = None,
    output: OutputOption = "table",
) -> int:
    """Find images of the gallery that are copies of one another, and remove all but one of each cluster.

    Without **--yes** this is a dry run: it shows which images would be kept and removed, and changes nothing.
    """
    from lookalike.cleanup import CleanupOptions
    from lookalike.cli import cleanup_output
    from lookalike.gallery import parse_filter

    format_ = output_format(session, output)
    if run is not None and not undo:
        raise BadSetting("--run names the clean-up for --undo; add --undo")
    options = CleanupOptions(
        keep=tuple(keep or CleanupOptions().keep),
        to=to,
        references=tuple(reference or ()),
        exact_only=exact_only,
        across_folders=across_folders,
        min_bytes=parse_size(min_size, "--min-size"),
        max_distance=max_distance,
        filter=parse_filter(filter) if filter else None,
        pipelines=pipeline or None,
        tenant=session.tenant,
    )
    if server_of(session) is not None:
        if (
            yes
            or undo
            or output == "csv"
            or options != CleanupOptions(pipelines=options.pipelines, tenant=session.tenant)
        ):
            raise BadSetting("a clean-up needs the files: run it on the machine of the gallery, without --server")
        return _list_clusters(session, pipeline, format_)
    if undo:
        return cleanup_output.undo(session, run, format_)
    return cleanup_output.clean_up(session, options, format_, yes=yes)


def _list_clusters(session: Session, pipelines: Sequence[str] | None, format_: str) -> int:
    """List the clusters of a server's gallery, each as soon as it is found."""
    from lookalike.cli.cleanup_output import dimensions, heading
    from lookalike.cli.json_output import cluster_object

    clusters = images = 0
    with open_gallery_or_client(session) as gallery:
        for cluster in gallery.duplicates(tenant=session.tenant, pipelines=pipelines or None):
            clusters, images = clusters + 1, images + len(cluster.images)
            if format_ == "json":
                emit(cluster_object(cluster))
                continue
            print_line(heading(len(cluster.images), cluster.evidence, cluster.distance))
            for image in cluster.images:
                print_line(f"  {dimensions(image):>11}  {size(image.nbytes):>8}  {printable(image.key)}")
    if format_ != "json":
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
    from lookalike.descriptions import describe

    columns = ("compared", "result", "distance", "copies are within", "unrelated images this close")
    table = Table(*columns, box=None, padding=(0, 2), header_style="dim")
    table.add_row("bytes", "the same" if found.same_bytes else "different")
    table.add_row("pixels", "the same" if found.same_pixels else "different")
    if found.verification is not None and not found.same_pixels:
        table.add_row("aligned", describe(found.evidence, found.verification))
    for measured in found.pipelines:
        if measured.distance is None:
            table.add_row(measured.pipeline, "unknown: too little contrast")
            continue
        result = "a copy" if measured.is_copy else "not a copy"
        rate = measured.false_match_rate
        share = "not measured" if rate is None else f"at most 1 in {1 / rate:,.0f}"
        table.add_row(measured.pipeline, result, f"{measured.distance:.3f}", f"{measured.threshold:.3f}", share)
    return table


def _verdict(comparison: Comparison) -> str:
    rates = (m.false_match_rate for m in comparison.pipelines if m.false_match_rate is not None)
    if comparison.evidence == "similar" and min(rates, default=1.0) <= MAX_ALIKE_RATE:
        return ALIKE
    if comparison.evidence == "copy" and not comparison.verified:
        return PROBABLY
    return VERDICTS[comparison.evidence]
