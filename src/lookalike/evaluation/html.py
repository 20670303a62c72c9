"""Self-contained HTML pages: escaped text, thumbnails as data URLs, and the frame of a page that loads nothing."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image, ImageOps

from lookalike.errors import ImageRejected
from lookalike.imaging import decode

THUMBNAIL_SIDE = 300
"""Pixels of a thumbnail's longer side: sharp at its usual size of 150 to 190 on a screen of two pixels a point."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def html_page(title: str, body: str, *styles: str) -> str:
    """Return a page of its own; `styles` are style sheets of this package, by file name."""
    style = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in styles)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html_text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def html_text(value: str) -> str:
    """Return text as HTML, with control characters and undecodable bytes of file names escaped."""
    readable = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in value)
    return escape(readable.encode("utf-8", "backslashreplace").decode("utf-8"), quote=True)


def thumbnail_uri(source: Path | bytes | None) -> str | None:
    """Return a JPEG of at most THUMBNAIL_SIDE pixels as a data: URL; None for a file that is missing or no image."""
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
