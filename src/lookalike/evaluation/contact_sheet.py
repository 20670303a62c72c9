"""Contact sheets: queries and their hits as one self-contained HTML file."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from lookalike.errors import ImageRejected
from lookalike.imaging import decode
from lookalike.types import Evidence

THUMBNAIL_SIDE = 300
"""Pixels of a thumbnail's longer side: sharp at its usual size of 150 to 190 on a screen of two pixels a point."""
MAX_CACHED = 512

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_KEY = (
    ("exact", "the same file, or the same pixels"),
    ("copy", "nearer than unrelated images come"),
    ("similar", "the nearest of the rest"),
)
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
    uri = lru_cache(maxsize=MAX_CACHED)(_thumbnail_uri)  # a file that several rows show is read once
    columns = 1 + max([1, *(len(row.hits) for row in rows)])
    style = Path(__file__).with_name("contact_sheet.css").read_text(encoding="utf-8")
    body = "\n".join(_section(row, uri) for row in rows)
    lines = "".join(f"<p>{_text(line)}</p>\n" for line in summary)
    path.write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{style}:root {{ --columns: {columns}; }}\n</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{_text(title)}</h1>\n{lines}{_legend()}</header>\n<main>\n{body}\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _legend() -> str:
    items = [f'<li><b class="{name}">{name}</b> {meaning}</li>' for name, meaning in _KEY]
    items.append("<li>number: distance, 0 is equal</li><li>green: the original</li>")
    return f'<ul class="key">{"".join(items)}</ul>\n'


def _section(row: SheetRow, uri: Uri) -> str:
    kind, words = _verdict(row)
    head = f'<h2>{_text(row.title)} <span class="verdict {kind}">{words}</span></h2>'
    query = (
        f'<figure class="query">{_well(uri(row.query), "the edited copy")}'
        f'<figcaption><span class="soft">query</span></figcaption></figure>'
    )
    return f'<section class="row">{head}<div class="images">{query}{"".join(_hits(row, uri))}</div></section>'


def _hits(row: SheetRow, uri: Uri) -> Iterable[str]:
    for hit in row.hits:
        name = _text(hit.key)
        tick = '<span class="tick" title="the original">✓</span>' if hit.right else ""
        yield (
            f'<figure class="hit{" right" if hit.right else ""}">{_well(uri(hit.path), name, tick)}'
            f'<figcaption><span class="evidence"><b class="{hit.evidence}">{hit.evidence}</b> '
            f'<span class="distance">{hit.distance:.3f}</span> <span class="soft">{_text(hit.pipeline)}</span></span>'
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


def _text(value: str) -> str:
    """Text as HTML, with control characters and undecodable bytes of file names escaped."""
    readable = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in value)
    return escape(readable.encode("utf-8", "backslashreplace").decode("utf-8"), quote=True)


def _thumbnail_uri(source: Path | bytes | None) -> str | None:
    """A JPEG of at most THUMBNAIL_SIDE pixels as a data: URL; None for a file that is missing or not an image."""
    if source is None:
        return None
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        image = Image.fromarray(decode(data, box=(THUMBNAIL_SIDE, THUMBNAIL_SIDE)).rgb)
    except (OSError, ValueError, ImageRejected):  # ValueError: a path with a NUL in it
        return None
    if max(image.size) > THUMBNAIL_SIDE:
        image = ImageOps.contain(image, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=78, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
