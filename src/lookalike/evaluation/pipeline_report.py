"""The report of a comparison of two pipelines, a self-contained HTML file: figures, distances, what changed."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from lookalike.evaluation.charts import Distribution, histogram
from lookalike.evaluation.contact_sheet import STYLE as SHEET_STYLE
from lookalike.evaluation.contact_sheet import SheetHit, SheetRow, sheet
from lookalike.evaluation.edits import EDITS
from lookalike.evaluation.html import html_page, html_text
from lookalike.evaluation.report import STYLE
from lookalike.pipeline_change import OVERLAP, ComparedHit, ComparedQuery, PipelineChange

MAX_SHOWN = 12
"""Queries on each contact sheet."""
SHOWN_HITS = 5


ImageOf: TypeAlias = Callable[[str], bytes | None]
"""A thumbnail of the image of a key; None where there is none."""


def pipeline_report(change: PipelineChange, notes: Sequence[str], image_of: ImageOf) -> str:
    """The report, a page of HTML that holds everything; at most a few hundred images are asked for."""
    body = "\n".join(
        [
            _header(change, notes),
            "<main>",
            _figures(change),
            _distances(change),
            _changed("Copies that only the new one finds", change, lambda query: query.gained, image_of),
            _changed("Copies that only the old one finds", change, lambda query: query.lost, image_of),
            _skipped(change),
            "</main>\n",
        ]
    )
    title = f"{change.old} and {change.new}"
    return html_page(title, body, SHEET_STYLE, STYLE)


def figures(change: PipelineChange) -> list[tuple[str, ...]]:
    """Return the rows of a table: what it is, of the old pipeline, of the new one; equal cells stand once."""
    found, took = change.found(), change.median_ms()
    rows: list[tuple[str, ...]] = [
        (f"overlap@{OVERLAP}", f"{100 * change.overlap:.1f} %", ""),
        ("copies that only it finds", f"{change.lost:,}", f"{change.gained:,}"),
    ]
    if found is not None:
        rows.append(("original of an edited copy is first", *(f"{100 * share:.1f} %" for share in found)))
    if took is not None:
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


def _distances(change: PipelineChange) -> str:
    charts = []
    sides: tuple[tuple[str, Callable[[ComparedQuery], Sequence[ComparedHit]]], ...] = (
        (change.old, lambda query: query.old),
        (change.new, lambda query: query.new),
    )
    for (name, hits), threshold in zip(sides, change.thresholds, strict=True):
        nearest = np.array([hits(query)[0].distance for query in change.queries if hits(query)], np.float64)
        first = np.array([hit.distance for query in change.queries for hit in hits(query)], np.float64)
        shown = [Distribution("nearest other image", nearest), Distribution(f"first {OVERLAP}", first)]
        chart = histogram(shown, x=f"distance by {name}", marks=[("copy threshold", threshold)])
        charts.append(f'<div class="card"><h3>{html_text(name)}</h3>{chart}</div>')
    return _section("Distances of what is found", f'<div class="charts">{"".join(charts)}</div>')


def _changed(
    title: str, change: PipelineChange, hits: Callable[[ComparedQuery], Sequence[ComparedHit]], image_of: ImageOf
) -> str:
    """The queries of which most has changed."""
    changed = sorted((query for query in change.queries if hits(query)), key=lambda query: -len(hits(query)))
    if not changed:
        return _section(title, '<p class="note">None.</p>')
    rows = [_sheet_row(query, hits(query), image_of) for query in changed[:MAX_SHOWN]]
    return _section(f"{title}: {len(changed):,} queries", sheet(rows))


def _sheet_row(query: ComparedQuery, hits: Sequence[ComparedHit], image_of: ImageOf) -> SheetRow:
    shown = tuple(
        SheetHit(image_of(hit.key), hit.key, hit.evidence, hit.distance, hit.pipeline) for hit in hits[:SHOWN_HITS]
    )
    title = query.image or "a live query, of which only features are kept"
    if query.edit is not None:
        title += f", {EDITS[query.edit].what}"
    data = None if query.image is None else image_of(query.image)
    return SheetRow(data or b"", title, shown, expected=False)


def _skipped(change: PipelineChange) -> str:
    if not change.skipped:
        return ""
    items = "".join(f"<li>{html_text(name)}: {html_text(why)}</li>" for name, why in change.skipped.items())
    return _section("Not compared", f'<ul class="note">{items}</ul>')


def _section(title: str, body: str) -> str:
    return f"<section><h2>{html_text(title)}</h2>{body}</section>"
