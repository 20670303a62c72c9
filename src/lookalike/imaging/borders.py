"""Finds and cuts the flat frame around an image: black bars, letterboxes, polaroids, frames inside frames.

The published system cuts every row and column that is all (0, 0, 0). This cuts from the edges inwards only, any flat
colour, each side for itself, and through the noise that JPEG leaves beside the content. What tells a frame from a
night sky or a product on white is its inner edge: a frame ends in a sharp, straight line along the whole image.
The cut is the same when indexing and when searching, so that a copy and its original stay alike.

The constants were measured on 400 real photos, bare and with drawn frames of 3 to 140 pixels, as PNG, as JPEG of
quality 30 and 75, and at a quarter of the size.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lookalike.types import UNCUT, Border, Pixels

MIN_SIDE: Final = 16
"""Pixels; an image that is narrower or lower than this is left alone, and no round leaves less than half of it."""
MAX_SHARE: Final = 0.45
"""At most this share of the height (or width) is taken from one side in one round; a wider flat part is content."""
ROUNDS: Final = 16
"""Frames inside one another that are cut at most."""
EDGE_RANGE: Final = 16
"""Levels between the darkest and the brightest value of an outermost line, above which there is no frame."""
QUIET: Final = 8
"""Levels that a value of a frame may be away from the frame's colour where no content is near."""
SPECKS: Final = 0.01
"""Share of a quiet line's values that may be further away: dust, a damaged block."""
RINGING: Final = 16
"""Lines beside the content that JPEG disturbs: one chroma block of 4:2:0."""
DISTURBED: Final = 20.0
"""Levels of mean deviation that JPEG of quality 30 leaves in such a line, but for the one next to the content."""
FLOOR: Final = 4.0
"""Levels of mean deviation that count as noise: added to both lines before they are compared."""
RINGING_FLOOR: Final = 8.0
"""Levels added to that where the edge is looked for, so that the onset of ringing is not taken for it."""
SHARP: Final = 2.0
"""How many times the mean deviation must grow over the edge, from frame to content."""
STRAIGHT: Final = 0.9
"""Share of the content's first lines that must differ from the frame, for a side that stands alone."""
STRAIGHT_PAIRED: Final = 0.4
"""The same where the opposite side has an edge of the same colour that is straight, or just as far from its side."""
BLEND: Final = 0.7
"""A line that deviates by this share of its inner neighbour, or less, is a mixture of frame and content."""

_OPPOSITE: Final = {"left": "right", "top": "bottom", "right": "left", "bottom": "top"}


@dataclass(frozen=True, slots=True)
class _Edge:
    """Where a side's frame may end: `lines` to cut, how sharply, along which share of the side, after which colour."""

    lines: int
    growth: float
    straight: float
    colour: list[int]


def find_border(rgb: Pixels) -> Border:
    """Measure the frame around `rgb`, (h, w, 3) RGB or (h, w) grey uint8, in its own pixels; no frame: all zero.

    Rounds repeat until none finds anything, so a frame inside a letterbox goes too, and cutting twice changes nothing.
    An image without flat sides costs some 10 microseconds, whatever its size.
    """
    if rgb.ndim == 2:
        rgb = rgb[:, :, None]
    height, width = rgb.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    for _ in range(ROUNDS):
        found = _one_round(rgb[top:bottom, left:right])
        if not found:
            break
        left, top = left + found.left, top + found.top
        right, bottom = right - found.right, bottom - found.bottom
    return Border(left, top, width - right, height - bottom)


def cut(rgb: Pixels, border: Border) -> Pixels:
    """The image without its border: a view of `rgb`, never empty for a border that `find_border` gave."""
    if not border:
        return rgb
    height, width = rgb.shape[:2]
    return rgb[border.top : height - border.bottom, border.left : width - border.right]


def _one_round(rgb: Pixels) -> Border:
    """Look at the four sides once."""
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        return UNCUT
    outermost = (("left", rgb[:, 0]), ("top", rgb[0]), ("right", rgb[:, -1]), ("bottom", rgb[-1]))
    colours = {name: colour for name, line in outermost if (colour := _edge_colour(line)) is not None}
    if not colours:
        return UNCUT  # so it is with most images
    turned = rgb.transpose(1, 0, 2)
    sides = {"left": turned, "top": rgb, "right": turned[::-1], "bottom": rgb[::-1]}
    quiet = {name: _quiet_lines(sides[name], colour) for name, colour in colours.items()}
    rows = slice(quiet.get("top", 0), height - quiet.get("bottom", 0))
    columns = slice(quiet.get("left", 0), width - quiet.get("right", 0))
    if min(rows.stop - rows.start, columns.stop - columns.start) < MIN_SIDE // 2:
        return UNCUT
    edges = {}
    for name, colour in colours.items():
        along = rows if name in ("left", "right") else columns
        edge = _inner_edge(sides[name][:, along], colour, quiet[name])
        if edge.growth >= SHARP and edge.straight >= STRAIGHT_PAIRED:
            edges[name] = edge
    return Border(**{name: edge.lines for name, edge in edges.items() if _ends_frame(edge, edges.get(_OPPOSITE[name]))})


def _edge_colour(line: Pixels) -> list[int] | None:
    """The colour of an outermost line (n, channels), or None where it is not nearly of one colour."""
    step = max(len(line) // MIN_SIDE, 1)  # most images end here: plain Python is quicker than numpy
    few = line[::step, 0].tolist()
    if max(few) - min(few) > EDGE_RANGE:
        return None
    colour = []
    for channel in range(line.shape[1]):
        values = sorted(line[:: max(step // 8, 1), channel].tolist())
        if values[-1] - values[0] > EDGE_RANGE:
            return None
        colour.append(values[len(values) // 2])
    return colour


def _quiet_lines(lines: Pixels, colour: list[int]) -> int:
    """How many lines from the edge on are of the colour, counted up to `MAX_SHARE`."""
    most = int(len(lines) * MAX_SHARE)
    low = np.array([max(value - QUIET, 0) for value in colour], np.uint8)
    span = np.array([min(value + QUIET, 255) for value in colour], np.uint8) - low
    specks = lines.shape[1] * lines.shape[2] * SPECKS
    start, step = 0, 8
    while start < most:
        block = lines[start : min(start + step, most)]
        outside = ((block - low) > span).sum(axis=(1, 2))  # values below `low` wrap round to beyond the span
        for line, count in enumerate(outside.tolist(), start):
            if count > specks:
                return line
        start, step = start + step, min(step * 2, 64)
    return most


def _inner_edge(lines: Pixels, colour: list[int], quiet: int) -> _Edge:
    """The sharpest change near the end of the quiet lines, within the reach of JPEG's ringing."""
    first = max(quiet - 2, 0)
    zone = min(RINGING, len(lines) // 12) + quiet - first
    window = np.abs(lines[first : first + zone + 5].astype(np.int16) - np.array(colour, np.int16))
    values = window.shape[1] * window.shape[2]
    loud = [total / values + FLOOR for total in window.sum(axis=(1, 2)).tolist()]
    at, steepest = 0, 0.0
    for place in range(1, min(zone + 1, len(loud) - 1) + 1):
        steep = (loud[place] + RINGING_FLOOR) / (loud[place - 1] + RINGING_FLOOR)
        if steep > steepest:
            at, steepest = place, steep  # the first line of content, or a mixture
        if loud[place - 1] > FLOOR + DISTURBED:
            break
    before = loud[max(at - 2, 0)]
    while at + 1 < len(loud) and loud[at] < BLEND * loud[at + 1]:
        at += 1
    growth = loud[at] / before
    if growth < SHARP or first + at > int(len(lines) * MAX_SHARE):
        return _Edge(0, 0.0, 0.0, colour)
    straight = np.count_nonzero(window[at : at + 2].max(axis=2) > 2 * QUIET) / (2 * window.shape[1])
    return _Edge(first + at, growth, straight, colour)


def _ends_frame(edge: _Edge, opposite: _Edge | None) -> bool:
    """Whether a sharp edge is a frame's: straight along the whole image, or matched by the opposite side."""
    if edge.straight >= STRAIGHT:
        return True
    if opposite is None or any(abs(a - b) > QUIET for a, b in zip(edge.colour, opposite.colour, strict=True)):
        return False
    return opposite.straight >= STRAIGHT or abs(edge.lines - opposite.lines) <= 2
