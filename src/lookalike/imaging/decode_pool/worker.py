"""A decoding process: reads chunks of images from standard input, writes replies to standard output.

Messages are pickles preceded by their length (8 bytes, little-endian): first `Setup`, answered by the process id, then
chunks, each answered by one list of results in the same order. Before each image, the chunk's number, the image's
position in it and the time are written to a file shared with the parent (passed as standard error), so that a crash
or a hang is attributed to one image.
"""

import gc
import mmap
import os
import pickle
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import repeat
from operator import attrgetter
from typing import IO, Any, BinaryIO, Final, cast

import numpy as np

from lookalike import imaging
from lookalike.errors import ImageRejected
from lookalike.imaging.limits import Limits
from lookalike.types import UNCUT, Border, InputSpec, Pixels, Prepared

LENGTH: Final = struct.Struct("<Q")
PROGRESS: Final = struct.Struct("<qqd")
"""Number of the chunk, position of the image, time.monotonic() at its start."""
SHARED_BYTES: Final = 4096
ORPHAN_CHECK_SECONDS: Final = 1.0
"""Seconds between two checks that the parent is alive."""

Request = tuple[str | None, bytes | None, bytes | None, Mapping[str, Any]]
"""Path, data, known digest, and the options of `prepare`."""
Chunk = tuple[int, list[Request]]
"""The number under which the progress of the requests is recorded, and these."""
Reply = Prepared | tuple[bytes, int] | ImageRejected
"""An image; digest and size of one with the known digest; or the rejection."""
Packed = tuple[list[Any], list[Pixels]]
"""Replies in wire form: an image is the tuple of its plain values, its inputs are rows of one array each."""
_PLAIN: Final = attrgetter(
    "sha256",
    "pixels",
    "nbytes",
    "width",
    "height",
    "format",
    "thumbnail",
    "frames",
    "truncated",
    "exif",
    "transparent",
    "variants",
    "reduced",
)
_SIDES: Final = attrgetter("left", "top", "right", "bottom")


@dataclass(frozen=True, slots=True)
class Setup:
    """Settings for every image; the worker exits when the process `parent` does."""

    inputs: tuple[InputSpec, ...]
    limits: Limits
    parent: int


def send(pipe: IO[bytes], message: Any) -> None:
    """Write one message; raises OSError when the other side is gone."""
    body = pickle.dumps(message, protocol=5)
    pipe.write(LENGTH.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read one message; raises EOFError when the other side is gone."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    length = LENGTH.unpack(head)[0]
    body = pipe.read(length)
    if len(body) < length:
        raise EOFError
    return pickle.loads(body)


def pack(replies: Sequence[Reply]) -> Packed:
    """Replies of one chunk as a message: pickling each image separately would cost more than sending it."""
    good = [reply for reply in replies if isinstance(reply, Prepared)]
    arrays = [np.stack(rows) for rows in zip(*(reply.inputs for reply in good), strict=True)]
    plain = [
        (*_PLAIN(reply), _SIDES(reply.border) if reply.border else ()) if isinstance(reply, Prepared) else reply
        for reply in replies
    ]
    return plain, arrays


def unpack(packed: Packed) -> list[Reply]:
    """The inverse of `pack`; the inputs are views of the chunk's arrays."""
    values, arrays = packed
    inputs = zip(*arrays, strict=True) if arrays else repeat(())
    return [_unpack(value, inputs) for value in values]


def _unpack(value: Any, inputs: Iterator[tuple[Pixels, ...]]) -> Reply:
    if isinstance(value, ImageRejected):
        return value
    if len(value) == 2:
        return value[0], value[1]
    sha256, pixels, nbytes, width, height, kind, *rest, sides = value
    border = Border(*sides) if sides else UNCUT
    return Prepared(sha256, pixels, nbytes, width, height, kind, border, next(inputs), *rest)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe, replies, progress = _take_pipes()
    setup: Setup = receive(pipe)
    _exit_with(setup.parent)
    _limit_memory(setup.limits.max_memory)
    import_module("lookalike.imaging.preprocessing")  # which the parent imports only if it decodes itself
    gc.freeze()
    send(replies, os.getpid())
    with import_module("lookalike.imaging.decoding").quiet:
        _work(pipe, replies, progress, setup)


def _work(pipe: BinaryIO, replies: BinaryIO, progress: mmap.mmap, setup: Setup) -> None:
    """Handle chunks of requests until the other side is gone."""
    while True:
        try:
            number, requests = cast(Chunk, receive(pipe))
        except EOFError:
            return
        results = []
        for position, request in enumerate(requests):
            PROGRESS.pack_into(progress, 0, number, position, time.monotonic())
            results.append(imaging.read_and_prepare(request, setup.inputs, setup.limits))
        try:
            send(replies, pack(results))
        except OSError:
            return


def _take_pipes() -> tuple[BinaryIO, BinaryIO, mmap.mmap]:
    """Move the pipes and the shared page to private descriptors, so that no library prints to or reads from them."""
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"), mmap.mmap(2, SHARED_BYTES)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    return pipes


def _exit_with(parent: int) -> None:
    """Exit soon after the parent, even where another forked process keeps the pipe open."""
    if sys.platform == "win32":
        return  # os.getppid() never changes there; the pipe ends with the parent

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="orphan-watch", daemon=True).start()


def _limit_memory(max_growth: int) -> None:
    """Limit the growth of this process's address space to so many bytes; Linux only."""
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - exists on Unix only

    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - one line, at start-up
        now = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = now + max_growth if hard == resource.RLIM_INFINITY else min(now + max_growth, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main()
