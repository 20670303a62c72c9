"""Limits on one image, bytes, pixels, frames, seconds and memory, and reading files within them."""

import os
import stat
from dataclasses import dataclass, fields
from pathlib import Path
from time import monotonic
from typing import Final

from lookalike.errors import BadSetting, ImageRejected

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The resources that an image may take; raises BadSetting for a limit that is not positive.

    `max_pixels` is width times height, read from the header before any pixel is decoded. `max_frames` counts the frames
    or pages, of which only the first is ever decoded. `min_side` is the smallest width and height, in pixels. `seconds`
    is wall-clock time per image: `decode` checks the clock between its stages; only a pool of processes can stop a
    decoder that hangs. `max_memory` is in bytes, for such a process: decoding takes about 8 bytes per pixel.
    """

    max_bytes: int = 200 * MIB
    max_pixels: int = 200_000_000
    max_frames: int = 10_000
    min_side: int = 1
    seconds: float = 30.0
    max_memory: int = 4096 * MIB

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise BadSetting(f"The limit {field.name} must be greater than 0, not {getattr(self, field.name)}.")

    def check_bytes(self, nbytes: int) -> None:
        """Raise ImageRejected ("empty", "too_many_bytes") for a file of so many bytes."""
        if nbytes == 0:
            raise ImageRejected("empty", "The file is empty (0 bytes): copy or download it again.")
        if nbytes > self.max_bytes:
            problem = f"The file has {nbytes:,} bytes, more than the limit of {self.max_bytes:,}"
            raise ImageRejected("too_many_bytes", f"{problem}: save it smaller, or raise max_bytes.")

    def check_size(self, width: int, height: int) -> None:
        """Raise ImageRejected ("too_many_pixels", "too_small") for an image of this size."""
        if width * height > self.max_pixels:
            size = f"{width:,} x {height:,} pixels, {width * height:,} in all"
            problem = f"The header says {size}, more than the limit of {self.max_pixels:,}"
            raise ImageRejected("too_many_pixels", f"{problem}: save the image smaller, or raise max_pixels.")
        if min(width, height) < self.min_side:
            problem = f"The image is {width} x {height} pixels, and the smaller side must have at least {self.min_side}"
            raise ImageRejected("too_small", f"{problem}: use a larger image, or lower min_side.")

    def check_frames(self, frames: int) -> None:
        """Raise ImageRejected ("too_many_frames"); `frames` may be a count that stopped one past the limit."""
        if frames > self.max_frames:
            problem = f"The file has more than {self.max_frames:,} frames or pages"
            raise ImageRejected("too_many_frames", f"{problem}: save its first one as an image, or raise max_frames.")

    def check_time(self, started: float) -> None:
        """Raise ImageRejected ("timeout") when more than `seconds` have passed since `started` (time.monotonic)."""
        if monotonic() - started > self.seconds:
            remedy = "save the image smaller or in a plainer format, or raise seconds."
            raise ImageRejected("timeout", f"Decoding took longer than the limit of {self.seconds:g} seconds: {remedy}")


DEFAULT_LIMITS = Limits()
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
