"""Container parsing without decoding: EXIF orientation, size of a WebP, number of frames, truncation."""

from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image, ImageFile

_STRIPS: Final = {273: 279, 324: 325}
"""TIFF 6.0: the tags of where strips and tiles are, and for each the tag of their sizes."""

_OFFSET_TAGS: Final = frozenset(_STRIPS) | frozenset(_STRIPS.values())
_MAX_STRIPS: Final = 1 << 18
"""More strips or tiles are not followed: a hostile file could cause unbounded work."""

_TYPE_BYTES: Final = {
    kind: width for width, kinds in ((2, (3, 8)), (4, (4, 9, 11, 13)), (8, (5, 10, 12, 16, 17, 18))) for kind in kinds
}
"""TIFF 6.0 and BigTIFF: bytes per value of each field type; one for the others."""

_ORIENTATION_TAG: Final = 0x0112
_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS: Final = frozenset(
    {Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90}
)
"""Transpositions that swap width and height."""


def orientation(exif: bytes | None) -> Image.Transpose | None:
    """The transposition that a file's EXIF orientation (tag 0x0112) asks for; None where EXIF is missing or damaged."""
    if not exif:
        return None
    tags = Image.Exif()
    try:
        tags.load(exif)
        return _TRANSPOSITIONS.get(tags.get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and the image itself is intact
        return None


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
    return min(int(getattr(image, "n_frames", 1)), stop)


def _gif_frames(data: bytes, stop: int) -> int:
    """Count the image descriptors of a GIF (GIF89a specification, section 20), skipping over their data."""
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    frames, size = 0, len(data)
    while frames < stop and at < size:
        if data[at] == 0x21:
            at += 2
        elif data[at] == 0x2C and at + 10 <= size:
            frames += 1
            at += 11 + (3 << ((data[at + 9] & 7) + 1) if data[at + 9] & 0x80 else 0)
        else:
            break
        while at < size and data[at]:
            at += 1 + data[at]
        at += 1
    return max(frames, 1)


def _tiff_pages(data: bytes, stop: int) -> int:
    """Count the directories of a TIFF (TIFF 6.0, section 2; BigTIFF) along their chain, stopping at a cycle."""
    tiff = _Tiff.of(data)
    at = tiff.number(data, tiff.first, tiff.word)
    seen: set[int] = set()
    while at and at not in seen and len(seen) < stop:
        seen.add(at)
        entries = tiff.number(data, at, tiff.count)
        at = tiff.number(data, at + tiff.count + entries * tiff.entry, tiff.word)
    return max(len(seen), 1)


@dataclass(frozen=True, slots=True)
class _Tiff:
    """The layout of a TIFF or BigTIFF: byte order, and bytes of an offset, of a count and of an entry."""

    order: Literal["little", "big"]
    first: int
    word: int
    count: int
    entry: int

    @classmethod
    def of(cls, data: bytes) -> "_Tiff":
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        return cls(order, 8, 8, 8, 20) if 43 in data[2:4] else cls(order, 4, 4, 2, 12)

    def number(self, data: bytes, at: int, size: int) -> int:
        """An unsigned number; bytes beyond the end of the file read as 0."""
        return int.from_bytes(data[at : at + size], self.order)

    def missing(self, data: bytes) -> bool:
        """Whether the first directory, or anything that it points to, is beyond the end of the file."""
        at = self.number(data, self.first, self.word)
        entries = self.number(data, at, self.count)
        start = at + self.count
        if at == 0 or start + entries * self.entry + self.word > len(data):
            return True
        values: dict[int, list[int]] = {}
        for entry in range(start, start + entries * self.entry, self.entry):
            tag, kind = self.number(data, entry, 2), self.number(data, entry + 2, 2)
            amount, width = self.number(data, entry + 4, self.word), _TYPE_BYTES.get(kind, 1)
            value = entry + 4 + self.word
            if amount * width > self.word:
                value = self.number(data, value, self.word)
            if value + amount * width > len(data):
                return True
            if tag in _OFFSET_TAGS and tag not in values and amount <= _MAX_STRIPS:
                values[tag] = [self.number(data, value + i * width, width) for i in range(amount)]
        return any(
            start + size > len(data)
            for offsets, sizes in _STRIPS.items()
            for start, size in zip(values.get(offsets, ()), values.get(sizes, ()), strict=False)
        )


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
            return _Tiff.of(data).missing(data)
        case _:
            return _boxes_end_early(data)


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
