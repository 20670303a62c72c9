"""`explain` and `why-not`: what an image and one of the gallery have in common, and why it is not found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import (
    IMAGES,
    FilterOption,
    PipelineNamesOption,
    Session,
    app,
    command,
    open_gallery_or_client,
    option,
)
from lookalike.cli.output import counted, emit, out, print_line, printable

MARKS = {True: Text("yes", style="green"), False: Text("no", style="red"), None: Text("-", style="dim")}


@command(app, remote=True, rich_help_panel=IMAGES)
def explain(
    session: Session,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image file.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="An image of the gallery.")],
    html: Annotated[Path | None, option("--html FILE", "Write a page with the aligned images.")] = None,
    png: Annotated[Path | None, option("--png FILE", "Write one image with both, aligned.")] = None,
) -> int:
    """Explain what an image and one of the gallery have in common: the alignment, what differs, hashes, distances."""
    from lookalike.evaluation import explanation as rendered
    from lookalike.wire.explanation import Explanation
    from lookalike.wire.objects import to_dict

    with open_gallery_or_client(session) as gallery:
        found = gallery.explain(image, key, tenant=session.tenant)
    if html is not None:
        rendered.write_html(found, html)
    if png is not None:
        rendered.write_png(found, png)
    if session.json:
        emit({"query": image, **to_dict(Explanation.of(found))})
        return ExitCode.OK
    print_line(f"{rendered.verdict(found.comparison)}.")
    print_line(rendered.summary(found))
    for measured in found.comparison.pipelines:
        distance = "too flat" if measured.distance is None else f"{measured.distance:.3f}"
        print_line(f"  {measured.pipeline}: distance {distance}, copies are within {measured.threshold:.3f}")
    for code in found.hashes:
        n, equal = len(code.differing), code.equal_segments
        bits = f"{counted(n, 'bit')} {'differs' if n == 1 else 'differ'}"
        print_line(f"  {code.pipeline}: {bits}, {equal} of 8 segments {'is' if equal == 1 else 'are'} equal")
    for file in (html, png):
        if file is not None:
            print_line(f"Written: {printable(str(file))}")
    return ExitCode.OK


@command(app, "why-not", remote=True, rich_help_panel=IMAGES)
def why_not(
    session: Session,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image file to search with.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The image of the gallery that should be found.")],
    k: Annotated[int, option("-k --k N", "Maximum number of hits.", show_default=True)] = 10,
    threshold: Annotated[float | None, option("--threshold 0..1", "Maximum distance of a hit.")] = None,
    filter: FilterOption = None,
    pipeline: PipelineNamesOption = None,
) -> int:
    """Show why a search finds an image of the gallery, or at which step it is lost."""
    from lookalike.gallery import parse_filter
    from lookalike.results import SearchOptions
    from lookalike.wire.explanation import Diagnosis
    from lookalike.wire.objects import convert, to_dict

    options: SearchOptions = {
        "k": k,
        "threshold": threshold,
        "filter": parse_filter(filter or ()),
        "pipelines": pipeline or None,
        "tenant": session.tenant,
    }
    with open_gallery_or_client(session) as gallery:
        found = gallery.why_not(image, key, **options)
    if session.json:
        emit({"query": image, **to_dict(convert(Diagnosis, found))})
        return ExitCode.OK
    if found.position is None:
        print_line(f"{printable(key)} is not found" + (f": lost at {found.lost_at}" if found.lost_at else ""))
    else:
        evidence = "" if found.hit is None else f", {found.hit.evidence}"
        print_line(f"{printable(key)} is hit {found.position:,}{evidence}")
    table = Table("step", "passed", Column("", overflow="fold"), box=None, padding=(0, 2), header_style="dim")
    for step in found.steps:
        table.add_row(step.name, MARKS[step.passed], printable(step.detail))
    out().print(table)
    return ExitCode.OK
