"""The repairs of each format."""

from collections.abc import Iterator

from lookalike.imaging.recovery import avif, bmp, gif, jpeg, png, psd, tga, tiff, webp
from lookalike.imaging.recovery.repaired import Repaired


def repairs(data: bytes, kind: str, max_pixels: int) -> Iterator[Repaired]:
    """The file, rewritten, in the ways to try in turn; none where its format is not repaired or its header damaged."""
    if kind == "GIF":
        yield from gif.repair(data, max_pixels)
    elif (repaired := _repair(data, kind, max_pixels)) is not None:
        yield repaired


def _repair(data: bytes, kind: str, max_pixels: int) -> Repaired | None:
    match kind:
        case "JPEG":
            return jpeg.repair(data)
        case "PNG":
            return png.repair(data, max_pixels)
        case "WEBP":
            return webp.repair(data)
        case "AVIF":
            return avif.repair(data)
        case "BMP":
            return bmp.repair(data, max_pixels)
        case "TIFF":
            return tiff.repair(data, max_pixels)
        case "TGA":
            return tga.repair(data, max_pixels)
        case "PSD":
            return psd.repair(data, max_pixels)
        case _:
            return None
