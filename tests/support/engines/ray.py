"""Ray clusters of this machine for the suites: each node can be killed as a machine is."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support import supervisor
from tests.support.requirements import skip_or_fail

OBJECT_STORE_BYTES = 80_000_000
"""About the least that Ray takes."""
START_SECONDS = 120.0
_RAY = (sys.executable, "-c", "from ray.scripts.scripts import main; main()")
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_health_check_failure_threshold": "3",  # a killed node is noticed by its closed connection in any case
}


class Node:
    """A node of a cluster: its raylet, its workers and, of the first, what the cluster has once."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def workers(self) -> list[psutil.Process]:
        """Its processes that run an actor of a pool."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if process.cmdline()[0].startswith("ray::") and "IngestWorker" in process.cmdline()[0]:
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kill all of its processes at once, as the loss of a machine does."""
        with suppress(psutil.Error):
            for process in [*psutil.Process(self._process.pid).children(recursive=True)]:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Cluster:
    """A cluster at `address`; `environment` is that of a member, with the token, if there is one."""

    def __init__(self, folder: Path, *, token: bool = True) -> None:
        self._folder = folder
        self._nodes: list[Node] = []
        self.environment: Mapping[str, str] = {
            **os.environ,
            **_VARIABLES,
            "RAY_AUTH_MODE": "disabled",
            "TMPDIR": str(folder.parent),  # a killed worker leaves its folder
        }
        if token:
            self.environment = {
                **self.environment,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": secrets.token_hex(32),
            }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    def start_node(self, cores: int = 1) -> Node:
        """Start a node with so many cores: the first one is the cluster's head."""
        head = ("--head", "--port", self.address.rpartition(":")[2], "--temp-dir", str(self._folder))
        place = ("--address", self.address) if self._nodes else (*head, "--include-dashboard=false")
        log = self._folder.parent / f"node-{len(self._nodes)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    *(*_RAY, "start", "--block", *place, "--num-cpus", str(cores), "--disable-usage-stats"),
                    *("--object-store-memory", str(OBJECT_STORE_BYTES)),
                ],
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._nodes.append(node := Node(process))
        until = time.monotonic() + START_SECONDS
        while b"Ray runtime started" not in log.read_bytes():
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError(f"Ray does not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        return node

    def close(self) -> None:
        for node in self._nodes:
            node.kill()


@contextmanager
def cluster(*, token: bool = True) -> Iterator[Cluster]:
    """A cluster without nodes yet; all of its processes are killed, and its files removed, in the end.

    Skips the test where Ray is not installed, or fails it where all engines are required.
    """
    try:
        import ray  # noqa: F401, PLC0415 - seconds to import
    except ImportError as error:
        skip_or_fail(f"no Ray: {error}")
    folder = Path(tempfile.mkdtemp(prefix="r", dir=supervisor.run_folder()))  # short, for the names of sockets
    made = Cluster(folder / "r", token=token)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
