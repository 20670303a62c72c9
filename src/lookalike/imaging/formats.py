"""File format detection by signature, and the reader of each accepted format."""

import io
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from lookalike.errors import ImageRejected
from lookalike.imaging import jxl, mini_avif, raw_preview

Reader = Callable[[io.BytesIO], ImageFile.ImageFile]


def _on_first_use(name: str, module: str | None = None) -> Reader:
    """A reader, one of Pillow's unless a module is given, imported when it is needed: each takes 1 to 5 ms."""

    def read(file: io.BytesIO) -> ImageFile.ImageFile:
        reader: Reader = getattr(import_module(module or f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
        return reader(file)

    return read


READERS: Final[dict[str, Reader]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": _on_first_use("WebP"),
    "GIF": _on_first_use("Gif"),
    "BMP": _on_first_use("Bmp"),
    "TIFF": _on_first_use("Tiff"),
    "AVIF": _on_first_use("Avif"),
    "HEIF": _on_first_use("Heif", "pillow_heif"),
    "JXL": jxl.open_jxl,
    "JPEG2000": _on_first_use("Jpeg2K"),
    "ICO": _on_first_use("Ico"),
    "PPM": _on_first_use("Ppm"),
    "TGA": _on_first_use("Tga"),
    "PSD": _on_first_use("Psd"),
}
"""The accepted readers, by Pillow's name of the format; camera raw files (RAW) are read by the JPEG in them.

They are called directly, not through `Image.open`: no other format is reachable, and Pillow's global registry is not
changed. Pillow's global limit on pixels then applies only where its readers check it themselves: TIFF, WebP and GIF
beyond twice `Image.MAX_IMAGE_PIXELS` (about 179 million) are rejected too. An MPO is read as the JPEG it starts with.
"""
ACCEPTED: Final = (
    "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, JPEG XL, JPEG 2000, ICO, PPM, TGA, PSD or camera raw with a preview"
)

_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (jxl.CONTAINER, "JXL"),
    (jxl.CODESTREAM, "JXL"),
    (b"8BPS\0\1", "PSD"),
    (b"\0\0\1\0", "ICO"),
    *((signature, raw_preview.FORMAT) for signature in raw_preview.SIGNATURES),
)
_OTHER_IMAGES: Final = (
    (b"8BPS\0\2", "large Photoshop (PSB)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"DDS ", "DirectDraw surface"),
    (b"II\xbc", "JPEG XR"),
    (b"%!PS", "PostScript"),
)
_OTHER_FILES: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\3\4", "a ZIP archive or an office document"),
    (b"PK\5\6", "an empty ZIP archive"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"OggS", "sound or video"),
    (b"ID3", "sound"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"SQLite format 3\0", "a database"),
)
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_IMAGE_BRANDS: Final = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
_RAW_BRANDS: Final = frozenset({b"crx "})
_PPM: Final = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+\s")
"""Portable bitmaps, greymaps and pixmaps (netpbm): a number, then width and height."""
TGA_FOOTER: Final = b"TRUEVISION-XFILE.\0"
_TGA_TYPES: Final = {1: (8,), 2: (15, 16, 24, 32), 3: (8, 16), 9: (8,), 10: (15, 16, 24, 32), 11: (8, 16)}
"""Truevision TGA 2.0: bits of a pixel by image type; from 8 on, types are run-length encoded."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 258, 262, 284
_YCBCR: Final = 6
"""TIFF 6.0: tags, and the photometric interpretation of luma and chroma."""
_CONTROL: Final = frozenset(range(0x20)) - frozenset(b"\t\n\f\r")


def identify(data: bytes) -> str:
    """Pillow's name of the format of these bytes, by their signature; file names and extensions are ignored.

    Raises ImageRejected: "unsupported" for an image of an unsupported format, "not_an_image" otherwise.
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return raw_preview.FORMAT if name == "TIFF" and raw_preview.is_raw_tiff(data) else name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _by_brand(data)
    for signature, name in _OTHER_IMAGES:
        if data.startswith(signature):
            raise _unsupported(f"a {name} file")
    for signature, name in _OTHER_FILES:
        if data.startswith(signature):
            raise _no_image(f"this is {name}")
    if _PPM.match(data[:1024]):
        return "PPM"
    if _is_tga(data):
        return "TGA"
    raise _by_text(data[:1024])


def open_by_libtiff(file: io.BytesIO) -> ImageFile.ImageFile:
    """An uncompressed TIFF of 8 bits, to be loaded by libtiff, which reads more: subsampled YCbCr, any tiles.

    Raises SyntaxError for other ones, which are loaded by libtiff anyway, or in another byte order.
    """
    image: Any = READERS["TIFF"](file)
    depths = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
    if image.use_load_libtiff or max(depths) != 8 or not image.tile:
        raise SyntaxError("not an uncompressed TIFF of 8 bits")
    layout = image.tile[0].args[0] if image.tag_v2.get(_PLANAR_CONFIGURATION, 1) == 1 else image.mode
    if image.tag_v2.get(_PHOTOMETRIC) == _YCBCR:
        image._mode, layout = "RGB", "RGBX"
    image.tile = [ImageFile._Tile("libtiff", (0, 0, *image.size), 0, (layout, False, image.tag_v2.offset))]
    image.use_load_libtiff = True
    opened: ImageFile.ImageFile = image
    return opened


def open_frames(data: bytes, kind: str) -> ImageFile.ImageFile:
    """A file of several frames or pages, open for `seek`."""
    return (_on_first_use("Mpo") if kind == "JPEG" else READERS[kind])(io.BytesIO(data))


def size_by_header(data: bytes) -> tuple[int, int]:
    """Width and height that a file declares, before it is decoded; raises what the readers raise for damaged files."""
    kind = identify(data)
    if kind == raw_preview.FORMAT:
        preview = raw_preview.largest_preview(data)
        size = (0, 0) if preview is None else (preview.width, preview.height)
        return raw_preview.raw_size(data) or size
    if kind == "JXL" and (header := jxl.read_header(data)):
        return header.width, header.height
    return READERS[kind](io.BytesIO(data)).size


def _is_tga(data: bytes) -> bool:
    """Whether a file is a TGA: version 2 has a footer; of version 1 only the header, and the size of what follows."""
    if len(data) < 19:
        return False
    has_map, kind, entry_bits, bits, flags = data[1], data[2], data[7], data[16], data[17]
    width, height = int.from_bytes(data[12:14], "little"), int.from_bytes(data[14:16], "little")
    if has_map > 1 or bits not in _TGA_TYPES.get(kind, ()) or flags & 0xC0 or not width * height:
        return False
    if data.endswith(TGA_FOOTER):
        return True
    colors = int.from_bytes(data[5:7], "little") * -(-entry_bits // 8) if has_map else 0
    if has_map != (kind in (1, 9)) or (has_map and entry_bits not in (15, 16, 24, 32)):
        return False
    start = 18 + data[0] + colors
    pixels = width * height * -(-bits // 8)
    if kind < 8:
        return start + pixels <= len(data) <= start + pixels + 1024
    return start < len(data) <= start + pixels + width * height + 1024  # at most a byte before each pixel


def _by_brand(data: bytes) -> str:
    """The format of an ISO base media file (ISO/IEC 14496-12): AVIF or HEIF by its brands, else rejected."""
    end = min(int.from_bytes(data[:4]), len(data), 1024)
    brands = {data[at : at + 4] for at in (8, *range(16, end - 3, 4))}
    if data[8:12] == mini_avif.BRAND:
        if data[12:16] in _AVIF_BRANDS:  # the minor version names the codec
            return "AVIF"
        raise _unsupported("a HEIF file with a MinimizedImageBox and no AV1 in it")
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIC_BRANDS:
        return "HEIF"
    if brands & _RAW_BRANDS:
        return raw_preview.FORMAT
    if brands & _IMAGE_BRANDS:
        raise _unsupported("a HEIF file with neither HEVC nor AV1 in it")
    raise _no_image("this is a video or sound file (ISO base media, such as MP4)")


def _unsupported(what: str) -> ImageRejected:
    return ImageRejected("unsupported", f"Unsupported image format: this is {what}. Save it as {ACCEPTED}.")


def _no_image(reason: str) -> ImageRejected:
    return ImageRejected("not_an_image", f"Not an image: {reason}. Supported formats: {ACCEPTED}.")


def _by_text(head: bytes) -> ImageRejected:
    """The rejection of bytes without a known signature; text is named as such."""
    lower = head.lower()
    if b"<svg" in lower:
        return _unsupported("a drawing (SVG)")
    if b"<html" in lower or b"<!doctype html" in lower:
        return _no_image("this is a web page")
    readable = len(head.decode(errors="ignore").encode()) > len(head) - 4  # the last character may be cut
    text = len(head) > 3 and readable and _CONTROL.isdisjoint(head)
    return _no_image("this is text" if text else "unknown file signature")
