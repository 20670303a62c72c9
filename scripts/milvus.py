"""A real Milvus server for tests and measurements: installed once a machine, started on free ports, stopped after.

    python scripts/milvus.py install           fetch and unpack the server (58 MB) into the user's cache
    python scripts/milvus.py run [FOLDER]      run it until Ctrl-C; without FOLDER its data are removed after
    python scripts/milvus.py start FOLDER      leave it running; prints its address
    python scripts/milvus.py stop FOLDER

The wheel's own launcher takes fixed ports for its etcd and leaves its child alive when it is ended; so the server in it
is started directly, with settings of our own. It listens on all interfaces, without a password unless asked for:
for a machine of your own only.
"""

import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import filelock
import platformdirs

REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "milvus-server.txt"
VERSION = "2.3.5"
START_SECONDS = 120.0
"""A fresh server is up in 3 to 10 s; one that replays its log after a kill in up to a minute."""
QUICK = {
    "COMMON_SESSION_TTL": "5",
    "PROXY_TIMETICKINTERVAL": "50",
    "QUERYCOORD_CHECKINTERVAL": "200",
    "QUERYCOORD_CHECKCHANNELINTERVAL": "200",
    "QUERYCOORD_CHECKSEGMENTINTERVAL": "200",
    "QUERYCOORD_DISTPULLINTERVAL": "200",
    "QUERYCOORD_UPDATENEXTTARGETINTERVAL": "1",
    "QUERYCOORD_CHECKHANDOFFINTERVAL": "200",
}
"""Settings for tests: the server looks around more often, so that strong reads take 40 ms instead of 200, and a
killed server waits for 5 s, not 30, for its own former self to be given up."""
_SLOT = re.compile(r"\{\{\s*(\w+)(?:\(\w+\))?\s*(?::\s*([^}]*?))?\s*\}\}")
_PORTS = 8
"""Those of the server's inner parts."""


class CannotStart(Exception):
    """The server cannot be had, or does not come up; the message says why."""


def install(cache: Path | None = None) -> Path:
    """The folder of the unpacked server; fetched by pip, checked by its hash, once a machine."""
    home = (cache or Path(platformdirs.user_cache_dir("lookalike"))) / f"milvus-server-{VERSION}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{home}.lock", timeout=600):
        if (home / "ready").is_file():
            return home
        shutil.rmtree(home, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        hashed = ["--require-hashes", "--only-binary", ":all:", "--target", str(home), "-r", str(REQUIREMENTS)]
        done = subprocess.run([*pip, *hashed], capture_output=True, text=True, timeout=600)
        packed = home / "milvus" / "data" / "bin"
        if done.returncode or not packed.is_dir():
            shutil.rmtree(home, ignore_errors=True)
            raise CannotStart(f"no Milvus server here (Linux on x86-64 only): {done.stderr.strip()[-500:]}")
        for file in packed.glob("*.lzma"):
            with lzma.open(file) as source, (packed / file.stem).open("wb") as target:
                shutil.copyfileobj(source, target)
            (packed / file.stem).chmod(0o755)
            file.unlink()
        (home / "ready").touch()
    return home


class MilvusServer:
    """One server in a folder of its own, in a process group of its own; it keeps its ports over restarts."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None, password: bool = False) -> None:
        self.folder = folder
        self.home = install()
        self._environment = dict(settings or {})
        if password:
            self._environment["COMMON_SECURITY_AUTHORIZATIONENABLED"] = "true"
        self.port, self._health, *self._others = _free_ports(2 + _PORTS + 2)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As an index's address begins."""
        return f"milvus://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process (and process group) of the server."""
        if self._process is None:
            raise CannotStart("the server was not started")
        return self._process.pid

    def start(self, *, wait: bool = True) -> "MilvusServer":
        """Start it, again where it was killed; returns when it is healthy."""
        config = self.folder / "configs" / "milvus.yaml"
        if not config.is_file():
            self._write_settings(config)
        library = self.home / "milvus" / "data" / "bin"
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(library),
            "ETCD_CONFIG_PATH": str(self.folder / "configs" / "etcd.yaml"),
            "LOG_LEVEL": "warn",
            **self._environment,
        }
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [library / "milvus", "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(str(self._process.pid))
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Until it says that it is healthy; raises CannotStart when it ends or takes too long."""
        end = time.monotonic() + START_SECONDS
        while not self.healthy():
            if self._process is not None and self._process.poll() is not None:
                raise CannotStart(f"the Milvus server ended at once:\n{self._last_words()}")
            if time.monotonic() > end:
                raise CannotStart(f"the Milvus server was not up after {START_SECONDS:g} s:\n{self._last_words()}")
            time.sleep(0.1)

    def healthy(self) -> bool:
        """Whether all its parts answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz", timeout=5) as answer:
                return b"OK" in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def send(self, number: signal.Signals) -> None:
        """A signal to the whole process group: SIGKILL, SIGSTOP, SIGCONT."""
        os.killpg(self.pid, number)
        if number == signal.SIGKILL and self._process is not None:
            self._process.wait(timeout=30)

    def stop(self) -> None:
        """End it, at once; a server that must not lose anything is killed in the same way in tests."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGKILL)
        self._process = None

    def _write_settings(self, config: Path) -> None:
        config.parent.mkdir(parents=True, exist_ok=True)
        data, logs = self.folder / "data", self.folder / "logs"
        for folder in (data, logs):
            folder.mkdir(exist_ok=True)
        ports = iter(self._others)
        values = {
            "proxy_port": str(self.port),
            "etcd_log_path": str(logs / "etcd.log"),
            "system_log_path": str(logs),
            "etcd_data_dir": str(data / "etcd.data"),
            "local_storage_dir": str(data),
            "rocksmq_data_dir": str(data / "rocksmq"),
        }

        def fill(slot: re.Match[str]) -> str:
            name, default = slot.groups()
            if name.endswith("_port") and name not in values and name != "etcd_port":
                values[name] = str(next(ports))
            return values.get(name, default or "")

        template = (self.home / "milvus" / "data" / "config.yaml.template").read_text()
        config.write_text(_SLOT.sub(fill, template))
        shutil.copy(self.home / "milvus" / "data" / "glog.conf", config.parent)
        peer, client = (f"http://127.0.0.1:{port}" for port in (next(ports), next(ports)))
        (config.parent / "etcd.yaml").write_text(
            f"name: default\nlisten-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\n"
            f"listen-client-urls: {client}\nadvertise-client-urls: {client}\ninitial-cluster: default={peer}\n"
        )

    def _last_words(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main(words: list[str]) -> int:
    """The command line; gives the exit status."""
    try:
        match words:
            case ["install"]:
                print(install())
            case ["start", folder]:
                Path(folder).mkdir(parents=True, exist_ok=True)
                print(MilvusServer(Path(folder).absolute()).start().url)
            case ["stop", folder]:
                _stop(Path(folder).absolute())
            case ["run", *folders] if len(folders) <= 1:
                _run(Path(folders[0]) if folders else None)
            case _:
                print(__doc__)
                return 2
    except (CannotStart, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _stop(folder: Path) -> None:
    pid = int((folder / "pid").read_text())
    if Path(f"/proc/{pid}/cwd").resolve() != folder.resolve():
        raise CannotStart(f"the server of {folder} is not running")
    os.killpg(pid, signal.SIGKILL)


def _run(folder: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="milvus-") as temporary:
        at = (folder or Path(temporary)).absolute()
        at.mkdir(parents=True, exist_ok=True)
        server = MilvusServer(at).start()
        print(f"{server.url}   (Ctrl-C ends it)", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending")
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
