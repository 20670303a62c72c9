"""Searches in windows of stored images: small parts are found, also of images that were there before."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import lookalike
from lookalike.config import GallerySettings, Settings, from_environment
from lookalike.errors import BadInput, BadSetting, UnsupportedQuery
from lookalike.factory import create_gallery, open_gallery
from lookalike.samples import sample_paths
from lookalike.types import Answer, Item

NAME = "vgg16-copy-windows"
PATHS = sample_paths()[:5]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call reads the set of pipelines, and a drop waits for nobody."""
    monkeypatch.setattr("lookalike.gallery.pipeline_pool.REFRESH_SECONDS", -1.0)
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.DROP_SECONDS", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(from_environment(), gallery=tmp_path / "gallery")


@pytest.fixture
def gallery(settings: Settings) -> Iterator[lookalike.Gallery]:
    with open_gallery(settings=settings, pipelines=["phash"], create=True) as opened:
        opened.add([Item(path.name, path) for path in PATHS[:-1]])
        yield opened


def part_of(path: Path) -> bytes:
    """A sixth of the area of an image, off its middle."""
    file = io.BytesIO()
    with Image.open(path) as image:
        width, height = image.size
        box = (round(0.15 * width), round(0.35 * height), round(0.55 * width), round(0.75 * height))
        image.convert("RGB").crop(box).save(file, "JPEG", quality=85)
    return file.getvalue()


def found(answer: Answer) -> list[tuple[str, str]]:
    return [(hit.key, hit.pipeline) for hit in answer.hits if hit.evidence in ("copy", "variant")]


def test_parts_of_stored_images_are_found(gallery: lookalike.Gallery, settings: Settings) -> None:
    first, last = PATHS[0], PATHS[-1]
    assert not found(gallery.search(part_of(first)))
    assert gallery.add_pipeline(NAME).missing == len(PATHS) - 1
    assert not found(gallery.search(part_of(first)))
    assert gallery.backfill(NAME).missing == 0
    assert found(gallery.search(part_of(first))) == [(first.name, NAME)]
    assert gallery.search(part_of(first)).hits[0].evidence == "copy"
    assert not found(gallery.search(part_of(first), verify=False))

    gallery.add([Item(last.name, last)])  # a new image gets its windows at once
    assert found(gallery.search(part_of(last))) == [(last.name, NAME)]
    gallery.remove(first.name)
    assert not found(gallery.search(part_of(first)))
    gallery.close()
    with open_gallery(settings=settings) as again:
        assert found(again.search(part_of(last))) == [(last.name, NAME)]
        assert again.rebuild_indexes() == {"phash": len(PATHS) - 1, NAME: len(PATHS) - 1}
        assert found(again.search(part_of(last))) == [(last.name, NAME)]
        again.drop_pipeline(NAME)
        assert not found(again.search(part_of(last)))


def test_images_that_share_a_part(gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a stored image, pasted into another one, is found by a deep search."""
    for module in ("search", "verification"):  # one candidate of four images, where it is ten of a gallery
        monkeypatch.setattr(f"lookalike.gallery.{module}.MAX_SIMILAR_VERIFIED", 1)
    with Image.open(PATHS[-1]) as host, Image.open(PATHS[2]) as stored:
        canvas = host.convert("RGB").resize((900, 640))
        width, height = stored.size
        part = stored.convert("RGB").crop((0, 0, round(0.55 * width), round(0.55 * height))).resize((450, 320))
        canvas.paste(part, (430, 300))
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=85)
    assert not found(gallery.search(file.getvalue(), deep=True))
    gallery.add_pipeline(NAME)
    gallery.backfill(NAME)
    assert found(gallery.search(file.getvalue(), deep=True)) == [(PATHS[2].name, NAME)]


def test_a_gallery_beyond_the_limit(gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.MAX_WINDOWED_IMAGES", 3)
    with pytest.raises(BadInput, match="up to 3 images"):
        gallery.add_pipeline(NAME)
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.MAX_WINDOWED_IMAGES", 100)
    gallery.add_pipeline(NAME)
    gallery.backfill(NAME)
    monkeypatch.setattr("lookalike.indexes.windows.MAX_WINDOWED_IMAGES", 3)  # it has grown since
    answer = gallery.search(part_of(PATHS[0]))
    assert not found(answer)
    assert "searched up to" in answer.failed[NAME]


def test_what_windows_are_not_for(gallery: lookalike.Gallery, settings: Settings, tmp_path: Path) -> None:
    gallery.add_pipeline(NAME)
    with pytest.raises(BadInput, match="cannot rank"):
        gallery.promote_pipeline(NAME, incomplete=True)
    with pytest.raises(UnsupportedQuery, match="not searched by itself"):
        gallery.search(part_of(PATHS[0]), pipelines=[NAME])
    with pytest.raises(BadSetting, match="create the gallery without it"):
        create_gallery(tmp_path / "other", GallerySettings(("phash", NAME)), settings)


@pytest.mark.parametrize(("name", "index"), [(NAME, "mih"), ("vgg16-copy-binary", "windows")])
def test_the_index_of_windows_is_for_windows(gallery: lookalike.Gallery, name: str, index: str) -> None:
    with pytest.raises(BadSetting, match="windows"):
        gallery.add_pipeline(name, index=index)
