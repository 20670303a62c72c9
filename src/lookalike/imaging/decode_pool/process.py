"""The parent's side of one decoding process: start, messages, time limit, and the cause of a crash."""

import contextlib
import mmap
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any, BinaryIO, Final

from lookalike.errors import ImageRejected, Unavailable
from lookalike.imaging.decode_pool import worker
from lookalike.imaging.decode_pool.worker import PROGRESS, SHARED_BYTES, Reply, Request, receive, send
from lookalike.imaging.limits import Limits
from lookalike.types import InputSpec

KILL_GRACE_SECONDS: Final = 1.0
"""Seconds beyond the limit in which the decoder may detect the timeout itself, with a more precise message."""
MAX_START_ATTEMPTS: Final = 3
"""Number of starts for one chunk whose process crashes before its first image."""
_WORKER_CODE: Final = f"import sys; sys.path[:] = sys.argv[1:]; from {worker.__name__} import main; main()"
_SINGLE_THREADED: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""There are as many processes as cores; thread pools inside them would only take memory and start-up time."""


class WorkerCrashed(Exception):
    """The process crashed on the image at `position` in its chunk, or was killed as overdue."""

    def __init__(self, position: int, returncode: int, overdue: bool, limits: Limits) -> None:
        super().__init__(position, returncode)
        self.position = position
        self._returncode = returncode
        self._overdue = overdue
        self._limits = limits

    def rejection(self, path: str | None) -> ImageRejected:
        name = path or "This image"
        if self._overdue:
            problem = f"{name} took longer than the limit of {self._limits.seconds:g} seconds"
            return ImageRejected("timeout", f"{problem}: save it smaller or in a plainer format, or raise seconds.")
        how = f"signal {-self._returncode}" if self._returncode < 0 else f"exit code {self._returncode}"
        return ImageRejected("crashed", f"{name} crashed its decoder ({how}): use another copy, or save it again.")


class WorkerProcess:
    """A process that handles chunks of requests, started when first needed and restarted after a crash.

    `work` and `close` belong to one thread; `kill_if_overdue` and `terminate` may be called from any.
    """

    def __init__(self, inputs: tuple[InputSpec, ...], limits: Limits) -> None:
        self._setup = worker.Setup(inputs, limits, os.getpid())
        self._process: subprocess.Popen[bytes] | None = None
        self._progress: mmap.mmap | None = None
        self._chunk_number = 0
        self._busy_since: float | None = None
        self._overdue = False
        self._terminated = False
        self._lock = threading.Lock()

    def work(self, requests: list[Request]) -> tuple[list[Reply], float]:
        """Replies in order, and seconds taken; raises WorkerCrashed, or Unavailable if the process cannot start."""
        for _ in range(MAX_START_ATTEMPTS):
            process, progress = self._start()
            self._chunk_number += 1
            self._overdue = False
            self._busy_since = started = time.monotonic()
            try:
                send(_pipe(process.stdin), (self._chunk_number, requests))
                replies = worker.unpack(receive(_pipe(process.stdout)))
            except (OSError, EOFError):
                self._busy_since = None
                number, position, _ = PROGRESS.unpack_from(progress)
                returncode = self._reap()
                if self._terminated:
                    raise Unavailable("The pool was closed while it was decoding.") from None
                if number == self._chunk_number:
                    raise WorkerCrashed(position, returncode, self._overdue, self._setup.limits) from None
            else:
                self._busy_since = None
                return replies, time.monotonic() - started
        raise Unavailable(
            f"A decoding process crashed {MAX_START_ATTEMPTS} times before its first image; is there enough memory?"
        )

    def kill_if_overdue(self) -> None:
        """Kill the process if its current image has taken longer than the limit and the grace period."""
        since, progress = self._busy_since, self._progress
        timeout = self._setup.limits.seconds + KILL_GRACE_SECONDS
        if since is None or progress is None or time.monotonic() - since <= timeout:
            return
        number, _, begun = PROGRESS.unpack_from(progress)
        if number == self._chunk_number:
            since = max(since, begun)
        if time.monotonic() - since > timeout:
            self._overdue = True
            self._kill()

    def terminate(self) -> None:
        with self._lock:
            self._terminated = True
        self._kill()

    def close(self) -> None:
        """Terminate the process and close its pipes; for the thread that `work` belongs to."""
        self.terminate()
        if self._process is not None:
            self._reap()

    def _start(self) -> tuple["subprocess.Popen[bytes]", mmap.mmap]:
        if self._process is not None and self._progress is not None:
            return self._process, self._progress
        options: dict[str, Any] = {} if sys.platform == "win32" else {"process_group": 0}  # does not receive Ctrl-C
        with tempfile.TemporaryFile() as shared:
            shared.truncate(SHARED_BYTES)
            with self._lock:
                if self._terminated:
                    raise Unavailable("This pool is closed.")
                self._process = process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _WORKER_CODE, *(path for path in sys.path if isinstance(path, str))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=shared,
                    env=os.environ | _SINGLE_THREADED,
                    **options,
                )
            self._progress = progress = mmap.mmap(shared.fileno(), SHARED_BYTES)
            try:
                send(_pipe(process.stdin), self._setup)
                receive(_pipe(process.stdout))
            except (OSError, EOFError) as error:
                code, output = self._reap(), _last_line(shared)
                raise Unavailable(f"A decoding process did not start (exit code {code}): {output}") from error
        PROGRESS.pack_into(progress, 0, 0, 0, 0.0)
        self._chunk_number = 0
        return process, progress

    def _reap(self) -> int:
        with self._lock:
            process, self._process, self._progress = self._process, None, None
        assert process is not None
        process.kill()  # its pipe is closed, so it cannot be used any more
        returncode = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # buffered data for a process that has exited
                _pipe(pipe).close()
        return returncode

    def _kill(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.kill()
                if self._busy_since is None:
                    self._process.wait()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _last_line(shared: BinaryIO) -> str:
    """The last line that the process wrote: the end of its traceback."""
    shared.seek(0)
    lines = shared.read().decode(errors="replace").strip("\0 \n").splitlines()
    return lines[-1] if lines else "no output"
