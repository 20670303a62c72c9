"""Fixtures that every suite shares."""

import os
from pathlib import Path

import platformdirs
import pytest
from hypothesis import settings

from lookalike.encoders import pull
from lookalike.errors import Unavailable

settings.register_profile("suites", deadline=None)  # how long an example takes on a busy machine proves nothing
settings.load_profile("suites")
REQUIRED = os.environ.get("REQUIRE_ENGINES") == "1"
LONG_FIRST = (
    *("tests/browser", "tests/engines", "tests/contract/test_milvus", "tests/failure", "tests/contract/test_elastic"),
    *("tests/golden", "tests/unit/test_trial", "tests/unit/test_cli_process", "tests/web", "tests/contract"),
)
"""Where the long suites are. A process of the run takes a file at a time, so that short ones have to come last."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first (with --no-loadscope-reorder), so that the processes of a run end together."""

    def place(item: pytest.Item) -> int:
        return next((n for n, first in enumerate(LONG_FIRST) if item.nodeid.startswith(first)), len(LONG_FIRST))

    items.sort(key=place)


def absent(what: str) -> None:
    """Skip with a reason; where everything is required (CI), fail instead."""
    if REQUIRED:
        pytest.fail(f"{what}, and REQUIRE_ENGINES=1 forbids skipping")
    pytest.skip(what)


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real images: $LOOKALIKE_PHOTOS, else shared/photos beside the checkout."""
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
