"""Small disks that tests may fill to the last byte."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.requirements import skip_or_fail

_BLOCK = 4096
_PREFIX = "lookalike-disk-"


@dataclass(frozen=True)
class Disk:
    """A file system of its own at `path`."""

    path: Path

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leaving: int = 0) -> None:
        """Put ballast on it until no more than so many bytes are free."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast:
            while (room := self.free - leaving) >= _BLOCK:
                os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), room // _BLOCK * _BLOCK)

    def relieve(self) -> None:
        """Take the ballast away."""
        (self.path / "ballast").unlink(missing_ok=True)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Disk]:
    """A file system of so many megabytes, which anybody may write to; skips where none can be mounted."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        why = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        folder.rmdir()
        skip_or_fail(f"no small disk to fill: {why}")
    try:
        yield Disk(folder)
    finally:
        _forget(folder)


def _sweep() -> None:
    """Remove what killed test runs left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _forget(folder)


def _forget(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
    with suppress(OSError):  # another test run sweeps too
        folder.rmdir()
