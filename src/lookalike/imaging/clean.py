"""Finds and cuts the flat frame around a picture: black bars, letterboxes, polaroids, frames inside frames.

The published system cuts every row and column that is all (0, 0, 0). This cuts from the edges inwards only, any flat
colour, each side for itself, and through the noise that JPEG leaves beside the content. What tells a frame from a
night sky or a product on white is its inner edge: a frame ends in a sharp, straight line along the whole picture.
The cut is the same when indexing and when searching, so that a copy and its original stay alike.

The constants were measured on 400 real photos, bare and with drawn frames of 3 to 140 pixels, as PNG, as JPEG of
quality 30 and 75, and at a quarter of the size.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Border, Pixels

SMALLEST_SIDE: Final = 16
"""Pixels; a picture that is narrower or lower than this is left alone, and no round leaves less than half of it."""
MOST_OF_A_SIDE: Final = 0.45
"""At most this share of the height (or width) is taken from one side in one round; a wider flat part is content."""
ROUNDS: Final = 16
"""Frames inside one another that are cut at most."""
EDGE_RANGE: Final = 40
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
    colour: NDArray[np.int16]


def find_border(rgb: Pixels) -> Border:
    """Measure the frame around `rgb`, (h, w, 3) RGB or (h, w) grey uint8, in its own pixels; no frame: all zero.

    Rounds repeat until none finds anything, so a frame inside a letterbox goes too, and cutting twice changes nothing.
    A picture without flat sides costs some 10 microseconds, whatever its size.
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
    """The picture without its border: a view of `rgb`, never empty for a border that `find_border` gave."""
    if not border:
        return rgb
    height, width = rgb.shape[:2]
    return rgb[border.top : height - border.bottom, border.left : width - border.right]


def _one_round(rgb: Pixels) -> Border:
    """Look at the four sides once."""
    height, width = rgb.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return Border()
    turned = rgb.transpose(1, 0, 2)
    sides = {"left": turned, "top": rgb, "right": turned[::-1], "bottom": rgb[::-1]}
    colours = {name: colour for name, lines in sides.items() if (colour := _edge_colour(lines[0])) is not None}
    if not colours:
        return Border()
    quiet = {name: _quiet_lines(sides[name], colour) for name, colour in colours.items()}
    rows = slice(quiet.get("top", 0), height - quiet.get("bottom", 0))
    columns = slice(quiet.get("left", 0), width - quiet.get("right", 0))
    if min(rows.stop - rows.start, columns.stop - columns.start) < SMALLEST_SIDE // 2:
        return Border()
    edges = {}
    for name, colour in colours.items():
        along = rows if name in ("left", "right") else columns
        edge = _inner_edge(sides[name][:, along], colour, quiet[name])
        if edge.growth >= SHARP and edge.straight >= STRAIGHT_PAIRED:
            edges[name] = edge
    return Border(**{name: edge.lines for name, edge in edges.items() if _ends_frame(edge, edges.get(_OPPOSITE[name]))})


def _edge_colour(line: Pixels) -> NDArray[np.int16] | None:
    """The colour of an outermost line (n, channels), or None where it is not nearly of one colour."""
    some = line[:: len(line) // SMALLEST_SIDE, 0].tolist()  # most pictures end here: plain Python is the quickest
    if max(some) - min(some) > EDGE_RANGE:
        return None
    line = np.ascontiguousarray(line.T)
    if (line.max(axis=1).astype(np.int16) - line.min(axis=1)).max() > EDGE_RANGE:
        return None
    middle = line.shape[1] // 2
    return np.partition(line, middle, axis=1)[:, middle].astype(np.int16)


def _quiet_lines(lines: Pixels, colour: NDArray[np.int16]) -> int:
    """How many lines from the edge on are of the colour, counted up to `MOST_OF_A_SIDE`."""
    most = int(len(lines) * MOST_OF_A_SIDE)
    low = np.maximum(colour - QUIET, 0).astype(np.uint8)
    span = np.minimum(colour + QUIET, 255).astype(np.uint8) - low  # below `low`, uint8 wraps round to beyond it
    specks = lines.shape[1] * lines.shape[2] * SPECKS
    start, step = 0, 8
    while start < most:
        block = lines[start : min(start + step, most)]
        loud = np.flatnonzero(((block - low) > span).sum(axis=(1, 2)) > specks)
        if loud.size:
            return start + int(loud[0])
        start, step = start + step, min(step * 2, 64)
    return most


def _inner_edge(lines: Pixels, colour: NDArray[np.int16], quiet: int) -> _Edge:
    """The sharpest change near the end of the quiet lines, within the reach of JPEG's ringing."""
    first = max(quiet - 2, 0)
    zone = min(RINGING, len(lines) // 12) + quiet - first
    window = np.abs(lines[first : first + zone + 5].astype(np.int16) - colour)
    loud = window.sum(axis=(1, 2)) / (window.shape[1] * window.shape[2]) + FLOOR
    disturbed = np.flatnonzero(loud[:-1] > FLOOR + DISTURBED)
    reach = min(zone, int(disturbed[0]) if disturbed.size else len(loud) - 2) + 1
    at = int(((loud[1 : reach + 1] + RINGING_FLOOR) / (loud[:reach] + RINGING_FLOOR)).argmax()) + 1
    before = loud[max(at - 2, 0)]
    while at + 1 < len(loud) and loud[at] < BLEND * loud[at + 1]:
        at += 1
    if first + at > int(len(lines) * MOST_OF_A_SIDE):
        return _Edge(0, 0.0, 0.0, colour)
    straight = float((window[at : at + 2].max(axis=2) > 2 * QUIET).mean())
    return _Edge(first + at, float(loud[at] / before), straight, colour)


def _ends_frame(edge: _Edge, opposite: _Edge | None) -> bool:
    """Whether a sharp edge is a frame's: straight along the whole picture, or matched by the opposite side."""
    if edge.straight >= STRAIGHT:
        return True
    if opposite is None or np.abs(edge.colour - opposite.colour).max() > QUIET:
        return False
    return opposite.straight >= STRAIGHT or abs(edge.lines - opposite.lines) <= 2
