"""Fixtures that every suite shares, and the marks and the order of the suites."""

import os
import signal
from pathlib import Path

import platformdirs
import pytest
from hypothesis import settings

from lookalike.encoders import pull
from lookalike.errors import Unavailable
from tests.support import supervisor
from tests.support.requirements import skip_or_fail

settings.register_profile("suites", deadline=None)  # how long an example takes on a busy machine proves nothing
settings.load_profile("suites")
ENGINE = (
    *("tests/browser", "tests/faults", "tests/integration/elasticsearch", "tests/integration/gallery"),
    *("tests/integration/milvus", "tests/integration/ray", "tests/integration/s3"),
    *("tests/golden/test_engines", "tests/server/test_several_servers"),
)
"""Suites that start PostgreSQL, Elasticsearch, Milvus or a browser: marked `engine`."""
SLOW = (
    *("tests/docs", "tests/golden/test_vgg16", "tests/unit/benchmarks/test_plan_check", "tests/unit/cli/test_try"),
    *("tests/unit/cli/test_program", "tests/unit/encoders/test_weight_files", "tests/unit/evaluation/test_evaluation"),
    *("tests/unit/cli/test_evaluate", "tests/unit/cli/test_calibrate", "tests/unit/test_head_training"),
    *("tests/unit/test_extras", "tests/unit/test_wheel", "tests/index_contract/test_photo_neighbours"),
)
"""Further suites that take long, for they start many processes or run the network: marked `slow`."""
LONG_FIRST = (
    *("tests/golden/test_engines", "tests/faults", "tests/integration/milvus", "tests/server/test_se"),
    *("tests/browser", "tests/golden", "tests/integration", "tests/server", "tests/interfaces"),
    *("tests/unit/cli", "tests/unit/test_", "tests/unit/evaluation", "tests/index_contract"),
)
"""Where the long suites are. A process of the run takes a file at a time, so that short ones have to come last."""


def pytest_configure(config: pytest.Config) -> None:
    """Have all that this run starts ended with it; xdist's workers belong to the run of their controller.

    A shell starts background jobs with SIGINT ignored, which every process started here would inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        supervisor.start()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by where they are, and put long files first, so that the processes of a run end together.

    The order needs xdist's --no-loadscope-reorder.
    """
    for item in items:
        if item.nodeid.startswith(ENGINE) or _on_postgresql(item):
            item.add_marker("engine")
        elif item.nodeid.startswith(SLOW):
            item.add_marker("slow")

    def position(item: pytest.Item) -> int:
        return next((n for n, first in enumerate(LONG_FIRST) if item.nodeid.startswith(first)), len(LONG_FIRST))

    items.sort(key=position)


def _on_postgresql(item: pytest.Item) -> bool:
    """Whether it is one of the catalog's tests that runs on PostgreSQL: by its parameters or its fixtures."""
    if not item.nodeid.startswith("tests/integration/catalog"):
        return False
    parameters = (
        item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    )
    return any(value in ("postgresql", "partitioned") for value in parameters if isinstance(value, str)) or (
        "on_server" in item.fixturenames  # type: ignore[attr-defined]
    )


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real images: $LOOKALIKE_PHOTOS, else shared/photos beside the checkout."""
    named = os.environ.get("LOOKALIKE_PHOTOS")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "photos"
    if not (folder / "manifest.tsv").is_file():
        skip_or_fail(f"no real photos at {folder} (set LOOKALIKE_PHOTOS to a folder with a manifest.tsv)")
    return folder


@pytest.fixture(scope="session")
def cache() -> Path:
    """The user's own cache with VGG16's weights in it, so that they are fetched once a machine."""
    folder = Path(platformdirs.user_cache_dir("lookalike"))
    try:
        pull("vgg16", folder)
    except Unavailable as error:
        skip_or_fail(f"no weights: {error}")
    return folder
