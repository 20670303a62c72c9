"""Thumbnails in a terminal: two pixels per character, an upper half block over a background colour."""

from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.text import Text

from lookalike.errors import ImageRejected
from lookalike.imaging import decode

COLUMNS, LINES = 16, 5
"""Size of a thumbnail in characters; each is one pixel wide and two high."""


def can_preview(console: Console) -> bool:
    """Whether this is a terminal with enough colours."""
    return console.is_terminal and console.color_system in ("256", "truecolor")


def preview_of(path: str, columns: int = COLUMNS, lines: int = LINES) -> Text | None:
    """The image at this path, scaled to fit; None if it cannot be read."""
    try:
        rgb = decode(Path(path).read_bytes(), box=(columns * 2, lines * 4)).rgb
    except (OSError, ImageRejected):
        return None
    image = Image.fromarray(rgb)
    scale = min(columns / image.width, 2 * lines / image.height)
    width = max(round(image.width * scale), 1)
    height = max(2 * round(image.height * scale / 2), 2)
    small = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    text = Text(no_wrap=True)
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", f"rgb({','.join(map(str, above))}) on rgb({','.join(map(str, below))})")
        text.append("\n")
    text.right_crop(1)
    return text
