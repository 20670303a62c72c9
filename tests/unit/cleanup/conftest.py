"""A gallery of photos with copies of every kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike.gallery import Gallery
from tests.support.cleanup_files import add_photos, make_photos, own_trash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photos, see `make_photos`."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as opened:
        yield opened


@pytest.fixture
def full(gallery: Gallery, folder: Path) -> Gallery:
    """The gallery with the folder in it, each image with attributes."""
    return add_photos(gallery, folder)


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files in the trash."""
    return own_trash(tmp_path / "home", monkeypatch)
