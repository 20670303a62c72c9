"""Explanations rendered: one self-contained HTML file, or one PNG."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookalike.descriptions import describe
from lookalike.results import Comparison, Explanation, HashComparison, PipelineComparison
from lookalike.types import Box, Transform

PANEL = 420
"""Height in pixels of one image of the PNG."""
GAP = 12
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
OVERLAP_COLOR, DIFFERENCE_COLOR = "#0a84ff", "#ff375f"
Point = tuple[float, float]
Curve = Sequence[tuple[float, float]]

VERDICTS = {
    "exact": "The same image",
    "copy": "A copy",
    "variant": "A variant: the same template or scene, and parts differ",
    "similar": "Not a copy",
}


def write_html(explanation: Explanation, path: Path) -> None:
    """Write a page with both images, their alignment, what differs, the hashes, and the distances on their curves.

    The page holds everything, and loads nothing.
    """
    comparison = explanation.comparison
    style = Path(__file__).with_name("explanation.css").read_text(encoding="utf-8")
    parts = [
        f"<header><h1>{escape(verdict(comparison))}</h1><p>{escape(summary(explanation))}</p></header>",
        _images(explanation),
        '<section><h2>Distances</h2><div class="curves">',
        *(_distance(p, explanation.curves.get(p.pipeline, ())) for p in comparison.pipelines),
        "</div></section>",
        *(_hash(found) for found in explanation.hashes),
    ]
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Lookalike: {_text(explanation.key)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n",
        encoding="utf-8",
    )


def write_png(explanation: Explanation, path: Path) -> None:
    """Write one image: the query and the stored image with their overlap outlined, and their difference, aligned.

    Args:
        explanation: With both images; one without them gives an empty image with its verdict.
        path: The file to write.
    """
    panels = [panel for panel in (_outlined_query(explanation), _outlined_stored(explanation)) if panel is not None]
    if (difference := difference_image(explanation)) is not None:
        panels.append(difference)
    scaled = [panel.resize((max(1, round(panel.width * PANEL / panel.height)), PANEL)) for panel in panels]
    width = sum(panel.width for panel in scaled) + GAP * (len(scaled) + 1)
    sheet = Image.new("RGB", (max(width, 400), PANEL + 2 * GAP + 28), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), f"{verdict(explanation.comparison)}. {summary(explanation)}", fill="black", font_size=16)
    left = GAP
    for panel in scaled:
        sheet.paste(panel, (left, GAP + 28))
        left += panel.width + GAP
    sheet.save(path, "PNG")


def verdict(comparison: Comparison) -> str:
    """The evidence in a few words."""
    if comparison.evidence == "copy" and not comparison.verified:
        return "Probably a copy, by its distance alone"
    return VERDICTS[comparison.evidence]


def summary(explanation: Explanation) -> str:
    """What the verification found, and how much of it agrees, in a sentence."""
    found = explanation.comparison.verification
    if found is None:
        return "The pixels of one image are not available, so they were not compared."
    words = describe(explanation.comparison.evidence, found)
    if found.agreement is None:
        return f"Compared by their pixels: {words}."
    return (
        f"Compared by their pixels: {words}. Of the overlap, {found.agreement:.0%} agrees; it is "
        f"{found.query_coverage:.0%} of the query and {found.stored_coverage:.0%} of the stored image."
    )


def difference_image(explanation: Explanation) -> Image.Image | None:
    """The query in grey, and in color where the aligned stored image differs from it; None without an alignment."""
    if explanation.query_image is None or explanation.aligned is None or (overlap := _overlap(explanation)) is None:
        return None
    query = _open(explanation.query_image)
    aligned = _open(explanation.aligned).resize(query.size)
    pixels = [np.asarray(side, np.float32) for side in (query, aligned)]
    mask = Image.new("L", query.size)
    ImageDraw.Draw(mask).polygon(_pixels(overlap, query), fill=255)
    difference = np.abs(pixels[0] - pixels[1]).max(axis=2) * (np.asarray(mask) > 0)
    strength = np.clip((difference - 24) / 64, 0, 1)[..., None]
    color = np.array(Image.new("RGB", (1, 1), DIFFERENCE_COLOR), np.float32)[0, 0]
    faded = np.repeat((128 + np.asarray(query.convert("L"), np.float32) / 2)[..., None], 3, axis=2)
    return Image.fromarray((faded * (1 - strength) + color * strength).astype(np.uint8))


# -- geometry


def _transform(explanation: Explanation) -> Transform | None:
    found = explanation.comparison.verification
    return None if found is None else found.transform


def _overlap(explanation: Explanation) -> list[Point] | None:
    """The corners of the stored image in the query, in shares of its size."""
    transform = _transform(explanation)
    return None if transform is None else map_points(np.array(transform.matrix), _corners(Box(0, 0, 1, 1)))


def _corners(box: Box) -> list[Point]:
    return [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]


def map_points(matrix: NDArray[np.float64], points: Sequence[Point]) -> list[Point]:
    """Points mapped by a homography (3 x 3)."""
    mapped = np.column_stack([np.array(points), np.ones(len(points))]) @ matrix.T
    return [(float(x / w), float(y / w)) for x, y, w in mapped]


def _pixels(points: Sequence[Point], image: Image.Image) -> list[Point]:
    return [(x * image.width, y * image.height) for x, y in points]


def _outlined_query(explanation: Explanation) -> Image.Image | None:
    if explanation.query_image is None:
        return None
    image = _open(explanation.query_image)
    if (overlap := _overlap(explanation)) is not None:
        ImageDraw.Draw(image).polygon(_pixels(overlap, image), outline=OVERLAP_COLOR, width=3)
    return image


def _outlined_stored(explanation: Explanation) -> Image.Image | None:
    if explanation.stored_image is None:
        return None
    image = _open(explanation.stored_image)
    draw = ImageDraw.Draw(image)
    if (transform := _transform(explanation)) is not None:
        draw.polygon(_pixels(_corners(transform.crop), image), outline=OVERLAP_COLOR, width=3)
    for box in _differences(explanation):
        draw.polygon(_pixels(_corners(box), image), outline=DIFFERENCE_COLOR, width=3)
    return image


def _differences(explanation: Explanation) -> Sequence[Box]:
    found = explanation.comparison.verification
    return () if found is None else found.differences


# -- HTML


def _images(explanation: Explanation) -> str:
    difference = difference_image(explanation)
    panels = [
        ("The query", "outlined: the stored image in it", _outlined_query(explanation)),
        ("The stored image", "blue: what the query shows; red: where they differ", _outlined_stored(explanation)),
        ("Difference", "red: the aligned images differ", difference),
    ]
    figures = [
        f'<figure><img src="{_uri(image)}" alt="{title}"><figcaption><b>{title}</b> {caption}</figcaption></figure>'
        for title, caption, image in panels
        if image is not None
    ]
    return f'<section class="images">{"".join(figures)}</section>' if figures else ""


def _distance(measured: PipelineComparison, curve: Curve) -> str:
    name = escape(measured.pipeline)
    if measured.distance is None:
        return f"<figure><figcaption><b>{name}</b> one image is too flat for it</figcaption></figure>"
    share = measured.false_match_rate
    rate = "not measured" if share is None else f"at most {share:.1e}" if share < 0.01 else f"{share:.2f}"
    words = (
        f"<b>{name}</b> distance {measured.distance:.3f}, copy threshold {measured.threshold:.3f}; "
        f"share of unrelated pairs this close: {rate}"
    )
    return f"<figure>{_curve(measured, curve)}<figcaption>{words}</figcaption></figure>"


def _curve(measured: PipelineComparison, curve: Curve) -> str:
    """The calibration as an SVG: log10 of the false-match rate over the distance."""
    if len(curve) < 2 or measured.distance is None:
        return ""
    end = max(curve[-1][0], measured.distance, measured.threshold) or 1.0
    low = min(curve[0][1], -6.0)

    def at(distance: float, rate: float) -> str:
        return f"{40 + 280 * distance / end:.1f},{10 + 120 * min(max(rate / low, 0.0), 1.0):.1f}"

    points = " ".join(at(d, r) for d, r in curve)
    marks = "".join(
        f'<line class="{kind}" x1="{at(d, 0).split(",")[0]}" x2="{at(d, 0).split(",")[0]}" y1="10" y2="130"/>'
        for kind, d in (("limit", measured.threshold), ("here", measured.distance))
    )
    labels = "".join(
        f'<text x="36" y="{14 + 120 * rate / low:.0f}" class="axis">10<tspan dy="-4">{rate:.0f}</tspan></text>'
        for rate in np.linspace(0, low, 4).round()
    )
    return (
        f'<svg viewBox="0 0 330 150" role="img" aria-label="False-match rate by distance">{labels}'
        f'<polyline class="curve" points="{points}"/>{marks}<text x="320" y="147" class="axis">{end:.2f}</text>'
        '<text x="40" y="147">0</text></svg>'
    )


def _hash(found: HashComparison) -> str:
    """Both hashes as grids of bits, a row a segment; bits that differ are marked."""
    bits = [np.unpackbits(np.frombuffer(code, np.uint8)) for code in (found.query, found.stored)]
    differing = set(found.differing)
    grids = []
    for title, row in zip(("query", "stored"), bits, strict=True):
        cells = "".join(
            f'<i class="{"on" if b else "off"}{" diff" if n in differing else ""}"></i>' for n, b in enumerate(row)
        )
        grids.append(f'<figure><div class="bits">{cells}</div><figcaption>{title}</figcaption></figure>')
    hexes = f"<code>{found.query.hex()}</code> and <code>{found.stored.hex()}</code>"
    words = f"{len(differing)} of {len(bits[0])} bits differ; {found.equal_segments} of 8 segments (rows) are equal."
    return (
        f"<section><h2>Hash: {escape(found.pipeline)}</h2><p>{words} {hexes}</p>"
        f'<div class="hashes">{"".join(grids)}</div></section>'
    )


def _uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _text(value: str) -> str:
    return escape(value.encode("utf-8", "backslashreplace").decode("utf-8"))
