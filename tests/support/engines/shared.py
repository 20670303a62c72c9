"""One server a test run: the first of the run's processes that asks starts it, and the others use it too."""

import atexit
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import psutil
from filelock import FileLock

from tests.support import supervisor
from tests.support.requirements import skip_or_fail


class Missing(Exception):
    """There is no such server here; the message says why."""


@cache
def _started(what: str, variable: str, start: Callable[[], AbstractContextManager[str]]) -> tuple[str | None, str]:
    """The URL, or None and why there is none; the process that starts a server ends it when it ends itself."""
    if named := os.environ.get(variable):
        return named, ""
    note = (supervisor.run_folder() or Path(tempfile.mkdtemp())) / f"{what}.json"
    with FileLock(f"{note}.lock"):
        if note.is_file():
            owner, url, problem = json.loads(note.read_text())
            if psutil.pid_exists(owner):
                return url, problem
        server = start()
        try:
            url, problem = server.__enter__(), ""
            atexit.register(server.__exit__, None, None, None)
        except Missing as missing:
            url, problem = None, str(missing)
        note.touch(0o600)  # for there may be a password in the URL
        note.write_text(json.dumps([os.getpid(), url, problem]))
    return url, problem


def url_of(what: str, variable: str, start: Callable[[], AbstractContextManager[str]]) -> str:
    """The URL of this run's server, or of the one that a variable of the environment names.

    `start` gives a server of one's own, and raises `Missing`. Skips the test where there is none, or fails it where all
    are required.
    """
    url, problem = _started(what, variable, start)
    if url is None:
        skip_or_fail(f"no {what}: {problem}")
        raise Missing(problem)
    return url
