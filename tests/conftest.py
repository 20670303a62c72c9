"""Fixtures that every suite shares."""

import os
from pathlib import Path

import platformdirs
import pytest

from lookalike.errors import Unavailable
from lookalike.features import pull

REQUIRED = os.environ.get("REQUIRE_ENGINES") == "1"


def absent(what: str) -> None:
    """Skip with a reason; where everything is required (CI), fail instead."""
    if REQUIRED:
        pytest.fail(f"{what}, and REQUIRE_ENGINES=1 forbids skipping")
    pytest.skip(what)


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real pictures: $LOOKALIKE_PHOTOS, else shared/photos beside the checkout."""
    named = os.environ.get("LOOKALIKE_PHOTOS")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "photos"
    if not (folder / "manifest.tsv").is_file():
        absent(f"no real photos at {folder} (set LOOKALIKE_PHOTOS to a folder with a manifest.tsv)")
    return folder


@pytest.fixture(scope="session")
def cache() -> Path:
    """The user's own cache with VGG16's weights in it, so that they are fetched once a machine."""
    folder = Path(platformdirs.user_cache_dir("lookalike"))
    try:
        pull("vgg16", folder)
    except Unavailable as error:
        absent(f"no weights: {error}")
    return folder
