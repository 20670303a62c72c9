"""Fixtures that every suite shares, and the marks and the order of the suites."""

import os
import signal
from collections.abc import Iterator
from functools import cache as cached
from pathlib import Path

import httpx
import platformdirs
import pytest
from hypothesis import settings

from lookalike.encoders import pull
from lookalike.errors import Unavailable
from tests.support import cpu_times, scheduling, supervisor
from tests.support.engines import milvus
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
    *("tests/docs", "tests/golden/test_vgg16", "tests/unit/cli/test_try"),
    *("tests/unit/cli/test_program", "tests/unit/encoders/test_weight_files", "tests/unit/evaluation/test_evaluation"),
    *("tests/unit/imaging/test_decode_pool", "tests/unit/indexes/test_snapshot.py::test_a_kill"),
    *("tests/unit/cli/test_cleanup", "tests/unit/gallery/test_recall_meter", "tests/unit/indexes/test_hnsw"),
    *("tests/unit/indexes/test_mih", "tests/unit/test_gallery_calibration", "tests/unit/evaluation/test_calibrate"),
    *("tests/unit/cli/test_evaluate", "tests/unit/cli/test_calibrate", "tests/unit/test_head_training"),
    *("tests/unit/test_extras", "tests/unit/test_wheel", "tests/index_contract/test_photo_neighbours"),
    *(
        "tests/unit/test_folder_watch",
        "tests/unit/benchmarks",
        "tests/unit/cli/test_add_sources",
        "tests/unit/ray_ingest",
    ),
    *(
        "tests/unit/cli/test_gallery_access",
        "tests/unit/gallery/test_remote_images",
        "tests/unit/verification/test_labels",
    ),
)
"""Further suites that take long, for they start many processes, run the network or build graphs: marked `slow`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of `support/cpu_times.py`."""
    parser.addoption("--cpu-times", action="store_true", help="print the processor time of files and tests")


def pytest_configure(config: pytest.Config) -> None:
    """Have all that this run starts ended with it; xdist's workers belong to the run of their controller.

    A shell starts background jobs with SIGINT ignored, which every process started here would inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        supervisor.start()
    if config.option.cpu_times:
        config.pluginmanager.register(cpu_times.CpuTimes())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by where they are, and put long files first."""
    for item in items:
        if item.nodeid.startswith(ENGINE) or _on_postgresql(item):
            item.add_marker("engine")
        elif item.nodeid.startswith(SLOW):
            item.add_marker("slow")

    items.sort(key=lambda item: scheduling.position(item.nodeid))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End what the tests of one file share once its fixtures are gone."""
    try:
        yield
    finally:
        if nextitem is None or nextitem.path != item.path:
            milvus.end_of_file()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> scheduling.BySuite:
    """How a parallel run divides the tests, whatever --dist says."""
    return scheduling.BySuite(config, log)


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


@pytest.fixture(scope="session", autouse=True)
def certificates_loaded_once() -> Iterator[None]:
    """Have the HTTP clients of a process share the certificates that they trust: hundreds would load them, in 30 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cached(httpx.create_ssl_context))
        yield


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
