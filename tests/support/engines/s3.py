"""A real S3 server for the suites: one a test run, started when first asked for, gone with its data at the end."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.s3 import CannotStart, S3Server

from tests.support import supervisor
from tests.support.engines import shared
from tests.support.requirements import skip_or_fail


@contextmanager
def _own() -> Iterator[str]:
    try:
        with own_server() as server:
            yield json.dumps(dict(server.environment))
    except CannotStart as problem:
        raise shared.Missing(problem) from problem


def s3_environment() -> Mapping[str, str]:
    """The variables for this run's server; skips the test where there is none, or fails it where all are required.

    LOOKALIKE_S3_ENVIRONMENT names another server to use: its variables, as a JSON object.
    """
    found: dict[str, str] = json.loads(shared.url_of("S3", "LOOKALIKE_S3_ENVIRONMENT", _own))
    return found


@contextmanager
def own_server() -> Iterator[S3Server]:
    """A server of a suite's own, to be stopped; raises CannotStart."""
    folder = Path(tempfile.mkdtemp(prefix="s3-", dir=supervisor.run_folder()))
    try:
        server = S3Server(folder)
        try:
            yield server.start()
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server_of_its_own() -> Iterator[S3Server]:
    """`own_server`, skipping the test where there is none."""
    try:
        with own_server() as server:
            yield server
    except CannotStart as problem:
        skip_or_fail(f"no S3 server: {problem}")
