"""The report of an evaluation, a self-contained HTML file: figures, charts, and the worst errors as contact sheets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.evaluation.charts import Curve, Distribution, curves_chart, histogram
from lookalike.evaluation.contact_sheet import STYLE as SHEET_STYLE
from lookalike.evaluation.contact_sheet import SheetHit, SheetRow, sheet
from lookalike.evaluation.edits import EDITS
from lookalike.evaluation.html import html_page, html_text
from lookalike.evaluation.measurement import VERIFIED, QueryResult, ScoredHit
from lookalike.evaluation.metrics import Estimate, precision_recall
from lookalike.evaluation.summary import FALSE_RATES, RANKS, Summary, predictions, summarise
from lookalike.gallery_calibration import LABELS, VERIFICATION
from lookalike.pipeline import Calibration

STYLE = "report.css"
MAX_SHOWN = 12
"""Queries on each contact sheet."""
SHOWN_HITS = 5
POOR_RECALL = 0.5
"""Recall below which a cell of the heat map is red."""
DARK_CELL = 0.85
"""Recall above which a cell is so dark that its text is light."""
SEVERITIES = {"light": "Hardly visible", "medium": "Obvious, the content intact", "heavy": "Much removed or added"}

Copy = Callable[[str, str], bytes | None]
"""The edited copy of an image, by its name and the edit; None where it can no longer be made."""


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation to report.

    Attributes:
        gallery: Name of the gallery.
        images: Images in it.
        results: Of all queries.
        searches: Names of the searches, that of the whole gallery first.
        edits: Names of the edits.
        calibrations: Of the pipelines, for the thresholds on the histograms.
        skipped: Reason by image of those that could not be evaluated.
        notes: Lines about how it was made: version, date, command.
    """

    gallery: str
    images: int
    results: Sequence[QueryResult]
    searches: Sequence[str]
    edits: Sequence[str]
    calibrations: Mapping[str, Calibration]
    skipped: Mapping[str, str]
    notes: Sequence[str]


def write_report(report: Report, copy: Copy, path: Path) -> None:
    """Write the report to a file; `copy` makes the images of the contact sheets again."""
    overall = [summarise(report.results, search=name) for name in report.searches]
    body = "\n".join(
        [
            _header(report, overall[0]),
            "<main>",
            _figures(report, overall),
            _heat_map(report),
            _charts(report),
            _misses(report, copy),
            _false_answers(report, copy),
            _skipped(report),
            "</main>\n",
        ]
    )
    path.write_text(html_page(f"Evaluation of {report.gallery}", body, SHEET_STYLE, STYLE), encoding="utf-8")


def percent(estimate: Estimate) -> str:
    """`98.1 %`, or a dash for a value that the sample cannot show."""
    return "–" if estimate.value is None else f"{100 * estimate.value:.1f} %"


def interval(estimate: Estimate) -> str:
    """`95.4 to 100.0`, or nothing."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _header(report: Report, overall: Summary) -> str:
    text = (
        f"Of {overall.queries:,} edited copies of {overall.images:,} images, {percent(overall.recall[1])} have their "
        f"original as the first hit ({interval(overall.recall[1])} with 95 % confidence), and "
        f"{percent(overall.labelled)} have it labelled as a copy. Without their originals in the gallery, "
        f"{percent(overall.wrong_copies)} of {overall.negatives:,} queries get a hit that is labelled as a copy "
        f"({interval(overall.wrong_copies)})."
    )
    notes = "".join(f"<p>{html_text(note)}</p>" for note in report.notes)
    name = f"Evaluation of {html_text(report.gallery)}"
    return f'<header><h1>{name}</h1><p class="headline">{text}</p>{notes}</header>'


def _section(title: str, note: str, body: str) -> str:
    return f'<section><h2>{html_text(title)}</h2><p class="note">{html_text(note)}</p>{body}</section>'


def _figures(report: Report, overall: Sequence[Summary]) -> str:
    hard = [summarise(report.results, search=name, sample="hard") for name in report.searches]
    names = ["first hit", "first 10", "uAP", *(f"at {100 * rate:g} % false" for rate in FALSE_RATES)]
    head = "".join(f"<th>{html_text(name)}</th>" for name in ["search", *names, "labelled", "wrong copies", "hard"])
    rows = []
    for summary, of_hard in zip(overall, hard, strict=True):
        estimates = [summary.recall[1], summary.recall[10], summary.average_precision]
        estimates += [summary.recall_at_false[rate] for rate in FALSE_RATES]
        estimates += [summary.labelled, summary.wrong_copies, of_hard.wrong_copies]
        cells = "".join(f"<td>{percent(e)}<small>{interval(e)}</small></td>" for e in estimates)
        rows.append(f"<tr><td>{html_text(summary.search)}</td>{cells}</tr>")
    note = (
        "First hit, first 10: copies whose original is found there. uAP: micro-average precision, half of the queries "
        "without an original. At x % false: copies answered rightly where at most this share of the queries without "
        "an original gets any answer; a dash where there are too few queries to tell. Labelled: copies whose original "
        "is found and labelled exact or copy. Wrong copies: queries without an original with a hit labelled so; hard: "
        "the same for images that have a near neighbour. Small: 95 % intervals, drawn by image."
    )
    table = f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return _section("Figures", note, f'<div class="card">{table}</div>')


def _heat_map(report: Report) -> str:
    whole, *alone = report.searches
    names = ["", f"{whole}: first hit", "first 10", "labelled", *(f"{name}: first hit" for name in alone)]
    head = "".join(f"<th>{html_text(name)}</th>" for name in names)
    rows: list[str] = []
    for severity, words in SEVERITIES.items():
        edits = [edit for edit in report.edits if EDITS[edit].severity == severity]
        if edits:
            rows.append(f'<tr class="severity"><td colspan="{len(names)}">{words}</td></tr>')
        for edit in edits:
            first, *others = (summarise(report.results, search=name, edit=edit) for name in report.searches)
            estimates = [first.recall[1], first.recall[RANKS[-1]], first.labelled, *(o.recall[1] for o in others)]
            rows.append(f"<tr><td>{html_text(EDITS[edit].what)}</td>{''.join(map(_heat_cell, estimates))}</tr>")
    table = f'<table class="heat"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    note = (
        "Share of copies whose original is the first hit, by what was done to the image; for the whole gallery also "
        "the share with it among the first 10, and labelled exact or copy. Red: fewer than half."
    )
    return _section("By edit", note, f'<div class="card">{table}</div>')


def _heat_cell(share: Estimate) -> str:
    if share.value is None:
        return "<td>–</td>"
    kind = " poor" if share.value < POOR_RECALL else " deep" if share.value > DARK_CELL else ""
    return (
        f'<td class="cell{kind}" style="--share: {share.value**2:.3f}" '
        f'title="{interval(share)} with 95 % confidence">{100 * share.value:.0f} %</td>'
    )


def _charts(report: Report) -> str:
    cards = [("Precision and recall", _precision_recall(report))]
    cards += [(f"Distances, {name}", _histogram(report, name, of)) for name, of in report.calibrations.items()]
    if any(r.search == VERIFIED for r in report.results):
        cards.append(("Comparison of pixels", _verification_histogram(report)))
    figures = "".join(f'<figure class="card"><h3>{html_text(name)}</h3>{chart}</figure>' for name, chart in cards)
    note = (
        "Precision and recall: all hits of all queries in one ranking, half of the queries without an original; how "
        "many of the accepted hits are right, and how many of the originals are among them. Distances: where the two "
        "overlap, no threshold on the distance can tell copies from other images."
    )
    return _section("Precision, recall and distances", note, f'<div class="charts">{figures}</div>')


def _precision_recall(report: Report) -> str:
    curves = []
    for name in report.searches:
        p = predictions([r for r in report.results if r.search == name and r.sample != "hard"])
        recall, precision, _ = precision_recall(p.scores, p.correct, float(p.positives.sum()), p.weights)
        curves.append(Curve(name, recall, precision))
    return curves_chart(curves, x="recall", y="precision")


def _histogram(report: Report, pipeline: str, calibration: Calibration) -> str:
    """Distances in one pipeline, where it was searched alone."""
    of_search = [r for r in report.results if r.search == pipeline and r.sample != "hard"]
    right = [r.right.distance for r in of_search if r.right is not None]
    false = [r.without_original[0].distance for r in of_search if r.without_original]
    return histogram(
        [
            Distribution("copies: distance of the original", np.array(right, np.float64)),
            Distribution("no original: distance of the nearest image", np.array(false, np.float64)),
        ],
        x=f"distance, {pipeline}",
        marks=[("copy threshold", calibration.threshold)],
    )


def _verification_histogram(report: Report) -> str:
    """What the comparison of pixels found, of those hits whose pixels were compared."""
    of_search = [r for r in report.results if r.search == VERIFIED and r.sample != "hard"]
    right = [r.right.value for r in of_search if r.right is not None and r.right.measure == VERIFICATION]
    false = [min((h.value for h in r.without_original if h.measure == VERIFICATION), default=1.0) for r in of_search]
    return histogram(
        [
            Distribution("copies: the original", np.array(right, np.float64)),
            Distribution("no original: the surest image", np.array(false, np.float64)),
        ],
        x="copy, variant, similar: a third each, by 1 - agreement",
        marks=[("copy up to", 1 / len(LABELS)), ("variant up to", 2 / len(LABELS))],
    )


def _misses(report: Report, copy: Copy) -> str:
    severity = list(SEVERITIES)
    missed = [r for r in _of_first_search(report) if r.sample == "random" and r.rank != 1]
    missed.sort(key=lambda r: (r.rank is not None, severity.index(EDITS[r.edit].severity), r.image))
    rows = [_sheet_row(result, result.hits, copy, expected=True) for result in missed[:MAX_SHOWN]]
    note = f"{len(missed):,} copies whose original is not the first hit; the {len(rows)} worst, lightest edits first."
    return _section("Worst misses", note, sheet(rows)) if rows else _section("Worst misses", "None.", "")


def _false_answers(report: Report, copy: Copy) -> str:
    false = [r for r in _of_first_search(report) if r.without_original]
    false.sort(key=lambda r: -r.without_original[0].score)
    shown: dict[tuple[str, str], QueryResult] = {}
    for result in false:
        shown.setdefault((result.image, result.without_original[0].key), result)
        if len(shown) == MAX_SHOWN:
            break
    rows = [_sheet_row(result, result.without_original, copy, expected=False) for result in shown.values()]
    labelled = sum(any(hit.evidence != "similar" for hit in r.without_original) for r in false)
    note = (
        f"{labelled:,} queries without an original get a hit labelled as a copy. The surest false answers, each pair "
        "of images once. An image here that is in truth a copy of the query's original (a duplicate in the gallery) is "
        "no error: then the figures for false answers are too high. --groups names such images."
    )
    return _section("Worst false answers", note, sheet(rows) if rows else "")


def _of_first_search(report: Report) -> list[QueryResult]:
    return [result for result in report.results if result.search == report.searches[0]]


def _sheet_row(result: QueryResult, hits: Sequence[ScoredHit], copy: Copy, *, expected: bool) -> SheetRow:
    shown = tuple(
        SheetHit(Path(h.path) if h.path else None, h.key, h.evidence, h.distance, h.pipeline, h.right and expected)
        for h in hits[:SHOWN_HITS]
    )
    title = f"{result.image}, {EDITS[result.edit].what}"
    return SheetRow(copy(result.image, result.edit) or b"", title, shown, expected)


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    items = "".join(f"<li>{html_text(name)}: {html_text(why)}</li>" for name, why in sorted(report.skipped.items()))
    return _section(f"{len(report.skipped):,} images skipped", "They could not be evaluated.", f"<ul>{items}</ul>")
