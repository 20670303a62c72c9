"""The images of a comparison are read once, and from the best source that is left."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike
from lookalike import imaging
from lookalike.factory import open_gallery
from lookalike.gallery.originals import Originals
from lookalike.gallery.stored_sides import StoredSides
from lookalike.types import Item
from lookalike.verification import available
from tests.support.drawn_images import encoded
from tests.unit.verification.drawing import scene

COPY = encoded(scene(1).resize((360, 270)), "JPEG", quality=70)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "g", pipelines=("phash",), verification_records="on", create=True) as opened:
        scene(1).save(tmp_path / "a.png")
        opened.add([Item("a", tmp_path / "a.png"), Item("bytes", encoded(scene(2)))])
        yield opened


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that are decoded to compare stored images."""
    sizes: list[int] = []
    decode = imaging.decode

    def counted(data: bytes, **options: Any) -> Any:
        sizes.append(len(data))
        return decode(data, **options)

    monkeypatch.setattr(imaging, "decode", counted)
    return sizes


def test_explaining_and_comparing_decode_the_stored_image_once(
    gallery: lookalike.Gallery, tmp_path: Path, decoded: list[int]
) -> None:
    size = (tmp_path / "a.png").stat().st_size
    explanation = gallery.explain(COPY, "a")
    assert explanation.stored_image is not None
    assert explanation.aligned is not None
    assert decoded == [size]
    assert gallery.search(COPY).hits[0].verified
    assert decoded == [size]  # the prepared image is kept


@pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
def test_without_a_file_the_record_is_compared_and_there_is_no_image_to_show(
    gallery: lookalike.Gallery, tmp_path: Path, decoded: list[int]
) -> None:
    (tmp_path / "a.png").unlink()
    explanation = gallery.explain(COPY, "a")
    assert (explanation.comparison.evidence, explanation.comparison.verified) == ("copy", True)
    assert explanation.query_image is not None
    assert (explanation.stored_image, explanation.aligned) == (None, None)
    assert decoded == []


def test_sources_in_their_order(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    def read(key: str) -> tuple[bool, tuple[int, int] | None]:
        sides = StoredSides(gallery.catalog, Originals(gallery.limits))
        record = gallery.get(key)
        reduced, side = sides.read(record), sides.side(record)
        return reduced is not None, None if side is None else (side.width, side.height)

    assert read("a") == (True, (720, 540))
    assert read("bytes") == (True, (720, 540))
    scene(3).save(tmp_path / "a.png")  # not what was added
    assert read("a") == (False, (720, 540) if available() else None)
    gallery.catalog.verification_records.delete_all()
    assert read("a") == (False, None)
    reduced = StoredSides(gallery.catalog, Originals(gallery.limits)).read(gallery.get("bytes"))
    assert reduced is not None
    assert np.asarray(reduced.pixels).shape == (288, 384, 3)  # its thumbnail
