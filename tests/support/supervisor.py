"""Ends every process of a test run once the run is over, however it ends: by itself, by a signal, even by SIGKILL.

The first process of a run starts this module as a process of its own and holds a pipe to it. Whatever the run starts
inherits the environment variable LOOKALIKE_TEST_RUN, the folder of the run. When the pipe closes, processes that have
that variable, and their descendants, are sent SIGTERM, and SIGKILL after a grace period; then the folder is removed.
So servers that detach themselves (a PostgreSQL started by pg_ctl) and those of xdist's workers are ended too.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

RUN = "LOOKALIKE_TEST_RUN"
GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL: PostgreSQL needs some of it to release its shared memory."""
MAX_SECONDS = 60.0


def start() -> None:
    """Start the supervisor of a run; called once, by the process that the run begins with."""
    folder = Path(tempfile.mkdtemp(prefix="lookalike-tests-"))
    folder.chmod(0o755)  # servers that do not run as root have their folders below it
    environment = {name: value for name, value in os.environ.items() if name != RUN}
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, env=environment, start_new_session=True
    )
    os.environ[RUN] = str(folder)

    def finish() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(2 * MAX_SECONDS)

    atexit.register(finish)  # before any server's own end is registered, so after it


def environment() -> dict[str, str]:
    """The variable, for servers that are started with an environment of their own."""
    return {RUN: os.environ[RUN]} if RUN in os.environ else {}


def run_folder() -> Path | None:
    """The folder of this run, removed at its end; None outside a run of pytest."""
    return Path(os.environ[RUN]) if RUN in os.environ else None


def processes_of(folder: str) -> set[psutil.Process]:
    """The processes of a run and their descendants, without this one."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN) == folder:
                found |= {process, *process.children(recursive=True)}
        except (psutil.Error, OSError):  # gone meanwhile, or another user's
            continue
    return {process for process in found if process.pid != os.getpid() and is_alive(process)}


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def end_all(folder: str) -> None:
    """End every process of a run."""
    began = time.monotonic()
    seen: set[psutil.Process] = set()
    while time.monotonic() < began + MAX_SECONDS:
        new = processes_of(folder) - seen
        seen |= new  # a descendant whose parent is gone is no longer found
        alive = {process for process in seen if is_alive(process)}
        if not alive:
            return
        late = time.monotonic() > began + GRACE_SECONDS
        for process in alive if late else new:
            try:
                process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
            except psutil.Error:
                continue
        time.sleep(0.05)


def main(folder: str) -> None:
    """Wait for the end of the run, and end what is left of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
