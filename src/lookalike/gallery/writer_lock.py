"""Lock of a gallery's folder: one writing process, except with a catalog on a server, which takes any number."""

import os
import threading
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from lookalike.errors import GalleryBusy, Unavailable


class WriterLock:
    """Lock of a process on a gallery's folder; acquired by the first `with lock:`, held until `close`.

    It protects the catalog, if that is a file, and the snapshots of the embedded indexes. With a catalog on a server
    (`shared`) any number of processes write; the first on each folder saves snapshots, the others keep their indexes
    in memory. The operating system releases it if the process dies. Threads of one process write concurrently.
    """

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self.folder = folder
        self._shared = shared
        self._file = FileLock(folder / "writer.lock", thread_local=False)
        self._pid_file = folder / "writer.pid"
        self._acquire_lock = threading.Lock()
        self._url: str | None = None

    def __enter__(self) -> None:
        with self._acquire_lock:
            if not self._file.is_locked:
                self._acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Keep the lock until `close`."""

    def announce(self, url: str) -> None:
        """Name the server whose process this is: another process that cannot write is referred to its URL."""
        with self._acquire_lock:
            self._url = url
            if self._file.is_locked:
                self._write_pid_file()

    @property
    def held(self) -> bool:
        """Whether this process may write to the gallery's folder."""
        return self._file.is_locked

    def close(self) -> None:
        if self._file.is_locked:
            self._pid_file.unlink(missing_ok=True)
            self._file.release()

    def _acquire(self) -> None:
        try:
            self._file.acquire(timeout=0)
        except Timeout as error:
            if self._shared:
                return
            raise GalleryBusy(self._busy_message()) from error
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self._write_pid_file()
        except OSError as error:  # a full disk: nothing else could be written either
            self._file.release()
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"cannot write to the gallery {self.folder}: {error}; free some space or correct the permissions"
        )

    def _write_pid_file(self) -> None:
        self._pid_file.write_text(f"{os.getpid()}\n{self._url or ''}\n")

    def _busy_message(self) -> str:
        try:
            pid, _, rest = self._pid_file.read_text().partition("\n")
        except OSError:
            pid, rest = "(unknown)", ""
        if url := rest.strip():
            return (
                f"the server at {url} (process {pid}) writes to the gallery {self.folder}: add `--server {url}` to the "
                f"command, or use lookalike.Client({url!r}); or stop the server. Searching is possible meanwhile"
            )
        return (
            f"process {pid} is writing to the gallery {self.folder}: wait until it has finished, or stop it. "
            "Searching is possible meanwhile"
        )
