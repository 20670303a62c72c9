"""The sample images: all there, all named with their licence, all different."""

import hashlib
import re

import numpy as np
from PIL import Image

from lookalike.samples import sample_paths, sources

LICENCES = {"public domain", "CC0-1.0", "CC-BY-2.0", "CC-BY-4.0"}


def listed() -> dict[str, list[str]]:
    """The rows of the table in SOURCES.md, by file name."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in sources().splitlines() if ".jpg |" in line
    ]
    return {row[0]: row for row in rows}


def test_every_image_is_listed_with_author_licence_and_package() -> None:
    assert {path.name for path in sample_paths()} == set(listed())
    for name, what, author, licence, package, changed in listed().values():
        assert licence in LICENCES, name
        assert what, name
        assert author, name
        assert re.search(r"\d.*`.+`", package), f"{name}: a package, its version and a file in it"
        assert changed, name


def test_licences_that_ask_for_it_are_linked() -> None:
    assert "creativecommons.org/licenses/by/2.0" in sources()
    assert "creativecommons.org/licenses/by/4.0" in sources()


def test_they_are_images_of_a_fair_size_and_small_files() -> None:
    paths = sample_paths()
    assert 24 <= len(paths) <= 60
    assert sum(path.stat().st_size for path in paths) <= 4_000_000
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "JPEG", path.name
            assert 250 <= min(image.size) <= max(image.size) <= 800, path.name
            assert not image.getexif(), f"{path.name}: metadata"
            image.load()


def test_no_two_are_alike() -> None:
    paths = sample_paths()
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in paths}) == len(paths)
    small = np.stack([np.asarray(Image.open(path).convert("L").resize((16, 16)), np.float64).ravel() for path in paths])
    small -= small.mean(axis=1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    alike = small @ small.T - np.eye(len(paths))
    assert alike.max() < 0.9
