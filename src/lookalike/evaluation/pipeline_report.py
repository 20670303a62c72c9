"""The report of a comparison of two pipelines, a self-contained HTML file: figures, distances, what changed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lookalike.evaluation.charts import Distribution, histogram
from lookalike.evaluation.contact_sheet import STYLE as SHEET_STYLE
from lookalike.evaluation.contact_sheet import SheetHit, SheetRow, sheet
from lookalike.evaluation.edits import EDITS
from lookalike.evaluation.html import html_page, html_text
from lookalike.evaluation.pipeline_comparison import OVERLAP, ComparedQuery, PipelineChange
from lookalike.evaluation.report import STYLE
from lookalike.pipeline import Calibration
from lookalike.types import Hit

MAX_SHOWN = 12
"""Queries on each contact sheet."""
SHOWN_HITS = 5


def write_pipeline_report(
    change: PipelineChange, calibrations: tuple[Calibration, Calibration], notes: Sequence[str], path: Path
) -> None:
    """Write the report to a file; `calibrations` are those of the old and the new pipeline."""
    body = "\n".join(
        [
            _header(change, notes),
            "<main>",
            _figures(change),
            _distances(change, calibrations),
            _changed("Copies that only the new one finds", change, lambda query: query.gained),
            _changed("Copies that only the old one finds", change, lambda query: query.lost),
            _skipped(change),
            "</main>\n",
        ]
    )
    title = f"{change.old} and {change.new}"
    path.write_text(html_page(title, body, SHEET_STYLE, STYLE), encoding="utf-8")


def figures(change: PipelineChange) -> list[tuple[str, ...]]:
    """Return the rows of a table: what it is, of the old pipeline, of the new one; equal cells stand once."""
    found, took = change.found(), change.median_ms()
    rows: list[tuple[str, ...]] = [
        (f"overlap@{OVERLAP}", f"{100 * change.overlap:.1f} %", ""),
        ("copies that only it finds", f"{change.lost:,}", f"{change.gained:,}"),
    ]
    if not np.isnan(found[0]):
        rows.append(("original of an edited copy is first", *(f"{100 * share:.1f} %" for share in found)))
    rows.append(("median time of a search", *(f"{ms:.1f} ms" for ms in took)))
    rows.append(("features of an image", *(f"{number:,} bytes" for number in change.bytes_per_image)))
    return rows


def _header(change: PipelineChange, notes: Sequence[str]) -> str:
    text = (
        f"Of the first {OVERLAP} hits of {len(change.queries):,} queries, {html_text(change.old)} and "
        f"{html_text(change.new)} have {100 * change.overlap:.1f} % in common. Within its copy threshold, the new one "
        f"finds {change.gained:,} images that the old one does not, and misses {change.lost:,} that the old one finds."
    )
    lines = "".join(f"<p>{html_text(note)}</p>" for note in notes)
    title = f"{html_text(change.old)} and {html_text(change.new)}"
    return f'<header><h1>{title}</h1><p class="headline">{text}</p>{lines}</header>'


def _figures(change: PipelineChange) -> str:
    head = "".join(f"<th>{html_text(name)}</th>" for name in ("", change.old, change.new))
    rows = "".join(f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in row)}</tr>" for row in figures(change))
    return _section("Figures", f'<div class="card"><table class="figures"><tr>{head}</tr>{rows}</table></div>')


def _distances(change: PipelineChange, calibrations: tuple[Calibration, Calibration]) -> str:
    charts = []
    sides: tuple[tuple[str, Callable[[ComparedQuery], Sequence[Hit]]], ...] = (
        (change.old, lambda query: query.old),
        (change.new, lambda query: query.new),
    )
    for (name, hits), calibration in zip(sides, calibrations, strict=True):
        nearest = np.array([hits(query)[0].distance for query in change.queries if hits(query)], np.float64)
        first = np.array([hit.distance for query in change.queries for hit in hits(query)[:OVERLAP]], np.float64)
        shown = [Distribution("nearest other image", nearest), Distribution(f"first {OVERLAP}", first)]
        chart = histogram(shown, x=f"distance by {name}", marks=[("copy threshold", calibration.threshold)])
        charts.append(f'<div class="card"><h3>{html_text(name)}</h3>{chart}</div>')
    return _section("Distances of what is found", f'<div class="charts">{"".join(charts)}</div>')


def _changed(title: str, change: PipelineChange, hits: Callable[[ComparedQuery], Sequence[Hit]]) -> str:
    """The queries of which most has changed."""
    changed = sorted((query for query in change.queries if hits(query)), key=lambda query: -len(hits(query)))
    if not changed:
        return _section(title, '<p class="note">None.</p>')
    rows = [_sheet_row(query, hits(query)) for query in changed[:MAX_SHOWN]]
    return _section(f"{title}: {len(changed):,} queries", sheet(rows))


def _sheet_row(query: ComparedQuery, hits: Sequence[Hit]) -> SheetRow:
    shown = tuple(
        SheetHit(Path(hit.path) if hit.path else None, hit.key, hit.evidence, hit.distance, hit.pipeline)
        for hit in hits[:SHOWN_HITS]
    )
    title = query.image if query.edit is None else f"{query.image}, {EDITS[query.edit].what}"
    image = Path(query.path) if query.path is not None else None
    try:
        data = b"" if image is None else image.read_bytes()
    except OSError:  # shown as missing
        data = b""
    return SheetRow(data, title, shown, expected=False)


def _skipped(change: PipelineChange) -> str:
    if not change.skipped:
        return ""
    items = "".join(f"<li>{html_text(name)}: {html_text(why)}</li>" for name, why in change.skipped.items())
    return _section("Not compared", f'<ul class="note">{items}</ul>')


def _section(title: str, body: str) -> str:
    return f"<section><h2>{html_text(title)}</h2>{body}</section>"
