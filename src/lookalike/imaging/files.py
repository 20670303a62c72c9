"""Reading image files, with limits on their size."""

import os
import stat
from pathlib import Path
from typing import Final

from lookalike.errors import ImageRejected
from lookalike.imaging.limits import DEFAULT_LIMITS, Limits

_READ_FLAGS: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_BINARY", "O_NONBLOCK", "O_NOCTTY"))
"""Non-blocking, because opening a named pipe to look at it would otherwise wait for a writer."""


def read_bytes(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file, whose size is checked first.

    Raises ImageRejected: "unreadable" (missing, forbidden, not a regular file), "empty" or "too_many_bytes".
    """
    try:
        file = os.open(path, _READ_FLAGS)
    except (OSError, ValueError) as error:  # ValueError: a NUL inside the path
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ImageRejected("unreadable", f"{path} is {kind}: name an image file.")
        limits.check_bytes(status.st_size)
        return _read_all(file, status.st_size, limits)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(file)


def _read_all(file: int, size: int, limits: Limits) -> bytes:
    data = os.read(file, size)
    if len(data) == size and not os.read(file, 1):
        return data  # in one piece: a buffer larger than the file would be copied
    os.lseek(file, len(data), os.SEEK_SET)
    parts, total = [data], len(data)
    while part := os.read(file, 1 << 20):  # one read may give less than it was asked for; the file may have grown
        parts.append(part)
        total += len(part)
        limits.check_bytes(total)
    return b"".join(parts)


def _unreadable(path: Path | str, error: OSError | ValueError) -> ImageRejected:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    remedy = "check that it is there and that you may read it."
    return ImageRejected("unreadable", f"{path} cannot be read ({why}): {remedy}")
