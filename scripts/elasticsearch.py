#!/usr/bin/env python3
"""A real Elasticsearch for tests and measurements: fetched once from Maven Central, started on free loopback ports.

    python scripts/elasticsearch.py install              fetch and unpack it, print where it is
    python scripts/elasticsearch.py run [--nodes 2]      start it, print its URL, stop it at Ctrl-C or end of input

It needs Java 17 or newer and Maven. It is Elastic's own build for integration tests: the server, its HTTP side and its
security, without optional modules. As the server refuses to run as root, root runs it as `nobody`. With
ELASTIC_PASSWORD in the environment, `run` asks for that password of the user `elastic`. Uses the standard library only.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = "8.19.21"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
SHA256 = "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a"
NOBODY = 65534
QUICK = "-XX:TieredStopAtLevel=1"
"""Has Java compile little: a start then costs 10 s of processor time instead of 14."""
START_SECONDS = 180.0
"""How long a node may take to start; alone on two cores it takes 8 to 15."""


class Missing(Exception):
    """Elasticsearch cannot be had here; the message says why."""


def cache_folder() -> Path:
    """Where it is unpacked: the user's cache, or the machine's for root, since `nobody` cannot read root's."""
    if os.geteuid() == 0:
        return Path("/var/cache/lookalike")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lookalike"


def install() -> Path:
    """Fetch and unpack the server unless that was done; gives its folder. Raises Missing."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise Missing(f"Elasticsearch needs {tool}; on Debian: apt install openjdk-17-jre-headless maven")
    folder = cache_folder() / f"elasticsearch-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                _unpack(_fetch(Path(scratch)), Path(scratch) / "out")
                (Path(scratch) / "out" / f"elasticsearch-{VERSION}").rename(folder)
    return folder


def _fetch(scratch: Path) -> Path:
    command = ["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={scratch}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    archive = scratch / f"elasticsearch-{VERSION}.zip"
    if done.returncode or not archive.is_file():
        raise Missing(f"Maven could not fetch {ARTIFACT}: {(done.stdout + done.stderr)[-500:]}")
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise Missing(f"{archive.name} has the SHA-256 {found}, not {SHA256}")
    return archive


def _unpack(archive: Path, out: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = Path(packed.extract(entry, out))
            path.chmod(0o755 if entry.is_dir() or entry.external_attr >> 16 & 0o100 else 0o644)
    for folder in [out, *(path for path in out.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Node:
    """One server process and its folder. `settings` are further lines of elasticsearch.yml, `files` further files,
    `environment` further variables.

    `quick` compiles little: it starts and warms up sooner, and is slower in the end; for tests, not for measuring.
    """

    home: Path
    folder: Path
    name: str = "node-1"
    port: int = field(default_factory=free_port)
    transport: int = field(default_factory=free_port)
    settings: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    password: str | None = field(default=None, repr=False)
    heap_mb: int = 512
    quick: bool = False
    scheme: str = "http"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def prepare(self) -> None:
        """Write the configuration; with a password, the keystore too."""
        conf = self.folder / "config"
        shutil.copytree(self.home / "config", conf, dirs_exist_ok=True)
        (conf / "jvm.options.d").mkdir(exist_ok=True)
        (conf / "jvm.options.d" / "heap.options").write_text(
            f"-Xms{self.heap_mb}m\n-Xmx{self.heap_mb}m\n" + (f"{QUICK}\n-XX:-AlwaysPreTouch\n" if self.quick else "")
        )
        lines = {
            "cluster.name": "lookalike-test",
            "node.name": self.name,
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
            "network.host": "127.0.0.1",
            "http.port": str(self.port),
            "transport.port": str(self.transport),
            "xpack.ml.enabled": "false",
            "xpack.security.enabled": "true" if self.password else "false",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            **self.settings,
        }
        if "cluster.initial_master_nodes" not in lines:
            lines["discovery.type"] = "single-node"
        (conf / "elasticsearch.yml").write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))
        for name, content in self.files.items():
            (conf / name).write_bytes(content)
        self._give_away()
        if self.password:
            self._keystore("add", "--stdin", "--force", "bootstrap.password", given=self.password)

    def start(self, *, wait: bool = True) -> "Node":
        """Start the process, and wait until it answers."""
        with (self.folder / "out.log").open("ab") as log:
            command = [*_unprivileged("--pdeathsig", "KILL"), str(self.home / "bin" / "elasticsearch")]
            pipes = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self._process = subprocess.Popen(
                command, env=self._environment(), cwd=self.folder, start_new_session=True, **pipes
            )
        return self.wait() if wait else self

    def wait(self) -> "Node":
        """Wait until the node answers and has its shards; raises Missing with the end of its log."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if not self.alive:
                break
            with contextlib.suppress(OSError, ValueError):
                if self.ask("/_cluster/health?wait_for_status=yellow&timeout=5s").get("timed_out") is False:
                    return self
            time.sleep(0.2)
        said = (self.folder / "out.log").read_text(errors="replace")[-1500:]
        self.stop()
        raise Missing(f"Elasticsearch did not start: {said}")

    def ask(self, path: str) -> dict[str, object]:
        """GET a path, parsed."""
        request = urllib.request.Request(f"{self.scheme}://127.0.0.1:{self.port}{path}")
        if self.password:
            basic = base64.b64encode(f"elastic:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {basic}")
        context = None
        if self.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # our own server, on loopback
        with urllib.request.urlopen(request, timeout=15, context=context) as answer:
            parsed: dict[str, object] = json.load(answer)
            return parsed

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the launcher and the server."""
        if self._process is not None and self.alive:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)

    def freeze(self) -> None:
        """Stop it in its tracks: the system still accepts connections, and nothing answers."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in good order, or by force after a while."""
        self.thaw()
        self.signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        self.kill()

    def _environment(self) -> dict[str, str]:
        java = os.environ.get("JAVA_HOME") or str(Path(shutil.which("java") or "/usr/bin/java").resolve().parents[1])
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "ES_JAVA_HOME": java,
            "ES_PATH_CONF": str(self.folder / "config"),
            "CLI_JAVA_OPTS": QUICK,  # its launcher is a Java program too
            **self.environment,
        }

    def _keystore(self, *words: str, given: str | None = None) -> None:
        command = [*_unprivileged(), str(self.home / "bin" / "elasticsearch-keystore"), *words]
        how = {"env": self._environment(), "input": given and f"{given}\n", "timeout": 120}
        subprocess.run(command, text=True, check=True, capture_output=True, **how)  # type: ignore[call-overload]

    def _give_away(self) -> None:
        """Let `nobody` own what the server writes, where it runs as that."""
        if os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)


def _unprivileged(*options: str) -> list[str]:
    """How a command is begun so that it is not root, and dies with us where the system can do that."""
    if shutil.which("setpriv") is None:
        if os.geteuid() == 0:
            raise Missing("Elasticsearch does not run as root; install setpriv (util-linux), or be another user")
        return []
    if os.geteuid() == 0:
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *options, "--"]
    return ["setpriv", *options, "--"] if options else []


@contextlib.contextmanager
def running(
    nodes: int = 1, *, settings: Mapping[str, str] | None = None, parent: Path | None = None, **more: Any
) -> Iterator[list[Node]]:
    """Servers that answer, in a folder (below `parent`) that goes with them; `more` is what `Node` takes.

    Raises Missing.
    """
    home = install()
    with tempfile.TemporaryDirectory(prefix="lookalike-elasticsearch-", dir=parent) as scratch:
        Path(scratch).chmod(0o755)
        started: list[Node] = []
        try:
            ports = [free_port() for _ in range(nodes)]
            together = {
                "discovery.seed_hosts": json.dumps([f"127.0.0.1:{port}" for port in ports]),
                "cluster.initial_master_nodes": json.dumps(["node-1"]),
            }
            for number, port in enumerate(ports, 1):
                folder = Path(scratch) / f"node-{number}"
                folder.mkdir()
                lines = {**(settings or {}), **(together if nodes > 1 else {})}
                node = Node(home, folder, folder.name, transport=port, settings=lines, **more)
                node.prepare()
                started.append(node.start(wait=False))
            for node in started:
                node.wait()
            yield started
        finally:
            for node in started:
                node.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["install", "run"])
    parser.add_argument("--nodes", type=int, default=1)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if args.what == "install":
            print(install())
            return 0
        password = os.environ.get("ELASTIC_PASSWORD") or None
        with running(args.nodes, password=password) as nodes, contextlib.suppress(KeyboardInterrupt):
            print(" ".join(f"elasticsearch://127.0.0.1:{node.port}" for node in nodes), flush=True)
            sys.stdin.read()
    except Missing as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
