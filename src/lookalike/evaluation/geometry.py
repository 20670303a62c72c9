"""Geometric edits: scaling, rotation, crops, frames, perspective.

Each takes an RGB image of at least 1 x 1, and the random source of one copy; it returns a new RGB image.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from lookalike.evaluation.random_source import Color, RandomSource, with_options

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
_SMOOTH = Image.Resampling.LANCZOS


@with_options
def scale(image: Image.Image, rng: RandomSource, width: float, height: float | None = None) -> Image.Image:
    """Resize to these factors of the width and height; one factor keeps the aspect."""
    factors = (width, width if height is None else height)
    size = tuple(max(1, round(side * factor)) for side, factor in zip(image.size, factors, strict=True))
    return image.resize((size[0], size[1]), _SMOOTH)


@with_options
def turn(image: Image.Image, rng: RandomSource, how: Image.Transpose) -> Image.Image:
    """Mirror or rotate by a multiple of 90 degrees, losslessly."""
    return image.transpose(how)


@with_options
def rotate(image: Image.Image, rng: RandomSource, degrees: float, *, crop: bool) -> Image.Image:
    """Rotate by any angle, to either side at random.

    Uncropped, the image grows and gets black corners. Cropped, the largest upright rectangle inside is kept.
    """
    angle = rng.choice((-degrees, degrees))
    turned = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=BLACK)
    if not crop:
        return turned
    width, height = inner_rectangle(*image.size, math.radians(degrees))
    return _cut(turned, (turned.width - width) / 2, (turned.height - height) / 2, width, height)


def inner_rectangle(width: float, height: float, angle: float) -> tuple[float, float]:
    """Sides of the largest upright rectangle inside a rectangle turned by `angle` radians, 0 to pi/4.

    Either two of its corners touch the long sides alone (a narrow rectangle), or all four touch a side each.
    """
    long, short = max(width, height), min(width, height)
    sine, cosine = math.sin(angle), math.cos(angle)
    if short <= 2 * sine * cosine * long:
        a, b = short / (2 * sine), short / (2 * cosine)
        return (a, b) if width >= height else (b, a)
    double = math.cos(2 * angle)
    return (width * cosine - height * sine) / double, (height * cosine - width * sine) / double


@with_options
def crop(image: Image.Image, rng: RandomSource, area: float, *, off_centre: bool = False) -> Image.Image:
    """Keep a rectangle of this share of the area and of the same shape: the middle, or touching one of the corners."""
    side = math.sqrt(area)
    width, height = image.width * side, image.height * side
    x, y = (rng.choice((0.0, 1.0)), rng.choice((0.0, 1.0))) if off_centre else (0.5, 0.5)
    return _cut(image, (image.width - width) * x, (image.height - height) * y, width, height)


@with_options
def crop_to(image: Image.Image, rng: RandomSource, aspect: float) -> Image.Image:
    """Cut to this aspect (width / height), keeping the middle: what a square profile image does."""
    width, height = min(image.width, image.height * aspect), min(image.height, image.width / aspect)
    return _cut(image, (image.width - width) / 2, (image.height - height) / 2, width, height)


@with_options
def bars(
    image: Image.Image, rng: RandomSource, *, across: float = 0.0, down: float = 0.0, color: Color | None = BLACK
) -> Image.Image:
    """Add bars of these shares of the image's width (left and right) and height (above and below).

    Without a color, a random saturated one is used.
    """
    x, y = _thickness(image.width, across), _thickness(image.height, down)
    size = (image.width + 2 * x, image.height + 2 * y)
    canvas = Image.new("RGB", size, rng.color() if color is None else color)
    canvas.paste(image, (x, y))
    return canvas


@with_options
def frame(image: Image.Image, rng: RandomSource, share: float, color: Color | None = BLACK) -> Image.Image:
    """A frame of the same thickness all round, a share of the shorter side."""
    thickness = share * min(image.size)
    sides = {"across": thickness / image.width, "down": thickness / image.height}
    return bars(**sides, color=color)(image, rng)


def blurred_sides(image: Image.Image, rng: RandomSource) -> Image.Image:
    """Make the image square (or 16:9 where it is square) and fill the rest with its own blurred enlargement."""
    longest = max(image.size)
    size = (longest, longest) if image.width != image.height else (max(2, longest * 16 // 9), longest)
    canvas = image.resize(size, Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(longest / 25))
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas


@with_options
def perspective(image: Image.Image, rng: RandomSource, share: float) -> Image.Image:
    """Perspective from the side: two corners of one side move inwards by up to this share of the height."""
    width, height = image.size
    upper, lower = (height * share * rng.uniform(0.5, 1.0) for _ in range(2))
    inset = width * share / 2
    corners = [(0.0, 0.0), (width - inset, upper), (width - inset, height - lower), (0.0, float(height))]
    if rng.random() < 0.5:
        corners = [(width - x, y) for x, y in (corners[1], corners[0], corners[3], corners[2])]
    source = [(0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, float(height))]
    return image.transform(
        image.size, Image.Transform.PERSPECTIVE, _homography(corners, source), Image.Resampling.BICUBIC, fillcolor=WHITE
    )


def _homography(seen: list[tuple[float, float]], source: list[tuple[float, float]]) -> list[float]:
    """The eight numbers of the projective map that takes each corner of `seen` to that of `source`.

    Every pair of corners gives two linear equations in them (Hartley and Zisserman, Multiple View Geometry, 4.1).
    """
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(seen, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y, u])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y, v])
    table = np.array(rows, np.float64)
    answer: list[float] = np.linalg.solve(table[:, :8], table[:, 8]).tolist()
    return answer


def _thickness(side: int, share: float) -> int:
    """Pixels of a bar: none for a share of 0, else at least one."""
    return max(1, round(side * share)) if share else 0


def _cut(image: Image.Image, left: float, top: float, width: float, height: float) -> Image.Image:
    """Crop in whole pixels, never to nothing."""
    wide, high = max(1, math.floor(width)), max(1, math.floor(height))
    x, y = min(round(left), image.width - wide), min(round(top), image.height - high)
    return image.crop((x, y, x + wide, y + high))
