"""Explanations as HTML and PNG."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.evaluation.explanation import difference_image, map_points, write_html, write_png
from lookalike.imaging import thumbnail_of
from lookalike.results import Comparison, Explanation, HashComparison, PipelineComparison
from lookalike.types import Box, Transform, Verification
from tests.support.drawn_images import drawn

HALF = Transform(
    ((2.0, 0.0, -0.5), (0.0, 2.0, -0.5), (0.0, 0.0, 1.0)), False, 0.0, 1.0, Box(0.25, 0.25, 0.75, 0.75), Box(0, 0, 1, 1)
)
"""A query that is the middle of the stored image, half as wide and as high."""


def jpeg(image: Image.Image) -> bytes:
    return thumbnail_of(np.asarray(image), 640)


@pytest.fixture
def explanation() -> Explanation:
    stored = drawn(3, (320, 240))
    query = stored.crop((80, 60, 240, 180))
    changed = query.copy()
    changed.paste((255, 0, 0), (10, 10, 60, 50))
    verification = Verification(0.9, 1.0, 0.25, HALF, (Box(0.28, 0.29, 0.44, 0.46),), "local", 0.8)
    compared = PipelineComparison("phash", 0.125, 0.1, 1e-5), PipelineComparison("vgg16", None, 0.2, None)
    comparison = Comparison(False, False, "copy", compared, True, verification)
    hashes = (HashComparison("phash", bytes(range(8)), bytes([255, *range(1, 8)]), tuple(range(8)), 7),)
    curves = {"phash": ((0.05, -6.0), (0.3, -2.0), (0.5, 0.0))}
    return Explanation("a <b>.jpg", comparison, hashes, curves, jpeg(changed), jpeg(stored), jpeg(query))


def test_the_page_holds_all(explanation: Explanation, tmp_path: Path) -> None:
    write_html(explanation, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("data:image/jpeg;base64,") == 3
    assert "a &lt;b&gt;.jpg" in text
    assert "<b>.jpg" not in text
    assert "cropped to 25%" in text
    assert text.count(' diff"') == 16
    assert "7 of 8 segments" in text
    assert "one image is too flat" in text
    assert "http" not in text.replace("http-equiv", "")


def test_differences_are_marked_where_they_are(explanation: Explanation) -> None:
    image = difference_image(explanation)
    assert image is not None
    red = np.asarray(image).astype(int)[..., 0] - np.asarray(image).astype(int)[..., 1] > 60
    assert red[12:48, 12:58].mean() > 0.5
    red[5:55, 5:65] = False
    assert red.mean() < 0.02


def test_images_that_are_not_available(explanation: Explanation, tmp_path: Path) -> None:
    comparison = replace(explanation.comparison, evidence="similar", verified=False, verification=None)
    bare = replace(explanation, comparison=comparison, query_image=None, stored_image=None, aligned=None)
    write_html(bare, tmp_path / "page.html")
    assert "not available" in (tmp_path / "page.html").read_text()
    write_png(bare, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").format == "PNG"


def test_png(explanation: Explanation, tmp_path: Path) -> None:
    write_png(explanation, tmp_path / "sheet.png")
    image = Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes()))
    assert image.width > 3 * 400


def test_points() -> None:
    assert map_points(np.array(HALF.matrix), [(0.25, 0.25), (0.75, 0.5)]) == [(0.0, 0.0), (1.0, 0.5)]
