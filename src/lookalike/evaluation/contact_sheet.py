"""Contact sheets: queries and their hits as one self-contained HTML file."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from lookalike.evaluation.html import html_page, html_text, thumbnail_uri
from lookalike.types import Evidence

MAX_CACHED = 512
_KEY = (
    ("exact", "the same file, or the same pixels"),
    ("copy", "an edited copy"),
    ("variant", "one template or scene, parts differ"),
    ("similar", "the nearest of the rest"),
)
STYLE = "contact_sheet.css"
Uri = Callable[[Path | bytes | None], str | None]
Verdict = Literal["first", "later", "missed", "none"]


@dataclass(frozen=True, slots=True)
class SheetHit:
    """One hit on a sheet: the file to show (or its bytes, or None), and whether it is the `right` answer."""

    path: Path | bytes | None
    key: str
    evidence: Evidence
    distance: float
    pipeline: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One query: the bytes of its image, a title (the edit), and its hits, best first.

    `expected` is False for a query that has no original in the gallery, for which no answer is right.
    """

    query: bytes
    title: str
    hits: tuple[SheetHit, ...]
    expected: bool = True


def write_html(rows: Sequence[SheetRow], path: Path, *, title: str, summary: Sequence[str] = ()) -> None:
    """Write a page with a row for each query: its image, what was done to it, and its hits in order.

    The page holds everything, images too (about 15 KB each), and loads nothing. `summary` is lines of text under the
    title. Names and texts are escaped. An image that can't be shown leaves a note in its place.
    """
    lines = "".join(f"<p>{html_text(line)}</p>\n" for line in summary)
    body = f"<header>\n<h1>{html_text(title)}</h1>\n{lines}{_legend()}</header>\n<main>\n{sheet(rows)}\n</main>\n"
    path.write_text(html_page(title, body, STYLE), encoding="utf-8")


def sheet(rows: Sequence[SheetRow]) -> str:
    """Return the rows as HTML, for a page with the style sheet `STYLE`."""
    uri = lru_cache(maxsize=MAX_CACHED)(thumbnail_uri)  # a file that several rows show is read once
    columns = 1 + max([1, *(len(row.hits) for row in rows)])
    body = "\n".join(_section(row, uri) for row in rows)
    return f'<div class="sheet" style="--columns: {columns}">{body}</div>'


def _legend() -> str:
    items = [f'<li><b class="{name}">{name}</b> {meaning}</li>' for name, meaning in _KEY]
    items.append("<li>number: distance, 0 is equal</li><li>green: the original</li>")
    return f'<ul class="key">{"".join(items)}</ul>\n'


def _section(row: SheetRow, uri: Uri) -> str:
    kind, words = _verdict(row)
    head = f'<h2>{html_text(row.title)} <span class="verdict {kind}">{words}</span></h2>'
    query = (
        f'<figure class="query">{_well(uri(row.query), "the edited copy")}'
        f'<figcaption><span class="soft">query</span></figcaption></figure>'
    )
    return f'<section class="row">{head}<div class="images">{query}{"".join(_hits(row, uri))}</div></section>'


def _hits(row: SheetRow, uri: Uri) -> Iterable[str]:
    for hit in row.hits:
        name, pipeline = html_text(hit.key), html_text(hit.pipeline)
        tick = '<span class="tick" title="the original">✓</span>' if hit.right else ""
        yield (
            f'<figure class="hit{" right" if hit.right else ""}">{_well(uri(hit.path), name, tick)}'
            f'<figcaption><span class="evidence"><b class="{hit.evidence}">{hit.evidence}</b> '
            f'<span class="distance">{hit.distance:.3f}</span> <span class="soft">{pipeline}</span></span>'
            f'<bdi class="name" title="{name}">{name}</bdi></figcaption></figure>'
        )


def _well(uri: str | None, alternative: str, tick: str = "") -> str:
    image = f'<img src="{uri}" alt="{alternative}">' if uri else "<span>can't be shown</span>"
    return f'<div class="well">{tick}{image}</div>'


def _verdict(row: SheetRow) -> tuple[Verdict, str]:
    """The result of a query: a CSS class, and the words to print."""
    if not row.expected:
        return "none", "nothing to find"
    place = next((number for number, hit in enumerate(row.hits, 1) if hit.right), None)
    if place is None:
        return "missed", "not found"
    return ("first", "found first") if place == 1 else ("later", f"found at rank {place}")
