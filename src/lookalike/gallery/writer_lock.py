"""Who may write what: one process a gallery, except where the catalog is a server, which takes any number."""

import os
import threading
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from lookalike.errors import GalleryBusy, Unavailable


class WriterLock:
    """`with lock:` brackets every writing operation; taken at the first, held until closed.

    It is the right to write the gallery's folder: its catalog, if that is a file, and the snapshots of its embedded
    indexes. With a catalog on a server (`shared`) any number of processes write; the first on each folder saves
    snapshots, the others keep their indexes in memory. The operating system frees it if the process dies. Threads of
    one process write side by side.
    """

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self._folder = folder
        self._shared = shared
        self._file = FileLock(folder / "writer.lock", thread_local=False)
        self._note = folder / "writer.pid"
        self._taking = threading.Lock()

    def __enter__(self) -> None:
        with self._taking:
            if not self._file.is_locked:
                self._take()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing ends here: the right is kept until closed."""

    @property
    def held(self) -> bool:
        """Whether this process may write the gallery's folder."""
        return self._file.is_locked

    def close(self) -> None:
        """Let another process write."""
        if self._file.is_locked:
            self._note.unlink(missing_ok=True)
            self._file.release()

    def _take(self) -> None:
        try:
            self._file.acquire(timeout=0)
        except Timeout as error:
            if self._shared:
                return
            raise GalleryBusy(
                f"process {self._writer()} is writing to the gallery {self._folder}: wait until it is done, or end it. "
                "Searching goes on meanwhile"
            ) from error
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._note.write_text(str(os.getpid()))
        except OSError as error:  # a full disk: nothing else could be written either
            self._file.release()
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> Unavailable:
        return Unavailable(f"cannot write to the gallery {self._folder}: {error}; free some space or mend the rights")

    def _writer(self) -> str:
        try:
            return self._note.read_text()
        except OSError:
            return "(unknown)"
