"""Camera raw files: the largest preview in them, a JPEG or plain RGB, and the size of the raw image.

Makers place previews differently, and say so in notes of their own; but each is a whole JPEG in the file. So every JPEG
signature is followed up to the header of its frame, and the largest image wins that is not itself the raw data, which
some formats (DNG, CR2) compress as lossless JPEG.
"""

from typing import Final, NamedTuple

from lookalike.imaging.tiff import COMPRESSION, Tiff

FORMAT: Final = "RAW"
MAX_CANDIDATES: Final = 4096
"""JPEG signatures that are followed; compressed raw data hold one by chance every 16 MiB."""
SIGNATURES: Final = (
    *(b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILMCCD-RAW", b"FOVb"),
    *(b"\0MRM", b"II\x1a\0\0\0HEAPCCDR"),
)
"""Of Panasonic, Olympus, Fujifilm, Sigma, Minolta and Canon (CRW); other makers' files begin as TIFF, or as ISO media
with brand `crx `."""

_SOI: Final = b"\xff\xd8\xff"
_WIDTH, _HEIGHT, _PHOTOMETRIC, _DNG_VERSION = 256, 257, 262, 50706
_RAW_PHOTOMETRICS: Final = frozenset({32803, 34892})
"""Colour filter array, and linear raw (DNG 1.7)."""
_RAW_COMPRESSIONS: Final = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
"""Of Sony, Epson, Samsung, Nikon and Pentax."""
_DEFAULT_CROP: Final = 50720
_DRAWN: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Start of frame: baseline, extended and progressive (ITU-T T.81, table B.1)."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Preview(NamedTuple):
    """Where a JPEG is in its file, and its size in pixels."""

    start: int
    width: int
    height: int


def is_raw_tiff(data: bytes) -> bool:
    """Whether a file that begins as TIFF is that of a camera: raw pixels in one of its directories, or a DNG."""
    if data[8:10] == b"CR":
        return True
    tiff = Tiff.of(data)
    for at in tiff.directories():
        found = tiff.fields(at, (_PHOTOMETRIC, COMPRESSION, _DNG_VERSION))
        photometric, compression = found.get(_PHOTOMETRIC, (0,)), found.get(COMPRESSION, (0,))
        if _DNG_VERSION in found or photometric[0] in _RAW_PHOTOMETRICS or compression[0] in _RAW_COMPRESSIONS:
            return True
    return False


def raw_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of the raw image of a file built like TIFF; None where no directory says it."""
    if data[:2] not in (b"II", b"MM"):
        return None
    tiff = Tiff.of(data)
    sizes: list[tuple[int, int]] = []
    for at in tiff.directories():
        found = tiff.fields(at, (_WIDTH, _HEIGHT, _DEFAULT_CROP))
        size = found.get(_DEFAULT_CROP, ())
        if len(size) == 4 and size[1] and size[3]:  # two rationals
            size = (size[0] // size[1], size[2] // size[3])
        if len(size) != 2:
            size = (*found.get(_WIDTH, ())[:1], *found.get(_HEIGHT, ())[:1])
        if len(size) == 2 and min(size) > 0:
            sizes.append((int(size[0]), int(size[1])))
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def plain_preview(data: bytes) -> int:
    """Pixels of the first directory of a TIFF if that is an uncompressed image of colors or greys, else 0."""
    if data[:2] not in (b"II", b"MM"):
        return 0
    tiff = Tiff.of(data)
    found = tiff.fields(tiff.first_directory(), (_WIDTH, _HEIGHT, _PHOTOMETRIC, COMPRESSION))
    is_plain = found.get(COMPRESSION) == (1,) and found.get(_PHOTOMETRIC) in ((0,), (1,), (2,))
    width, height = found.get(_WIDTH, (0,)), found.get(_HEIGHT, (0,))
    return int(width[0]) * int(height[0]) if is_plain else 0


def largest_preview(data: bytes) -> Preview | None:
    """The largest JPEG that is not the raw data; None where there is none."""
    best: Preview | None = None
    at = data.find(_SOI)
    for _ in range(MAX_CANDIDATES):
        if at < 0:
            break
        preview = _preview_at(data, at)
        if preview is not None and (best is None or preview.width * preview.height > best.width * best.height):
            best = preview
        at = data.find(_SOI, at + 3)
    return best


def _preview_at(data: bytes, start: int) -> Preview | None:
    """The JPEG at `start`, if its markers are valid up to the header of a frame that is not lossless."""
    at = start + 2
    while data[at : at + 1] == b"\xff" and at + 9 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker in _FRAMES:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            is_image = marker in _DRAWN and data[at + 4] == 8 and width > 0 and height > 0
            return Preview(start, width, height) if is_image else None
        if not 0xC4 <= marker <= 0xFE or length < 2:
            return None
        at += 2 + length
    return None
