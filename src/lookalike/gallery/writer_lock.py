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

    def __enter__(self) -> None:
        with self._acquire_lock:
            if not self._file.is_locked:
                self._acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Keep the lock until `close`."""

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
            raise GalleryBusy(
                f"process {self._writer_pid()} is writing to the gallery {self.folder}: wait until it has finished, "
                "or stop it. Searching is possible meanwhile"
            ) from error
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self._pid_file.write_text(str(os.getpid()))
        except OSError as error:  # a full disk: nothing else could be written either
            self._file.release()
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"cannot write to the gallery {self.folder}: {error}; free some space or correct the permissions"
        )

    def _writer_pid(self) -> str:
        try:
            return self._pid_file.read_text()
        except OSError:
            return "(unknown)"
