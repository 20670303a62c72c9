"""File format detection by signature, and the reader of each accepted format."""

import io
from collections.abc import Callable
from typing import Final

from PIL import ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pillow_heif import HeifImageFile

from lookalike.errors import ImageRejected

READERS: Final[dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "AVIF": AvifImageFile,
    "HEIF": HeifImageFile,
}
"""The accepted readers, by Pillow's name of the format.

They are called directly, not through `Image.open`: no other format is reachable, and Pillow's global registry is not
changed. Pillow's global limit on pixels then applies only where its readers check it themselves: TIFF, WebP and GIF
beyond twice `Image.MAX_IMAGE_PIXELS` (about 179 million) are rejected too. An MPO is read as the JPEG it starts with.
"""
ACCEPTED: Final = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"

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
)
_OTHER_IMAGES: Final = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "icon (ICO)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"DDS ", "DirectDraw surface"),
    (b"II\xbc", "JPEG XR"),
    (b"IIU\0", "camera raw"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"%!PS", "PostScript"),
    (b"P4\n", "portable bitmap"),
    (b"P5\n", "portable greymap"),
    (b"P6\n", "portable pixmap"),
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
_CONTROL: Final = frozenset(range(0x20)) - frozenset(b"\t\n\f\r")


def identify(data: bytes) -> str:
    """Pillow's name of the format of these bytes, by their signature; file names and extensions are ignored.

    Raises ImageRejected: "unsupported" for an image of an unsupported format, "not_an_image" otherwise.
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
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
    raise _by_text(data[:1024])


def _by_brand(data: bytes) -> str:
    """The format of an ISO base media file (ISO/IEC 14496-12): AVIF or HEIF by its brands, else rejected."""
    end = min(int.from_bytes(data[:4]), len(data), 1024)
    brands = {data[at : at + 4] for at in (8, *range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIC_BRANDS:
        return "HEIF"
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
