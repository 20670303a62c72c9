"""`explain`: what an image and one of the gallery have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import IMAGES, Session, app, command, open_gallery_or_client, option
from lookalike.cli.output import emit, print_line, printable


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
        print_line(
            f"  {code.pipeline}: {len(code.differing)} bits differ, {code.equal_segments} of 8 segments are equal"
        )
    for file in (html, png):
        if file is not None:
            print_line(f"Written: {printable(str(file))}")
    return ExitCode.OK
