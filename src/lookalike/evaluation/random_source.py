"""The random source of an edited copy: random numbers, and other images to combine it with."""

import random
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec

from PIL import Image, ImageDraw, ImageFilter, ImageOps

Color = tuple[int, int, int]
Options = ParamSpec("Options")


class RandomSource(random.Random):
    """Reproducible random numbers from a seed, and other images to combine the copy with."""

    def __init__(self, seed: str, others: Sequence[Image.Image] = ()) -> None:
        super().__init__(seed)
        self.others = tuple(others)

    def color(self) -> Color:
        """A saturated color, neither black nor white."""
        return self.randrange(40, 220), self.randrange(40, 220), self.randrange(40, 220)

    def image(self, size: tuple[int, int]) -> Image.Image:
        """Another image, cut to this size: one of `others`, or a drawn one where there are none."""
        if self.others:
            return ImageOps.fit(self.choice(self.others).convert("RGB"), size, Image.Resampling.LANCZOS)
        return self._draw(size)

    def _draw(self, size: tuple[int, int]) -> Image.Image:
        """A drawn landscape, so that the image is not flat."""
        width, height = size
        sky = Image.linear_gradient("L").resize(size)
        image = ImageOps.colorize(sky, self.color(), self.color())
        pen = ImageDraw.Draw(image)
        x, y, radius = self.randrange(width), self.randrange(height), max(1, min(size) // 6)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=self.color())
        for depth in range(3):
            level = height * (0.45 + 0.18 * depth)
            tops = [(width * step / 6, level + self.uniform(-0.1, 0.1) * height) for step in range(7)]
            pen.polygon([*tops, (width, height), (0, height)], fill=self.color())
        return image.filter(ImageFilter.GaussianBlur(1))


Change = Callable[[Image.Image, RandomSource], Image.Image]
"""One edit: an RGB image of any size from 1 x 1 up, and the random source of this copy, give a new RGB image."""


def with_options(
    change: Callable[Concatenate[Image.Image, RandomSource, Options], Image.Image],
) -> Callable[Options, Change]:
    """Turn an edit with options into a function that takes the options and returns the edit."""

    def configured(*args: Options.args, **kwargs: Options.kwargs) -> Change:
        return lambda image, rng: change(image, rng, *args, **kwargs)

    return configured
