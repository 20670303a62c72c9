"""A real Milvus for the suites: one server a test run, started when first asked for, gone with its data at the end.

LOOKALIKE_MILVUS_URL (milvus://HOST:PORT) names another server to use, on which the suites make collections whose names
begin with `lookalike_test`.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.milvus import QUICK, CannotStart, MilvusServer

from tests.support import supervisor
from tests.support.engines import shared
from tests.support.requirements import skip_or_fail

PATIENT = QUICK | {"COMMON_SESSION_TTL": "60"}
"""For the server that nobody kills: on a busy machine it must not give itself up for a lease that it renewed late."""


@contextmanager
def _own() -> Iterator[str]:
    try:
        with own_server(settings=PATIENT) as server:
            yield server.url
    except CannotStart as problem:
        raise shared.Missing(problem) from problem


def milvus_url() -> str:
    """The address of this run's server; skips the test where there is none, or fails it where all are required."""
    return shared.url_of("Milvus", "LOOKALIKE_MILVUS_URL", _own)


@contextmanager
def own_server(
    *, password: bool = False, settings: Mapping[str, str] = QUICK, parent: Path | None = None
) -> Iterator[MilvusServer]:
    """A server of a suite's own, to be killed and frozen; raises CannotStart."""
    folder = Path(tempfile.mkdtemp(prefix="milvus-", dir=parent or supervisor.run_folder()))
    try:
        server = MilvusServer(folder, settings=dict(settings), password=password)
        try:
            yield server.start()
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server_of_its_own(*, password: bool = False) -> Iterator[MilvusServer]:
    """`own_server`, skipping the test where there is none."""
    try:
        with own_server(password=password) as server:
            yield server
    except CannotStart as problem:
        skip_or_fail(f"no Milvus server: {problem}")


def new_gallery() -> str:
    """A name that no other test has."""
    return f"test{uuid.uuid4().hex[:8]}"
