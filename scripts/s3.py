#!/usr/bin/env python3
"""A real S3 server for tests and measurements: built once with Go, started on a free loopback port.

    python scripts/s3.py install          build it into the user's cache, print where it is
    python scripts/s3.py run [FOLDER]     serve a folder until Ctrl-C; without FOLDER its data are removed after

The server is versitygw (Apache-2.0), a gateway over a plain folder, whose file system must have extended attributes.
It needs Go. `run` prints the variables of the environment by which clients find the server.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import filelock
import platformdirs

VERSION = "v1.0.14"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
BUILD_SECONDS = 900.0
"""Time to fetch and compile it; measured: six minutes on two busy cores."""
START_SECONDS = 60.0


class CannotStart(Exception):
    """The server cannot be had, or does not come up; the message says why."""


def install(cache: Path | None = None) -> Path:
    """The server's program: compiled from the sources of a pinned version, which Go checks, once a machine."""
    home = (cache or Path(platformdirs.user_cache_dir("lookalike"))) / f"versitygw-{VERSION}"
    home.parent.mkdir(parents=True, exist_ok=True)
    program = home / "versitygw"
    with filelock.FileLock(f"{home}.lock", timeout=BUILD_SECONDS):
        if program.is_file():
            return program
        go = shutil.which("go")
        if go is None:
            raise CannotStart("the S3 server versitygw is built with Go; on Debian: apt install golang")
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            environment = os.environ | {"GOBIN": scratch, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
            command = [go, "install", MODULE]
            try:
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                raise CannotStart(f"building {MODULE} took longer than {BUILD_SECONDS:g} s") from None
            if done.returncode:
                raise CannotStart(f"Go could not build {MODULE}: {done.stderr.strip()[-500:]}")
            home.mkdir(exist_ok=True)
            (Path(scratch) / "versitygw").replace(program)
    return program


class S3Server:
    """One server over a folder, in a process group of its own; it keeps its port over restarts."""

    def __init__(self, folder: Path, *, key: str = "lookalike", secret: str = "lookalike-secret") -> None:
        self.folder = folder
        self._program = install()
        self._key, self._secret = key, secret
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which S3 clients find the server and its credentials."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> "S3Server":
        """Start it, again where it was stopped; returns when it accepts connections."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        command = [self._program, "--port", f"127.0.0.1:{self.port}", "posix", self.folder / "data"]
        secrets = {"ROOT_ACCESS_KEY": self._key, "ROOT_SECRET_KEY": self._secret}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={"PATH": os.environ.get("PATH", ""), **secrets},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self.folder / "server.log").read_text(errors="replace")[-500:]
                self.stop()
                raise CannotStart(f"versitygw did not start: {said}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it, by force after a while."""
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
                break
        self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


def main(arguments: list[str]) -> int:
    """Carry out the command line."""
    match arguments:
        case ["install"]:
            print(install())
        case ["run", *folders] if len(folders) < 2:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server ends with this process
            with contextlib.ExitStack() as stack:
                scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="lookalike-s3-"))
                server = S3Server(Path(folders[0] if folders else scratch)).start()
                stack.callback(server.stop)
                for name, value in server.environment.items():
                    print(f"export {name}={value}", flush=True)
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CannotStart as problem:
        sys.exit(str(problem))
