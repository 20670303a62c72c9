"""A real Milvus for the suites: one server a file of tests, started when first asked for, gone with its data after it.

A start takes a second of processor time, and a server that does nothing takes as much every fifteen seconds.
LOOKALIKE_MILVUS_URL (milvus://HOST:PORT) names another server to use, on which the suites make collections whose names
begin with `lookalike_test`.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.milvus import QUICK, CannotStart, MilvusServer

from tests.support import supervisor
from tests.support.requirements import skip_or_fail

PATIENT = QUICK | {"COMMON_SESSION_TTL": "60"}
"""For the server that nobody kills: on a busy machine it must not give itself up for a lease that it renewed late."""
VARIABLE = "LOOKALIKE_MILVUS_URL"


class _Shared:
    """The server of the file of tests that this process runs, or why there is none."""

    def __init__(self) -> None:
        self.url = self.problem = ""
        self.ends = ExitStack()


_shared = _Shared()


def milvus_url() -> str:
    """The address of these tests' server; skips them where there is none, or fails them where all are required."""
    if named := os.environ.get(VARIABLE):
        return named
    if not (_shared.url or _shared.problem):
        try:
            _shared.url = _shared.ends.enter_context(own_server(settings=PATIENT)).url
        except CannotStart as problem:
            _shared.problem = str(problem)
    if _shared.problem:
        skip_or_fail(f"no Milvus: {_shared.problem}")
    return _shared.url


def end_of_file() -> None:
    """End the server of the tests of one file, if they had any."""
    _shared.ends.close()
    _shared.url = ""


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
