"""A gallery of photos with copies of every kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike.gallery import Gallery
from lookalike.types import Item
from tests.support.cleanup_files import own_trash
from tests.support.drawn_images import drawn, encoded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, each with the same bytes in a subfolder, a smaller copy and one that is compressed more."""
    photos = tmp_path / "photos"
    (photos / "card").mkdir(parents=True)
    for n in range(3):
        image = drawn(n, (320, 240))
        (photos / f"{n}.jpg").write_bytes(encoded(image, "JPEG", quality=95))
        (photos / "card" / f"{n}.jpg").write_bytes(encoded(image, "JPEG", quality=95))
        (photos / f"{n} small.png").write_bytes(encoded(image.resize((160, 120))))
        (photos / f"{n} low.jpg").write_bytes(encoded(image, "JPEG", quality=40))
    return photos


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"]) as opened:
        yield opened


@pytest.fixture
def full(gallery: Gallery, folder: Path) -> Gallery:
    """The gallery with the folder in it, each image with attributes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    gallery.add([Item(p.relative_to(folder).as_posix(), p, {"n": n}) for n, p in enumerate(paths)])
    return gallery


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files in the trash."""
    return own_trash(tmp_path / "home", monkeypatch)
