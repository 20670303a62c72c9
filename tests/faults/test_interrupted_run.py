"""A run of pytest that is interrupted leaves no process behind: SIGINT, SIGTERM and SIGKILL, with and without xdist."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support import supervisor
from tests.support.faults import interrupted_run

ROOT = Path(__file__).parents[2]
START_SECONDS = 180.0
END_SECONDS = 2 * supervisor.MAX_SECONDS
KINDS = {"elasticsearch", "milvus", "postgresql", "serve"}


def wait_for_servers(ready: Path, run: "subprocess.Popen[bytes]") -> dict[str, int]:
    """The folder of the run, and the processes of its servers by kind."""
    until = time.monotonic() + START_SECONDS
    while not ready.is_file():
        assert run.poll() is None, "the run ended before it was interrupted"
        assert time.monotonic() < until, "the servers of the run did not start"
        time.sleep(0.05)
    return json.loads(ready.read_text())


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 0), (signal.SIGKILL, 1)], ids=str)
def test_no_process_is_left(number: signal.Signals, workers: int, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = ["-q", "-p", "no:cacheprovider", f"-n{workers}", f"--basetemp={tmp_path / 'inner'}"]
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "pytest", *words, interrupted_run.__file__],
            cwd=ROOT,
            env=own | {"READY_FILE": str(ready)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        started = wait_for_servers(ready, run)
        before = {process.pid for process in supervisor.processes_of(started["folder"])}
        assert set(started["pids"]) == KINDS
        assert before >= set(started["pids"].values())
        run.send_signal(number)
        run.wait(END_SECONDS)
    finally:
        run.kill()
    until = time.monotonic() + END_SECONDS
    while supervisor.processes_of(started["folder"]) or Path(started["folder"]).exists():
        assert time.monotonic() < until, supervisor.processes_of(started["folder"])
        time.sleep(0.1)
    assert not [pid for pid in before if psutil.pid_exists(pid) and supervisor.is_alive(psutil.Process(pid))]
