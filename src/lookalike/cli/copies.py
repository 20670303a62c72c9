"""`duplicates` and `compare`: copies within the gallery, and two files side by side."""

from collections.abc import Sequence

from rich.table import Table

from lookalike.cli.failures import ExitCode
from lookalike.cli.gallery_access import open_gallery_or_client
from lookalike.cli.json_output import cluster_object, comparison_object
from lookalike.cli.options import Session
from lookalike.cli.output import counted, emit, out, print_line, printable, size
from lookalike.gallery import Comparison

VERDICTS = {
    "exact": "They are the same image.",
    "copy": "One is a copy of the other, edited.",
    "similar": "They are different images.",
}
ALIKE = "They look alike, but not enough to call one a copy of the other."
MAX_ALIKE_RATE = 1e-3
"""The highest false-match rate at which two images that are no copies are said to look alike."""
MIN_SHOWN_RATE = 1e-9


def duplicates(session: Session, pipelines: Sequence[str] | None) -> int:
    """Tell each cluster as soon as it is found."""
    clusters = images = 0
    with open_gallery_or_client(session) as gallery:
        for cluster in gallery.duplicates(tenant=session.tenant, pipelines=pipelines or None):
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


def compare(session: Session, a: str, b: str) -> int:
    """Compare two files; raises ImageRejected for one that is no image."""
    with open_gallery_or_client(session) as gallery:
        found = gallery.compare(a, b)
    if session.json:
        emit(comparison_object(a, b, found))
    else:
        print_line(_verdict(found))
        out().print(_table(found))
    return ExitCode.OK


def _table(found: Comparison) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("asked", "answer", "distance", "copies are within", "unrelated images this close"):
        table.add_column(name)
    table.add_row("bytes", "the same" if found.same_bytes else "different")
    table.add_row("pixels", "the same" if found.same_pixels else "different")
    for measured in found.measured:
        if measured.distance is None or measured.false_match_rate is None:
            table.add_row(measured.pipeline, "cannot tell: too flat")
            continue
        answer = "a copy" if measured.is_copy else "not a copy"
        rate = measured.false_match_rate
        share = "1 in " + (f"{1 / rate:,.0f}" if rate > MIN_SHOWN_RATE else "a billion or fewer")
        table.add_row(measured.pipeline, answer, f"{measured.distance:.3f}", f"{measured.threshold:.3f}", share)
    return table


def _verdict(comparison: Comparison) -> str:
    rates = (m.false_match_rate for m in comparison.measured if m.false_match_rate is not None)
    if comparison.evidence == "similar" and min(rates, default=1.0) <= MAX_ALIKE_RATE:
        return ALIKE
    return VERDICTS[comparison.evidence]
