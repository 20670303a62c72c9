"""Charts of an evaluation as inline SVG: precision against recall, and histograms of distances.

Colors are variables of the page's style sheet (`--series-0` ...), so that charts follow a light or a dark page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.evaluation.html import html_text
from lookalike.evaluation.metrics import Floats

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 44
BINS = 40
SERIES = 4
"""Colors of the style sheet."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line: `x` and `y` in 0..1."""

    name: str
    x: Floats
    y: Floats


@dataclass(frozen=True, slots=True)
class Distribution:
    """Named values in 0..1 of a histogram."""

    name: str
    values: Floats


def curves_chart(curves: Sequence[Curve], *, x: str, y: str) -> str:
    """Return a chart of lines with a legend; `x` and `y` name the axes."""
    low = min((float(curve.y.min()) for curve in curves if len(curve.y)), default=0.0)
    bottom = 0.0 if low < 0.5 else 0.5 if low < 0.9 else 0.9
    body = [_grid(np.linspace(0, 1, 6), np.linspace(bottom, 1, 6), x, y, (0.0, 1.0), (bottom, 1.0))]
    for number, curve in enumerate(curves):
        points = " ".join(f"{_x(a, 0.0, 1.0):.1f},{_y(b, bottom, 1.0):.1f}" for a, b in _thinned(curve.x, curve.y))
        body.append(f'<polyline class="line" style="--color: var(--series-{number % SERIES})" points="{points}"/>')
    return _figure("".join(body), [curve.name for curve in curves], f"{y} against {x}")


def histogram(distributions: Sequence[Distribution], *, x: str, marks: Sequence[tuple[str, float]] = ()) -> str:
    """Return a histogram, each distribution as shares of its own values; `marks` are named vertical lines."""
    everything = np.concatenate([d.values for d in distributions] + [np.array([at for _, at in marks], np.float64)])
    end = _rounded_up(float(everything.max())) if len(everything) else 1.0
    edges = np.linspace(0, end, BINS + 1)
    shares = [np.histogram(d.values, edges)[0] / max(len(d.values), 1) for d in distributions]
    top = _rounded_up(max((float(s.max()) for s in shares), default=1.0))
    body = [_grid(np.linspace(0, end, 6), np.linspace(0, top, 6), x, "share", (0.0, end), (0.0, top))]
    for number, share in enumerate(shares):
        bars = []
        for left, right, value in zip(edges, edges[1:], share, strict=False):
            if value:
                height = _y(0, 0, top) - _y(value, 0, top)
                width = _x(right, 0, end) - _x(left, 0, end) - 0.8
                bars.append(
                    f'<rect x="{_x(left, 0, end) + 0.4:.1f}" y="{_y(value, 0, top):.1f}" '
                    f'width="{width:.1f}" height="{height:.1f}"/>'
                )
        body.append(f'<g class="bars" style="--color: var(--series-{number % SERIES})">{"".join(bars)}</g>')
    for number, (name, at) in enumerate(marks):
        place = _x(at, 0, end)
        anchor, shift = ("end", -5) if at > end / 2 else ("start", 5)
        body.append(
            f'<line class="mark" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="mark-name" x="{place + shift:.1f}" y="{TOP + 12 + 16 * number}" text-anchor="{anchor}">'
            f"{html_text(name)} {at:.3f}</text>"
        )
    return _figure("".join(body), [d.name for d in distributions], f"histogram of {x}")


def _figure(body: str, names: Sequence[str], title: str) -> str:
    keys = "".join(
        f'<li><i style="--color: var(--series-{number % SERIES})"></i>{html_text(name)}</li>'
        for number, name in enumerate(names)
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html_text(title)}">{body}</svg>'
        f'<ul class="legend">{keys}</ul>'
    )


def _grid(xs: Floats, ys: Floats, x: str, y: str, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    """Grid lines with their values, and the names of the axes."""
    parts = []
    for value in ys:
        at = _y(value, *y_range)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{_number(value, y_range)}</text>')
    for value in xs:
        at = _x(value, *x_range)
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_number(value, x_range)}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{html_text(x)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="axis" transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{html_text(y)}</text>'
    )
    return "".join(parts)


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _number(value: float, axis: tuple[float, float]) -> str:
    digits = 1 if axis[1] - axis[0] >= 0.99 else 2 if axis[1] - axis[0] >= 0.09 else 3
    return f"{value:.{digits}f}"


def _rounded_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten, at most 1."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(min(1.0, next(power * step for step in (1, 2, 5, 10) if power * step >= value * 0.999)))


def _thinned(x: Floats, y: Floats, most: int = 400) -> list[tuple[float, float]]:
    """At most so many points of a line, the first and the last among them."""
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).round().astype(np.intp))
    return [(float(x[n]), float(y[n])) for n in keep]
