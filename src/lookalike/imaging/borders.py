"""Detection and removal of flat borders: black bars, letterboxes, polaroids, frames inside frames.

The published system removes every row and column that is all (0, 0, 0); compare ThreatExchange's unletterboxing. This
crops from the edges inwards only, any flat color, each side on its own, and tolerates the noise that JPEG leaves beside
the content. A frame differs from a night sky or a product on white by its inner edge: a sharp, straight line along
the whole image. Borders are removed both when indexing and when searching, so that a copy still matches its original.

The constants were measured on 400 real photos, bare and with drawn frames of 3 to 140 pixels, as PNG, as JPEG of
quality 30 and 75, and at a quarter of the size.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lookalike.types import UNCUT, Border, Pixels

MIN_SIDE: Final = 16
"""Pixels; a smaller image is not cropped, and no round leaves less than half of this."""
MAX_SHARE: Final = 0.45
"""The largest share of the height (or width) cropped from one side in one round; a wider flat area is content."""
MAX_ROUNDS: Final = 16
"""The largest number of nested frames."""
MAX_EDGE_RANGE: Final = 16
"""Range of values (levels of 255) of an outermost line above which there is no frame."""
FLAT_TOLERANCE: Final = 8
"""Levels by which a value may differ from the frame's color, away from the content."""
MAX_SPECK_SHARE: Final = 0.01
"""Share of a flat line's values that may differ by more: dust, a damaged block."""
RINGING_LINES: Final = 16
"""Lines beside the content that JPEG ringing disturbs: one chroma block of 4:2:0."""
MAX_RINGING: Final = 20.0
"""Levels of mean deviation that JPEG of quality 30 leaves in such a line, except the one next to the content."""
NOISE_FLOOR: Final = 4.0
"""Levels of mean deviation that count as noise: added to both lines before they are compared."""
RINGING_FLOOR: Final = 8.0
"""Levels added to that where the edge is looked for, so that the onset of ringing is not taken for it."""
MIN_GROWTH: Final = 2.0
"""The factor by which the mean deviation must grow across the edge, from frame to content."""
MIN_STRAIGHTNESS: Final = 0.9
"""Share of the content's first lines that must differ from the frame, for a side that stands alone."""
MIN_STRAIGHTNESS_PAIRED: Final = 0.4
"""The same where the opposite side has a straight edge of the same color, or one at the same distance."""
MAX_BLEND: Final = 0.7
"""A line that deviates by at most this share of its inner neighbor mixes frame and content."""

_OPPOSITE: Final = {"left": "right", "top": "bottom", "right": "left", "bottom": "top"}


@dataclass(frozen=True, slots=True)
class _Edge:
    """A candidate for a frame's inner edge: `lines` to crop, its sharpness (`growth`), straightness and color."""

    lines: int
    growth: float
    straightness: float
    color: list[int]


def find_border(rgb: Pixels) -> Border:
    """Measure the frame around `rgb`, (h, w, 3) RGB or (h, w) grey uint8, in its own pixels; no frame: all zero.

    Rounds repeat until none finds a frame, so cropping is idempotent. An image without flat sides takes about 10 us.
    """
    if rgb.ndim == 2:
        rgb = rgb[:, :, None]
    height, width = rgb.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    for _ in range(MAX_ROUNDS):
        frame = _find_once(rgb[top:bottom, left:right])
        if not frame:
            break
        left, top = left + frame.left, top + frame.top
        right, bottom = right - frame.right, bottom - frame.bottom
    return Border(left, top, width - right, height - bottom)


def crop_border(rgb: Pixels, border: Border) -> Pixels:
    """The image without its border: a view of `rgb`, never empty for a border that `find_border` gave."""
    if not border:
        return rgb
    height, width = rgb.shape[:2]
    return rgb[border.top : height - border.bottom, border.left : width - border.right]


def _find_once(rgb: Pixels) -> Border:
    """Measure the outermost frame, each of the four sides once."""
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        return UNCUT
    outermost = (("left", rgb[:, 0]), ("top", rgb[0]), ("right", rgb[:, -1]), ("bottom", rgb[-1]))
    colors = {name: color for name, line in outermost if (color := _edge_color(line)) is not None}
    if not colors:
        return UNCUT  # most images end here
    transposed = rgb.transpose(1, 0, 2)
    sides = {"left": transposed, "top": rgb, "right": transposed[::-1], "bottom": rgb[::-1]}
    flat = {name: _flat_lines(sides[name], color) for name, color in colors.items()}
    rows = slice(flat.get("top", 0), height - flat.get("bottom", 0))
    columns = slice(flat.get("left", 0), width - flat.get("right", 0))
    if min(rows.stop - rows.start, columns.stop - columns.start) < MIN_SIDE // 2:
        return UNCUT
    edges = {}
    for name, color in colors.items():
        along = rows if name in ("left", "right") else columns
        edge = _inner_edge(sides[name][:, along], color, flat[name])
        if edge.growth >= MIN_GROWTH and edge.straightness >= MIN_STRAIGHTNESS_PAIRED:
            edges[name] = edge
    return Border(**{name: edge.lines for name, edge in edges.items() if _is_frame(edge, edges.get(_OPPOSITE[name]))})


def _edge_color(line: Pixels) -> list[int] | None:
    """The color of an outermost line (n, channels), or None where it is not nearly uniform."""
    step = max(len(line) // MIN_SIDE, 1)  # on few values, plain Python is faster than numpy
    sample = line[::step, 0].tolist()
    if max(sample) - min(sample) > MAX_EDGE_RANGE:
        return None
    color = []
    for channel in range(line.shape[1]):
        values = sorted(line[:: max(step // 8, 1), channel].tolist())
        if values[-1] - values[0] > MAX_EDGE_RANGE:
            return None
        color.append(values[len(values) // 2])
    return color


def _flat_lines(lines: Pixels, color: list[int]) -> int:
    """The number of lines from the edge that are of this color, up to `MAX_SHARE`."""
    limit = int(len(lines) * MAX_SHARE)
    low = np.array([max(value - FLAT_TOLERANCE, 0) for value in color], np.uint8)
    span = np.array([min(value + FLAT_TOLERANCE, 255) for value in color], np.uint8) - low
    max_specks = lines.shape[1] * lines.shape[2] * MAX_SPECK_SHARE
    start, step = 0, 8
    while start < limit:
        block = lines[start : min(start + step, limit)]
        for line, count in enumerate(_outside(block, low, span), start):
            if count > max_specks:
                return line
        start, step = start + step, min(step * 2, 64)
    return limit


def _outside(lines: Pixels, low: NDArray[np.uint8], span: NDArray[np.uint8]) -> list[int]:
    """The number of values of each line that are not within `span` above `low`.

    Columns are counted row by row, as they lie in memory, and the channels of a line as one row: numpy is ten times
    slower on short inner axes.
    """
    number, length, channels = lines.shape
    if abs(lines.strides[0]) >= abs(lines.strides[1]):
        rows, repeats = lines.reshape(number, length * channels), length
    else:
        rows, repeats = lines.transpose(1, 0, 2).reshape(length, number * channels), number
    # values below `low` wrap round to beyond the span
    outside = ((rows - np.tile(low, repeats)) > np.tile(span, repeats)).view(np.uint8)
    counts: list[int] = (
        outside.sum(axis=1, dtype=np.uint32)
        if repeats == length
        else outside.sum(axis=0, dtype=np.uint32).reshape(number, channels).sum(axis=1)
    ).tolist()
    return counts


def _inner_edge(lines: Pixels, color: list[int], flat: int) -> _Edge:
    """The sharpest change near the end of the flat lines, within the range of JPEG ringing."""
    first = max(flat - 2, 0)
    zone = min(RINGING_LINES, len(lines) // 12) + flat - first
    window = np.abs(lines[first : first + zone + 5].astype(np.int16) - np.array(color, np.int16))
    values = window.shape[1] * window.shape[2]
    deviations = [total / values + NOISE_FLOOR for total in window.sum(axis=(1, 2)).tolist()]
    at, largest_ratio = 0, 0.0
    for line in range(1, min(zone + 1, len(deviations) - 1) + 1):
        ratio = (deviations[line] + RINGING_FLOOR) / (deviations[line - 1] + RINGING_FLOOR)
        if ratio > largest_ratio:
            at, largest_ratio = line, ratio  # the first line of content, or a mixture
        if deviations[line - 1] > NOISE_FLOOR + MAX_RINGING:
            break
    before = deviations[max(at - 2, 0)]
    while at + 1 < len(deviations) and deviations[at] < MAX_BLEND * deviations[at + 1]:
        at += 1
    growth = deviations[at] / before
    if growth < MIN_GROWTH or first + at > int(len(lines) * MAX_SHARE):
        return _Edge(0, 0.0, 0.0, color)
    straightness = np.count_nonzero(window[at : at + 2].max(axis=2) > 2 * FLAT_TOLERANCE) / (2 * window.shape[1])
    return _Edge(first + at, growth, straightness, color)


def _is_frame(edge: _Edge, opposite: _Edge | None) -> bool:
    """Whether a sharp edge ends a frame: straight along the whole image, or matched by the opposite side."""
    if edge.straightness >= MIN_STRAIGHTNESS:
        return True
    if opposite is None or any(abs(a - b) > FLAT_TOLERANCE for a, b in zip(edge.color, opposite.color, strict=True)):
        return False
    return opposite.straightness >= MIN_STRAIGHTNESS or abs(edge.lines - opposite.lines) <= 2
