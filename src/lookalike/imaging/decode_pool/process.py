"""The parent's side of one decoding process: starting it, talking to it, and telling why it died."""

import mmap
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any, BinaryIO, Final

from lookalike.errors import ImageRejected, Unavailable
from lookalike.imaging.decode_pool.worker import (
    PROGRESS,
    SHARED_BYTES,
    Chunk,
    Reply,
    Request,
    Setup,
    receive,
    send,
    unpack,
)
from lookalike.imaging.limits import Limits
from lookalike.types import InputSpec

KILL_GRACE_SECONDS: Final = 1.0
"""Seconds beyond the limit in which a decoder may notice the limit by itself, and say more about it."""
MAX_START_ATTEMPTS: Final = 3
"""Times a process is started for one chunk when it dies before its first image."""
_WORKER_CODE: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from lookalike.imaging.decode_pool.worker import main; main()"
)
_SINGLE_THREADED: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Processes are as many as cores already; pools of threads inside them would only take memory and start-up time."""


class WorkerCrashed(Exception):
    """The process ended over the image at `place` in its chunk, with this return code, or was ended as overdue."""

    def __init__(self, place: int, returncode: int, overdue: bool, limits: Limits) -> None:
        super().__init__(place, returncode)
        self.position = place
        self._returncode = returncode
        self._overdue = overdue
        self._limits = limits

    def rejection(self, path: str | None) -> ImageRejected:
        """What to say of the image."""
        name = path or "This image"
        if self._overdue:
            return ImageRejected(
                "timeout",
                f"{name} took longer than the limit of {self._limits.seconds:g} seconds: save it smaller or in a "
                "plainer format, or raise seconds.",
            )
        how = f"signal {-self._returncode}" if self._returncode < 0 else f"exit code {self._returncode}"
        return ImageRejected("crashed", f"{name} crashed its decoder ({how}): use another copy, or save it anew.")


class WorkerProcess:
    """A process that answers chunks of requests, started when first needed and again after it has died.

    `work` and `close` belong to one thread; `kill_if_overdue` and `end` may be called from any other.
    """

    def __init__(self, inputs: tuple[InputSpec, ...], limits: Limits) -> None:
        self._setup = Setup(inputs, limits, os.getpid())
        self._process: subprocess.Popen[bytes] | None = None
        self._progress: mmap.mmap | None = None
        self._chunk_number = 0
        self._busy_since: float | None = None
        self._overdue = False
        self._terminated = False
        self._lock = threading.Lock()

    def work(self, requests: list[Request]) -> tuple[list[Reply], float]:
        """Have requests answered: replies in order, and the seconds it took.

        Raises Died when the process ends over one of them, Unavailable when it cannot be started.
        """
        for _ in range(MAX_START_ATTEMPTS):
            process, progress = self._start()
            self._chunk_number += 1
            self._overdue = False
            self._busy_since = started = time.monotonic()
            try:
                send(_pipe(process.stdin), Chunk(self._chunk_number, tuple(requests)))
                replies = unpack(receive(_pipe(process.stdout)))
            except (OSError, EOFError):
                self._busy_since = None
                number, place, _ = PROGRESS.unpack_from(progress)
                returncode = self._reap()
                if self._terminated:
                    raise Unavailable("The pool was closed while it was decoding.") from None
                if number == self._chunk_number:
                    raise WorkerCrashed(place, returncode, self._overdue, self._setup.limits) from None
            else:
                self._busy_since = None
                return replies, time.monotonic() - started
        raise Unavailable("A decoding process died three times before its first image; is there memory left?")

    def kill_if_overdue(self) -> None:
        """Kill the process if its present image has taken longer than the limit, and a little."""
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
        """End the process for good, whatever it is doing."""
        with self._lock:
            self._terminated = True
        self._kill()

    def close(self) -> None:
        """End the process and release its pipes; for the thread that `work` belongs to."""
        self.terminate()
        if self._process is not None:
            self._reap()

    def _start(self) -> tuple["subprocess.Popen[bytes]", mmap.mmap]:
        if self._process is not None and self._progress is not None:
            return self._process, self._progress
        options: dict[str, Any] = {} if sys.platform == "win32" else {"process_group": 0}  # out of Ctrl-C's reach
        with tempfile.TemporaryFile() as shared:
            shared.truncate(SHARED_BYTES)
            with self._lock:
                if self._terminated:
                    raise Unavailable("This pool is closed.")
                self._process = process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-c",
                        _WORKER_CODE,
                        *(entry for entry in sys.path if isinstance(entry, str)),
                    ],
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
                returncode = self._reap()
                output = _last_line(shared)
                raise Unavailable(f"A decoding process did not start (exit code {returncode}): {output}") from error
        PROGRESS.pack_into(progress, 0, 0, 0, 0.0)
        self._chunk_number = 0
        return process, progress

    def _reap(self) -> int:
        """The return code of the process, which is over; its pipes are closed."""
        with self._lock:
            process, self._process, self._progress = self._process, None, None
        assert process is not None
        process.kill()  # its end of the pipe is closed, so it is of no use any more
        returncode = process.wait()
        _close(process)
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


def _close(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue  # what was still to be written goes nowhere: nobody reads it any more


def _last_line(shared: BinaryIO) -> str:
    """What the process wrote before it died: the end of its traceback."""
    shared.seek(0)
    lines = shared.read().decode(errors="replace").strip("\0 \n").splitlines()
    return lines[-1] if lines else "it said nothing"
