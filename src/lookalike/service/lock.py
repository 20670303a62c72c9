"""One writing process a gallery; any number of readers."""

import os
import threading
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from lookalike.errors import GalleryBusy


class WriterLock:
    """Taken at the first write and held until closed; the operating system frees it if the process dies.

    Within the process it is also a lock between threads: `with lock:` brackets one writing operation.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = FileLock(folder / "writer.lock")
        self._note = folder / "writer.pid"
        self._threads = threading.RLock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            self._take()
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._threads.release()

    @property
    def held(self) -> bool:
        """Whether this process is the gallery's writer."""
        return self._file.is_locked

    def close(self) -> None:
        """Let another process write."""
        if self._file.is_locked:
            self._note.unlink(missing_ok=True)
            self._file.release()

    def _take(self) -> None:
        if self._file.is_locked:
            return
        try:
            self._file.acquire(timeout=0)
        except Timeout as error:
            raise GalleryBusy(
                f"process {self._writer()} is writing to the gallery {self._folder}: wait until it is done, or end it. "
                "Searching goes on meanwhile"
            ) from error
        self._note.write_text(str(os.getpid()))

    def _writer(self) -> str:
        try:
            return self._note.read_text()
        except OSError:
            return "(unknown)"
