"""Contact sheets: what was asked, and what was found, to look at. One HTML file that needs nothing else, or one PNG."""

import base64
import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path

from PIL import Image, ImageOps

from lookalike.errors import ImageRejected
from lookalike.evaluation.contact_drawing import draw
from lookalike.evaluation.contact_rows import Row, Shown, clean, verdict
from lookalike.imaging import decode

__all__ = ["Row", "Shown", "write_html", "write_png"]

THUMBNAIL = 300
"""Pixels of a thumbnail's longer side: sharp at its usual size of 150 to 190 on a screen of two pixels a point."""
_CACHED = 512

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_KEY = (
    ("exact", "the same file, or the same pixels"),
    ("copy", "nearer than strangers come"),
    ("similar", "the nearest of the rest"),
)


def write_html(rows: Sequence[Row], path: Path, *, title: str, summary: Sequence[str] = ()) -> None:
    """Write a page with a row for each query: its image, what was done to it, and its hits in order.

    The page holds everything, images too (about 15 KB each), and loads nothing. `summary` is lines of text under the
    title. Names and texts are escaped. An image that can't be shown leaves a note in its place.
    """
    thumbnails = _Thumbnails()
    columns = 1 + max([1, *(len(row.hits) for row in rows)])
    style = Path(__file__).with_name("contact_sheet.css").read_text(encoding="utf-8")
    body = "\n".join(_section(row, thumbnails) for row in rows)
    lines = "".join(f"<p>{_text(line)}</p>\n" for line in summary)
    path.write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{style}:root {{ --columns: {columns}; }}\n</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{_text(title)}</h1>\n{lines}{_legend()}</header>\n<main>\n{body}\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def write_png(rows: Sequence[Row], path: Path, *, title: str = "", summary: Sequence[str] = ()) -> None:
    """Write the same sheet as one PNG image, 1,240 pixels wide and some 230 pixels high for each row."""
    thumbnails = _Thumbnails()
    images = [[thumbnails.image(part) for part in (row.query, *map(_source, row.hits))] for row in rows]
    draw(rows, images, title=title, summary=summary).save(path, "PNG", optimize=True)


def _legend() -> str:
    items = [f'<li><b class="{name}">{name}</b> {meaning}</li>' for name, meaning in _KEY]
    items.append("<li>number: distance, 0 is equal</li><li>green: the original</li>")
    return f'<ul class="key">{"".join(items)}</ul>\n'


def _section(row: Row, thumbnails: "_Thumbnails") -> str:
    kind, words = verdict(row)
    head = f'<h2>{_text(row.title)} <span class="verdict {kind}">{words}</span></h2>'
    query = (
        f'<figure class="query">{_well(thumbnails.uri(row.query), "the edited copy")}'
        f'<figcaption><span class="soft">asked with</span></figcaption></figure>'
    )
    return f'<section class="row">{head}<div class="images">{query}{"".join(_hits(row, thumbnails))}</div></section>'


def _hits(row: Row, thumbnails: "_Thumbnails") -> Iterable[str]:
    for hit in row.hits:
        name = _text(hit.key)
        tick = '<span class="tick" title="the original">✓</span>' if hit.right else ""
        yield (
            f'<figure class="hit{" right" if hit.right else ""}">{_well(thumbnails.uri(_source(hit)), name, tick)}'
            f'<figcaption><span class="evidence"><b class="{hit.evidence}">{hit.evidence}</b> '
            f'<span class="distance">{hit.distance:.3f}</span> <span class="soft">{_text(hit.pipeline)}</span></span>'
            f'<bdi class="name" title="{name}">{name}</bdi></figcaption></figure>'
        )


def _well(uri: str | None, alternative: str, tick: str = "") -> str:
    image = f'<img src="{uri}" alt="{alternative}">' if uri else "<span>can't be shown</span>"
    return f'<div class="well">{tick}{image}</div>'


def _text(value: str) -> str:
    return escape(clean(value), quote=True)


def _source(hit: Shown) -> Path | bytes | None:
    return hit.path


class _Thumbnails:
    """Small images of the files on a sheet; a file that is hit again and again is read once."""

    def __init__(self) -> None:
        self._read = lru_cache(maxsize=_CACHED)(_thumbnail)
        self._uri = lru_cache(maxsize=_CACHED)(self._encode)

    def image(self, source: Path | bytes | None) -> Image.Image | None:
        """The image, at most THUMBNAIL pixels wide and high, or None where it can't be shown."""
        return None if source is None else self._read(source)

    def uri(self, source: Path | bytes | None) -> str | None:
        """The image as a data: address of a JPEG."""
        return None if source is None else self._uri(source)

    def _encode(self, source: Path | bytes) -> str | None:
        image = self._read(source)
        if image is None:
            return None
        file = io.BytesIO()
        image.save(file, "JPEG", quality=78, optimize=True)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _thumbnail(source: Path | bytes) -> Image.Image | None:
    """A sheet is worth having without an image that is gone by now, or was never one: both give None."""
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        rgb = decode(data, box=(THUMBNAIL, THUMBNAIL)).rgb
    except (OSError, ValueError, ImageRejected):  # ValueError: a name with a zero byte in it
        return None
    image = Image.fromarray(rgb)
    if max(image.size) <= THUMBNAIL:
        return image
    return ImageOps.contain(image, (THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
