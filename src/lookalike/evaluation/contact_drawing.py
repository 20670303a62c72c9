"""The contact sheet as one drawn image."""

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from lookalike.evaluation.contact_rows import Row, Shown, clean, verdict

WIDTH = 1240
"""Pixels across a sheet."""
_EDGE, _GAP, _PAD = 28, 12, 16
_GROUND, _CARD, _WELL, _LINE = "#f6f6f4", "#ffffff", "#ecedea", "#e1e2e0"
_INK, _SOFT, _RIGHT = "#1b1c1e", "#5d6167", "#167a48"
_EVIDENCE = {"exact": "#4a3fb5", "copy": "#0b6e86", "similar": "#63676d"}
_VERDICT = {
    "first": (_RIGHT, "#e3f4ea"),
    "later": ("#8f5a00", "#fcf0d9"),
    "missed": ("#b3261e", "#fbe6e4"),
    "none": (_SOFT, _WELL),
}
Box = tuple[float, float, float, float]
Images = Sequence[Image.Image | None]


def draw(rows: Sequence[Row], images: Sequence[Images], *, title: str, summary: Sequence[str]) -> Image.Image:
    """Draw the rows below one another; `images` are for each row those of the query and of its hits."""
    columns = 1 + max([1, *(len(row.hits) for row in rows)])
    cell = (WIDTH - 2 * _EDGE - 2 * _PAD - (columns - 1) * _GAP) // columns
    top = _EDGE + (48 if title else 0) + 24 * len(summary) + (16 if title or summary else 0)
    height = _PAD + 36 + cell + 44 + _PAD
    sheet = Image.new("RGB", (WIDTH, top + len(rows) * (height + _GAP) - (_GAP if rows else 0) + _EDGE), _GROUND)
    pen = ImageDraw.Draw(sheet)
    _head(pen, title, summary)
    for row, shown in zip(rows, images, strict=True):
        pen.rounded_rectangle((_EDGE, top, WIDTH - _EDGE, top + height), 12, fill=_CARD, outline=_LINE)
        _title(pen, row, top + _PAD)
        for column, image in enumerate(shown):
            x, y = _EDGE + _PAD + column * (cell + _GAP), top + _PAD + 36
            _image(sheet, pen, image, (x, y, x + cell, y + cell))
            if column == 0:
                pen.rounded_rectangle((x, y, x + cell, y + cell), 8, outline=_SOFT, width=2)
                pen.text((x, y + cell + 8), "asked with", _SOFT, _font(14))
            else:
                _hit(pen, row.hits[column - 1], (x, y, x + cell, y + cell))
        top += height + _GAP
    return sheet


def _head(pen: ImageDraw.ImageDraw, title: str, summary: Sequence[str]) -> None:
    y = _EDGE
    if title:
        pen.text((_EDGE, y), _fit(clean(title), 32, WIDTH - 2 * _EDGE), _INK, _font(32))
        y += 48
    for line in summary:
        pen.text((_EDGE, y), _fit(clean(line), 16, WIDTH - 2 * _EDGE), _SOFT, _font(16))
        y += 24


def _title(pen: ImageDraw.ImageDraw, row: Row, y: float) -> None:
    """What was done, and beside it how the search did."""
    kind, words = verdict(row)
    ink, wash = _VERDICT[kind]
    length = _font(14).getlength(words)
    text = _fit(clean(row.title), 18, WIDTH - 2 * _EDGE - 2 * _PAD - length - 40)
    x = _EDGE + _PAD
    pen.text((x, y + 10), text, _INK, _font(18), anchor="lm")
    x += _font(18).getlength(text) + 12
    pen.rounded_rectangle((x, y - 1, x + length + 20, y + 23), 12, fill=wash)
    pen.text((x + 10, y + 11), words, ink, _font(14), anchor="lm")


def _image(sheet: Image.Image, pen: ImageDraw.ImageDraw, image: Image.Image | None, box: Box) -> None:
    """The image, whole, in the middle of a square."""
    pen.rounded_rectangle(box, 8, fill=_WELL)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    if image is None:
        pen.text(middle, "can't be shown", _SOFT, _font(14), anchor="mm")
        return
    side = box[2] - box[0] - 12
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = image.resize(size, Image.Resampling.LANCZOS)
    sheet.paste(small, (round(middle[0] - small.width / 2), round(middle[1] - small.height / 2)))


def _hit(pen: ImageDraw.ImageDraw, hit: Shown, box: Box) -> None:
    """Evidence, distance, pipeline and name below the image; a green rim and a tick where it is the original."""
    left, top, right, bottom = box
    if hit.right:
        pen.rounded_rectangle(box, 8, outline=_RIGHT, width=3)
        pen.ellipse((left - 6, top - 7, left + 17, top + 16), fill=_RIGHT)
        pen.line([(left, top + 5), (left + 4, top + 9), (left + 11, top)], fill=_CARD, width=3)
    x, y = left, bottom + 8
    parts = ((hit.evidence, _EVIDENCE[hit.evidence]), (f"{hit.distance:.3f}", _INK), (clean(hit.pipeline), _SOFT))
    for text, ink in parts:
        text = _fit(text, 14, max(0.0, right - x))
        pen.text((x, y), text, ink, _font(14))
        x += _font(14).getlength(text) + 8
    pen.text((left, y + 20), _fit(clean(hit.key), 14, right - left), _RIGHT if hit.right else _SOFT, _font(14))


def _fit(text: str, size: int, width: float) -> str:
    """Text shortened at its end, if need be, to this many pixels."""
    if _font(size).getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _font(size).getlength(text[:middle] + "...") <= width else (low, middle - 1)
    return text[:low] + "..."


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
