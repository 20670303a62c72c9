"""Container parsing without decoding: sizes, bit depths, number of frames, truncation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import ImageFile

from lookalike.imaging.tiff import COMPRESSION, Tiff

_SIDES: Final = (256, 257)
"""TIFF 6.0: the tags of width and height."""
_MP_ENTRIES: Final = 0xB002
_MP_TYPE, _MP_THUMBNAIL = 0xFF0000, 0x010000
_GAIN_MAP: Final = b"hdrgm:Version"
_HEADER_BYTES: Final = 1 << 17
"""Where a JPEG's XMP data are looked for."""


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by a WebP's header (RFC 9649), as its reader allocates two canvases; None if damaged."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def count_frames(image: ImageFile.ImageFile, kind: str, data: bytes, stop: int) -> int:
    """The number of frames or pages, counted up to `stop` without decoding."""
    if kind == "GIF":
        return _gif_frames(data, stop)
    if kind == "TIFF":
        return _tiff_pages(data, stop)
    if kind == "JPEG":
        return min(mpo_images(image.info.get("mp"), data), stop)
    if kind == "ICO":
        return min(int.from_bytes(data[4:6], "little") or 1, stop)
    if kind == "PSD":
        return 1  # the composite; `n_frames` counts layers
    return min(int(getattr(image, "n_frames", 1)), stop)


def mpo_images(index: bytes | None, data: bytes) -> int:
    """The number of images by a JPEG's multi-picture index (CIPA DC-007, section 5.2.3.3); 1 without one.

    Thumbnails and gain maps (Ultra HDR, which names them in its XMP data) belong to the first image.
    """
    if not index or _GAIN_MAP in data[:_HEADER_BYTES]:
        return 1
    tiff = Tiff.of(index)
    entries = tiff.fields(tiff.first_directory(), (_MP_ENTRIES,)).get(_MP_ENTRIES, b"")
    if not isinstance(entries, bytes):
        return 1
    kinds = [int.from_bytes(entries[at : at + 4], tiff.order) for at in range(0, len(entries) - 15, 16)]
    return max(sum(kind & _MP_TYPE != _MP_THUMBNAIL for kind in kinds), 1)


def _gif_frames(data: bytes, stop: int) -> int:
    """Count the image descriptors of a GIF (GIF89a specification, section 20), skipping over their data."""
    frames = 0
    for block in _gif_blocks(data):
        frames += block.is_frame
        if frames >= stop:
            break
    return max(frames, 1)


@dataclass(frozen=True, slots=True)
class _GifBlock:
    """A block of a GIF: its start, the end of its data, None if the file ends before, and bytes missing of the last
    sub-block then."""

    start: int
    is_frame: bool
    end: int | None
    missing: int


def _gif_blocks(data: bytes) -> Iterator[_GifBlock]:
    """The blocks of a GIF up to its trailer, an unknown block, or the end of the file."""
    at = 13 + (3 << ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 0x80 else 0)
    size = len(data)
    while at < size and data[at] in (0x21, 0x2C):
        start, is_frame = at, data[at] == 0x2C
        if is_frame and at + 10 > size:
            return
        at += 11 + (3 << ((data[at + 9] & 7) + 1) if data[at + 9] & 0x80 else 0) if is_frame else 2
        while at < size and data[at]:
            at += 1 + data[at]
        yield _GifBlock(start, is_frame, at + 1 if at < size else None, max(at - size, 0))
        at += 1


@dataclass(frozen=True, slots=True)
class GifFrame:
    """The first frame of a GIF: its pixels, the end of its data, None if the file ends before it, and bytes missing of
    the last sub-block then."""

    pixels: int
    end: int | None
    missing: int


def first_gif_frame(data: bytes) -> GifFrame | None:
    """The first frame of a GIF; None if the file ends before its data."""
    for block in _gif_blocks(data):
        if block.is_frame:
            width, height = (int.from_bytes(data[at : at + 2], "little") for at in (block.start + 5, block.start + 7))
            begins = block.start + 11 + (3 << ((data[block.start + 9] & 7) + 1) if data[block.start + 9] & 0x80 else 0)
            return GifFrame(width * height, block.end, block.missing) if begins < len(data) else None
    return None


def gif_ends_early(data: bytes) -> bool:
    """Whether a GIF ends inside a block; a missing trailer alone loses nothing."""
    return any(block.end is None for block in _gif_blocks(data))


def _tiff_pages(data: bytes, stop: int) -> int:
    """Count the directories of a TIFF (TIFF 6.0, section 2; BigTIFF) along their chain, stopping at a cycle."""
    tiff = Tiff.of(data)
    at = tiff.first_directory()
    seen: set[int] = set()
    while at and at not in seen and len(seen) < stop:
        seen.add(at)
        at = tiff.next_directory(at)
    return max(len(seen), 1)


def tiff_extent(data: bytes) -> tuple[int, int, int]:
    """Width and height of an uncompressed TIFF, and where its strips or tiles end; zeros for a compressed one."""
    tiff = Tiff.of(data)
    first = tiff.first_directory()
    found = tiff.fields(first, (*_SIDES, COMPRESSION))
    sides = [found.get(tag, (0,))[0] for tag in _SIDES]
    return (sides[0], sides[1], tiff.end()) if found.get(COMPRESSION, (1,)) == (1,) else (0, 0, 0)


def ends_early(data: bytes, kind: str) -> bool:
    """Whether the file is truncated by its own sizes or end markers; called only for files that failed to decode."""
    match kind:
        case "JPEG":
            return data.rfind(b"\xff\xd9") < max(data.rfind(b"\xff\xda"), 0)
        case "PNG":
            return b"IEND" not in data[-64:]
        case "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "BMP":
            return int.from_bytes(data[2:6], "little") > len(data)
        case "TIFF":
            return Tiff.of(data).missing()
        case "AVIF" | "HEIF" | "JPEG2000" | "JXL":
            return _boxes_end_early(data)
        case _:
            return False


def _boxes_end_early(data: bytes) -> bool:
    """Whether the last top-level box of an ISO base media file (AVIF, HEIC) extends beyond the end."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        if length == 0:
            return False
        at += max(length, 8)
    return at != len(data)
