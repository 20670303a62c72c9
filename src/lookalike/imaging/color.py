"""Conversion of any Pillow mode to sRGB: palettes, alpha, 16 bits and floats, ICC profiles.

A transparent image is laid over the background on which most of it can be seen: white, unless less than
`MIN_VISIBLE_SHARE` of its visible pixels differ from white; then white, black or grey, whichever shows the most.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from lookalike.types import Pixels

STRIP_PIXELS = 4_000_000
"""Colors are converted in strips of about so many pixels, which bounds the memory of huge images."""
MAX_PROFILE_BYTES = 8 * 1024 * 1024
"""A larger ICC profile is ignored; those of printing presses have one to three megabytes."""
MAX_SRGB_DEVIATION = 2
"""A profile that changes no tested color by more than this many levels of 255 is treated as sRGB."""

BACKGROUNDS: Final = (255, 0, 128)
"""Grey levels of the backgrounds of transparent images, in order of preference: white, black, grey."""
MIN_CONTRAST: Final = 48
"""Levels of luma by which a pixel must differ from the background to be seen on it."""
MIN_VISIBLE_SHARE: Final = 0.75
"""Share of the visible pixels, weighted by alpha, that must be seen on white for white to be the background."""
SAMPLE_SIDE: Final = 256
"""The background is chosen by at most so many columns and rows."""

WIDE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
_PROFILED_MODES = frozenset({"L", "RGB", "CMYK"})
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def scale_transparency(image: ImageFile.ImageFile) -> None:
    """Scale a PNG's transparent color (tRNS) to 8 bits as Pillow scales the pixels; call it before loading."""
    key = image.info.get("transparency")
    raw = image.tile[0][3] if image.tile else None
    if key is None or not isinstance(raw, str):
        return
    if raw == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif raw in ("L;2", "L;4"):
        image.info["transparency"] = key * (85 if raw == "L;2" else 17)


@dataclass(frozen=True, slots=True)
class Flattened:
    """An image without alpha: its pixels over `background`, a grey level, and its `alpha`, None if it is opaque."""

    pixels: Pixels
    alpha: Pixels | None = None
    background: int = BACKGROUNDS[0]


def to_pixels(image: Image.Image, *, grey: bool = False) -> Flattened:
    """The pixels of a loaded image as a viewer displays them: `(height, width, 3)` uint8 sRGB, or `(height, width)`.

    Alpha, in any form, is composited over the image's background (see the module). An embedded ICC profile that Little
    CMS can use is applied, any other is ignored. 16-bit values are scaled from 0..65535; see `_value_range` for 32-bit
    integers and floats. `grey` gives luma by ITU-R 601, as Pillow's mode L does.
    """
    mode = "L" if grey else "RGB"
    if image.mode == mode and not image.has_transparency_data and not image.info.get("icc_profile"):
        return Flattened(np.asarray(image))
    scale = scaling(image)
    background = choose_background(image, scale)
    shape = (image.height, image.width) if grey else (image.height, image.width, 3)
    pixels, alpha = np.empty(shape, np.uint8), None
    for top, bottom in strips(image.size):
        colors, part = split(_rows(image, top, bottom), scale)
        if part is not None:
            if alpha is None:
                alpha = np.full((image.height, image.width), 255, np.uint8)
            alpha[top:bottom] = np.asarray(part)
            colors = _composite(colors, part, background)
        pixels[top:bottom] = np.asarray(_in_mode(colors, mode))
    return Flattened(pixels, alpha, background)


def choose_background(image: Image.Image, scale: "Scaling | None") -> int:
    """The grey level of `BACKGROUNDS` on which a transparent image is seen; the first for an opaque one."""
    if not image.has_transparency_data:
        return BACKGROUNDS[0]
    step = max(1, *(-(-side // SAMPLE_SIDE) for side in image.size))
    size = (-(-image.width // step), -(-image.height // step))
    colors, alpha = split(image if step == 1 else image.resize(size, Image.Resampling.NEAREST), scale)
    if alpha is None:
        return BACKGROUNDS[0]
    luma = np.asarray(_in_mode(colors, "L")).astype(np.int16)
    weights = np.asarray(alpha).astype(np.float64)
    if not (total := weights.sum()):
        return BACKGROUNDS[0]
    shown = {level: float(weights[abs(luma - level) >= MIN_CONTRAST].sum() / total) for level in BACKGROUNDS}
    if shown[BACKGROUNDS[0]] >= MIN_VISIBLE_SHARE:
        return BACKGROUNDS[0]
    return max(BACKGROUNDS, key=lambda level: shown[level])


def _composite(colors: Image.Image, alpha: Image.Image, background: int) -> Image.Image:
    level = background if colors.mode == "L" else (background,) * 3
    out = Image.new(colors.mode, colors.size, level)
    out.paste(colors, mask=alpha)
    return out


def _rows(image: Image.Image, top: int, bottom: int) -> Image.Image:
    whole = (top, bottom) == (0, image.height)
    return image if whole else image.crop((0, top, image.width, bottom))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # `convert` would copy


def strips(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First row, and the row after the last, of each strip of an image."""
    rows = max(1, STRIP_PIXELS // size[0])
    for top in range(0, size[1], rows):
        yield top, min(top + rows, size[1])


def split(image: Image.Image, scale: "Scaling | None") -> tuple[Image.Image, Image.Image | None]:
    """The colors of an image in sRGB, RGB or L, and its alpha, None where it is opaque."""
    profile = image.info.get("icc_profile")
    alpha: Image.Image | None = None
    if scale is not None:
        colors = scale(image)
        alpha = _key_alpha(image)
    elif image.mode == "LA":
        colors, alpha = image.getchannel("L"), image.getchannel("A")
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        colors, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    else:
        colors = image if image.mode in _PROFILED_MODES else image.convert("L" if image.mode == "1" else "RGB")
    colors = _to_srgb(colors, profile)
    return colors, None if alpha is None or alpha.getextrema() == (255, 255) else alpha


def _key_alpha(image: Image.Image) -> Image.Image | None:
    """The alpha of a 16-bit grey image with one transparent value."""
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return None
    return Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))


Scaling = Callable[[Image.Image], Image.Image]
"""A linear conversion of 16-bit or 32-bit grey values to 8 bits."""


def scaling(image: Image.Image) -> Scaling | None:
    """The conversion of a 16-bit or 32-bit grey image to 8 bits, the same for each strip; None for other images."""
    if image.mode not in WIDE_MODES:
        return None
    low, high = _value_range(image)
    tags = getattr(image, "tag_v2", {})
    if tags.get(262) == 0:  # TIFF 6.0, PhotometricInterpretation: 0 is white; Pillow applies it up to 8 bits only
        low, high = high, low

    def scale(strip: Image.Image) -> Image.Image:
        values = _finite(strip)
        values -= low
        values *= 255.0 / (high - low)
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))

    return scale


def _finite(image: Image.Image) -> NDArray[np.float64]:
    """The values as floats, with NaN and infinity replaced by 0."""
    return np.nan_to_num(np.asarray(image).astype(np.float64), copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _value_range(image: Image.Image) -> tuple[float, float]:
    """The values displayed as black and as white.

    16-bit values and 12-bit ones of a TIFF have a fixed range. 32-bit integers and floats have one where it is evident,
    0..1 (floats), 0..255 or 0..65535; anything beyond is scaled from its minimum to its maximum.
    """
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(258, (16,))
        return 0.0, 4095.0 if bits == (12,) else 65535.0
    low, high = np.inf, -np.inf
    for top, bottom in strips(image.size):
        values = _finite(image.crop((0, top, image.width, bottom)))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low >= 0.0:
        for limit in (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0):
            if high <= limit:
                return 0.0, limit
    return low, high if high > low else low + 1.0


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB, by its ICC profile where that is usable, else by Pillow's conversion."""
    if profile and image.mode in _PROFILED_MODES and (transform := _transform(bytes(profile), image.mode)):
        return transform.apply(image)
    return image if image.mode == "L" else _in_mode(image, "RGB")


def changes_colors(profile: bytes | None, mode: str) -> bool:
    """Whether this ICC profile is usable for this mode and differs from sRGB."""
    return bool(profile) and mode in _PROFILED_MODES and _transform(bytes(profile or b""), mode) is not None


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from this profile to sRGB; None where the profile is unusable, or equals sRGB.

    Cached, because cameras and editors embed the same few profiles. Perceptual is the intent that viewers use for
    photos. Whether it is sRGB is tested on a grid of colors, since the profile's name is not reliable.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.ImageCmsTransform(source, _SRGB, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        if mode != "CMYK":
            colors = _test_colors(mode)
            difference = np.asarray(transform.apply(colors)).astype(int) - np.asarray(colors.convert("RGB"))
            if np.abs(difference).max() <= MAX_SRGB_DEVIATION:
                return None
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None  # viewers ignore a broken profile too
    return transform


def _test_colors(mode: str) -> Image.Image:
    """Colors to test a profile with: all greys, or a 9 x 9 x 9 RGB cube."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None, :])
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    return Image.fromarray(cube.reshape(1, -1, 3))
