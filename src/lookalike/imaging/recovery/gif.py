"""GIF files that end in their first frame or after it."""

from collections.abc import Iterator

from lookalike.imaging import containers
from lookalike.imaging.recovery.repaired import Repaired


def repair(data: bytes, max_pixels: int) -> Iterator[Repaired]:
    """End the file after the first frame; or complete that with its color 0 (code 0 of the LZW data is that color)."""
    frame = containers.first_gif_frame(data)
    if frame is None or frame.pixels > max_pixels:
        return
    if frame.end is not None:
        yield Repaired(data[: frame.end] + b";", containers.gif_ends_early(data))
    kept = data + bytes(frame.missing) if frame.end is None else data[: frame.end - 1]
    zeros = -(-frame.pixels * 12 // 8)  # codes have at most 12 bits
    blocks = (b"\xff" + bytes(255)) * -(-zeros // 255)
    yield Repaired(kept + blocks + b"\0;", True)
