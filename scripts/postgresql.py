#!/usr/bin/env python3
"""A PostgreSQL server for tests: a private cluster in a folder of its own, on a free port of this machine.

    postgresql.py install                 Debian's packages, where no server's programs are found
    postgresql.py start FOLDER [--fast] [--listen ADDRESS]
                                          make the cluster if there is none, start it, print its URL
    postgresql.py stop FOLDER             stop it; the data stay

`--fast` leaves out waiting for the disk: right for a suite that never cuts the power. With `--listen` it listens there
too, and lets in, by password, whoever is in one of its host's own networks. The server refuses to run as root, so that
it runs as `postgres` or `nobody` then. Every command may be repeated. Needs nothing but Python.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LEAST = 14
"""The oldest version that is still cared for by its makers; older ones are not tried."""
PACKAGE = "postgresql"
START_SECONDS = 60
SAFE = {"fsync": "on"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "logging_collector": "off",
}


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: the newest Debian has, or where PATH leads."""
    debian = sorted(
        (int(path.name), path / "bin") for path in Path("/usr/lib/postgresql").glob("*") if path.name.isdigit()
    )
    found = [folder for version, folder in debian if version >= LEAST and (folder / "initdb").exists()]
    if found:
        return found[-1]
    named = shutil.which("initdb")
    return Path(named).resolve().parent if named else None


def install() -> Path:
    """Install Debian's packages where nothing is there; raises SystemExit with what to do."""
    there = programs()
    if there is not None:
        return there
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or (rights and shutil.which("sudo") is None):
        raise SystemExit("no PostgreSQL here, and no right to install one; install version 14 or newer")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", PACKAGE]):
        done = subprocess.run([*rights, "apt-get", *command], env=quiet, stdout=sys.stderr, check=False)
        if done.returncode:
            raise SystemExit(f"apt-get {command[0]} failed; install PostgreSQL 14 or newer by hand")
    there = programs()
    if there is None:
        raise SystemExit("the package brought no server; install PostgreSQL 14 or newer by hand")
    return there


def _user() -> list[str]:
    """The words before a command that make it run as somebody else than root."""
    if os.geteuid() != 0:
        return []
    known = {line.split(":")[0] for line in Path("/etc/passwd").read_text().splitlines()}
    name = next((name for name in ("postgres", "nobody") if name in known), None)
    if name is None:
        raise SystemExit("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
    return ["runuser", "-u", name, "--"]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run([*_user(), *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def _make(bin_: Path, folder: Path, listen: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text(secrets.token_urlsafe(18) + "\n")
    if user := _user():
        shutil.chown(folder, user[2])
        shutil.chown(folder / "password", user[2])
    (folder / "password").chmod(0o600)
    words = ["--username=lookalike", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256", "--no-sync"]
    _run([str(bin_ / "initdb"), f"--pgdata={folder / 'data'}", "--encoding=UTF8", "--locale=C", *words], folder)
    if listen is not None:
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _last_port(folder: Path) -> int:
    """The port of the last time, so that clients find the server again."""
    last = folder / "port"
    return int(last.read_text()) if last.exists() else _free_port()


def postmaster(folder: Path) -> tuple[int, int] | None:
    """Process id and port of the cluster's server; None where none runs."""
    try:
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
        os.kill(pid, 0)
        running = (Path("/proc") / str(pid) / "comm").read_text().startswith("postgres")
    except (OSError, IndexError, ValueError):
        return None
    return (pid, port) if running else None


def url(folder: Path, port: int, host: str = "127.0.0.1") -> str:
    """How to reach the cluster; the password is its own."""
    return f"postgresql://lookalike:{(folder / 'password').read_text().strip()}@{host}:{port}/postgres"


def start(folder: Path, *, fast: bool = False, listen: str | None = None) -> str:
    """Make the cluster if there is none, start it if it does not run; gives its URL, at the address to `listen` at."""
    host = listen or "127.0.0.1"
    bin_ = install()
    if not (folder / "data" / "PG_VERSION").exists():
        _make(bin_, folder, listen)
    running = postmaster(folder)
    if running is not None:
        return url(folder, running[1], host)
    for attempt in range(3):  # between choosing a port and taking it, somebody else may take it
        port = _last_port(folder) if attempt == 0 else _free_port()
        settings = {**SETTINGS, **(FAST if fast else SAFE), "port": str(port)}
        if listen is not None:
            settings["listen_addresses"] = f"'127.0.0.1,{listen}'"
        words = " ".join(f"-c {name}={value}" for name, value in settings.items())
        command = [str(bin_ / "pg_ctl"), "start", "-w", f"-t{START_SECONDS}", f"-D{folder / 'data'}"]
        try:
            _run([*command, f"-l{folder / 'log'}", f"-o{words}"], folder)
            (folder / "port").write_text(str(port))
            break
        except SystemExit:
            if attempt == 2:
                raise
    return url(folder, port, host)


def stop(folder: Path) -> None:
    """Stop the cluster's server at once; its data stay."""
    running = postmaster(folder)
    if running is None:
        return
    os.kill(running[0], signal.SIGQUIT)
    deadline = time.monotonic() + START_SECONDS
    while postmaster(folder) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    if postmaster(folder) is not None:
        os.kill(running[0], signal.SIGKILL)


def main() -> None:
    """The commands above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["install", "start", "stop"])
    parser.add_argument("folder", nargs="?", type=lambda text: Path(text).absolute())
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--listen", metavar="ADDRESS")
    given = parser.parse_args()
    if given.command == "install":
        print(install())
    elif given.folder is None:
        parser.error("name the folder of the cluster")
    elif given.command == "start":
        print(start(given.folder, fast=given.fast, listen=given.listen))
    else:
        stop(given.folder)


if __name__ == "__main__":
    main()
