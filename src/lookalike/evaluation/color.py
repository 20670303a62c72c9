"""Edits of pixel values: light, color, sharpness, noise.

Each takes an RGB image and the random source of one copy; it returns a new RGB image of the same size.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from lookalike.evaluation.random_source import Change, RandomSource, with_options

_ENHANCERS = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "color": ImageEnhance.Color}


@with_options
def enhance(image: Image.Image, rng: RandomSource, what: str, factor: float) -> Image.Image:
    """Change "brightness", "contrast" or "color" by a factor; 1 leaves the image alone."""
    return _ENHANCERS[what](image).enhance(factor)


def gamma(exponent: float) -> Change:
    """Raise values (0..1) to this power: below 1 lightens the shadows, above 1 darkens them."""
    return _curves([lambda value: value**exponent] * 3)


def warm(image: Image.Image, rng: RandomSource) -> Image.Image:
    """A photo app's filter: warmer, faded blacks, softer contrast."""
    lift: list[Callable[[float], float]] = [
        lambda value: 0.08 + 0.92 * value**0.85,
        lambda value: 0.06 + 0.88 * value,
        lambda value: 0.10 + 0.72 * value**1.1,
    ]
    return _curves(lift)(image, rng)


def grey(image: Image.Image, rng: RandomSource) -> Image.Image:
    return image.convert("L").convert("RGB")


def sepia(image: Image.Image, rng: RandomSource) -> Image.Image:
    """Grey values from dark brown to cream, like an old print."""
    return ImageOps.colorize(image.convert("L"), (38, 22, 8), (255, 242, 214), (163, 122, 76))


def negative(image: Image.Image, rng: RandomSource) -> Image.Image:
    return ImageOps.invert(image)


def posterise(image: Image.Image, rng: RandomSource) -> Image.Image:
    """Eight levels a channel."""
    return ImageOps.posterize(image, 3)


@with_options
def vignette(image: Image.Image, rng: RandomSource, strength: float) -> Image.Image:
    """Darken towards the corners, where `strength` (0..1) of the light is lost."""
    x, y = np.linspace(-1, 1, image.width), np.linspace(-1, 1, image.height)
    away = (x[None, :] ** 2 + y[:, None] ** 2) / 2
    light = 1 - strength * away**1.5
    return _to_image(np.asarray(image, np.float32) * light[:, :, None])


@with_options
def blur(image: Image.Image, rng: RandomSource, share: float) -> Image.Image:
    """Gaussian blur; the radius is a share of the longer side, so that large images blur as visibly as small ones."""
    return image.filter(ImageFilter.GaussianBlur(max(0.6, share * max(image.size))))


def sharpen(image: Image.Image, rng: RandomSource) -> Image.Image:
    return image.filter(ImageFilter.UnsharpMask(radius=2, percent=200, threshold=0))


@with_options
def noise(image: Image.Image, rng: RandomSource, deviation: float) -> Image.Image:
    """Gaussian noise of this standard deviation, in steps of 0..255, in every channel."""
    source = np.random.default_rng(rng.getrandbits(64))
    pixels = np.asarray(image, np.float32)
    return _to_image(pixels + source.normal(0, deviation, pixels.shape))


@with_options
def pixelate(image: Image.Image, rng: RandomSource, across: int) -> Image.Image:
    """Squares, about so many along the longer side."""
    step = max(1.0, max(image.size) / across)
    small = (max(1, round(image.width / step)), max(1, round(image.height / step)))
    return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


@with_options
def _curves(image: Image.Image, rng: RandomSource, channels: Sequence[Callable[[float], float]]) -> Image.Image:
    """Map the values 0..1 of red, green and blue by one function each."""
    table = [min(255, max(0, round(255 * curve(value / 255)))) for curve in channels for value in range(256)]
    return image.point(table)


def _to_image(pixels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), "RGB")
