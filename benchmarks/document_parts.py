"""Parts of drawn documents: words, handwriting, codes, shapes, faces, scenes, paper."""

import math
import random
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]
BLACK, WHITE, GREY = (20, 20, 20), (255, 255, 255), (120, 120, 120)
_ONSETS = "b c d f g h k l m n p r s t v w br ch cl dr fr gr pl pr st th tr".split()
_VOWELS = "a e i o u ea ou ai".split()
_CODAS = ["", "", "n", "r", "s", "t", "l", "nd", "st", "lm", "m"]


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font."""
    loaded = ImageFont.load_default(size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise TypeError("Pillow without FreeType cannot draw documents: install a wheel of Pillow")
    return loaded


def words(rng: random.Random, count: int) -> str:
    """Random pronounceable words."""
    return " ".join(
        "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.randrange(1, 4)))
        for _ in range(count)
    )


def date(rng: random.Random) -> str:
    """A random date."""
    return f"{rng.randrange(1, 29):02}.{rng.randrange(1, 13):02}.{rng.randrange(2015, 2027)}"


def color(rng: random.Random) -> Color:
    """A color that is neither black nor white."""
    return rng.randrange(20, 220), rng.randrange(20, 220), rng.randrange(20, 220)


def pale(rng: random.Random) -> Color:
    """A light color."""
    return rng.randrange(195, 245), rng.randrange(195, 245), rng.randrange(195, 245)


def write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], rng: random.Random, *, lines: int, width: int, size: int
) -> int:
    """Write lines of random words, the last one short; gives the y below them."""
    x, y = at
    for line in range(lines):
        text, limit = "", width * (rng.uniform(0.3, 0.9) if line == lines - 1 and lines > 1 else 1)
        while True:
            longer = f"{text} {words(rng, 1)}".strip()
            if font(size).getlength(longer) > limit:
                break
            text = longer
        pen.text((x, y), text, BLACK, font(size))
        y += round(size * 1.45)
    return y


def scribble(
    pen: ImageDraw.ImageDraw, at: Point, rng: random.Random, *, length: int, height: int, color: Color = (20, 30, 110)
) -> None:
    """Something like handwriting: loops of random height along a line."""
    points, x, phase = [], 0.0, rng.uniform(0, 6)
    while x < length:
        stroke = rng.uniform(0.3, 1.0) * height
        for step in range(8):
            turn = phase + step * math.pi / 4
            points.append((at[0] + x + 5 * math.cos(turn), at[1] + height * 0.6 - stroke * 0.6 * math.sin(turn)))
            x += 1.4
    pen.line(points, color, 3, joint="curve")


def qr(rng: random.Random, modules: int) -> Image.Image:
    """The modules of a QR code, a pixel each: finder, timing and alignment patterns, the rest random."""
    grid = np.array([[rng.random() < 0.5 for _ in range(modules)] for _ in range(modules)])
    grid[6, :], grid[:, 6] = np.arange(modules) % 2 == 0, np.arange(modules) % 2 == 0
    for row, column in ((0, 0), (0, modules - 7), (modules - 7, 0)):
        top, left = max(row - 1, 0), max(column - 1, 0)
        grid[top : row + 8, left : column + 8] = False
        grid[row : row + 7, column : column + 7] = True
        grid[row + 1 : row + 6, column + 1 : column + 6] = False
        grid[row + 2 : row + 5, column + 2 : column + 5] = True
    at = modules - 9
    grid[at : at + 5, at : at + 5] = True
    grid[at + 1 : at + 4, at + 1 : at + 4] = False
    grid[at + 2, at + 2] = True
    return Image.fromarray(np.where(grid, 0, 255).astype(np.uint8)).convert("RGB")


def framed(image: Image.Image, margin: int) -> Image.Image:
    """The image with a white margin."""
    page = Image.new("RGB", (image.width + 2 * margin, image.height + 2 * margin), WHITE)
    page.paste(image, (margin, margin))
    return page


def shape(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], radius: int, rng: random.Random, *, color: Color | None = None
) -> None:
    """A flat shape: disc, ring, box, star or polygon."""
    x, y = at
    fill = color or (rng.randrange(20, 240), rng.randrange(20, 240), rng.randrange(20, 240))
    kind = rng.randrange(5)
    if kind == 0:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill)
    elif kind == 1:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), None, fill, max(8, radius // 3))
    elif kind == 2:
        height = radius * rng.uniform(0.4, 1)
        pen.rectangle((x - radius, y - height, x + radius, y + height), fill)
    else:
        corners = rng.randrange(3, 8)
        start, inner = rng.uniform(0, 6), rng.uniform(0.35, 0.6) if kind == 4 else 1.0
        turns = range(corners * (2 if kind == 4 else 1))
        radii = [radius * (inner if turn % 2 and kind == 4 else 1) for turn in turns]
        angles = [start + turn * 2 * math.pi / len(turns) for turn in turns]
        pen.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)], fill)


def axes(rng: random.Random, size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A chart's page with title, axes, grid and numbers."""
    page = Image.new("RGB", size, WHITE)
    pen = ImageDraw.Draw(page)
    pen.text((110, 30), words(rng, 4).title(), BLACK, font(40))
    top = rng.choice((10, 50, 100, 500, 2000))
    for line in range(7):
        y = 740 - line * 100
        pen.line((110, y, size[0] - 70, y), (215, 215, 215), 2)
        pen.text((40, y - 12), str(top * line // 6), GREY, font(22))
    pen.line((110, 120, 110, 740), BLACK, 3)
    pen.line((110, 740, size[0] - 70, 740), BLACK, 3)
    return page, pen


def face(page: Image.Image, box: tuple[int, int, int, int], rng: random.Random) -> None:
    """A passport photo of a drawn face."""
    width, height = box[2] - box[0], box[3] - box[1]
    photo = Image.new("RGB", (width, height), pale(rng))
    pen = ImageDraw.Draw(photo)
    skin = (rng.randrange(120, 245), rng.randrange(95, 200), rng.randrange(70, 170))
    hair, x, y = color(rng), width // 2 + rng.randrange(-15, 15), height * 2 // 5
    wide, high = rng.randrange(75, 105), rng.randrange(105, 140)
    pen.ellipse((x - wide - 18, y - high - 30, x + wide + 18, y + high * rng.uniform(0.2, 1.1)), hair)
    pen.ellipse((x - wide * 1.7, y + high + 20, x + wide * 1.7, height + 160), color(rng))
    pen.ellipse((x - wide, y - high, x + wide, y + high), skin)
    apart, eyes = rng.randrange(32, 48), y - rng.randrange(5, 35)
    for side in (-apart, apart):
        pen.ellipse((x + side - 15, eyes - 9, x + side + 15, eyes + 9), WHITE)
        pen.ellipse((x + side - 7, eyes - 7, x + side + 7, eyes + 7), color(rng))
        pen.line((x + side - 18, eyes - 24, x + side + 18, eyes - 24 + rng.randrange(-7, 7)), hair, 6)
    pen.line((x, eyes + 15, x - rng.randrange(6, 18), y + 30, x + 8, y + 34), (90, 60, 50), 4)
    pen.arc((x - 40, y + 30, x + 40, y + rng.randrange(65, 90)), 20, 160, (150, 40, 50), 7)
    page.paste(photo.filter(ImageFilter.GaussianBlur(1.2)), box[:2])


def scene(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Something like a photo: hills, trees, houses and clouds with the texture of several scales of noise."""
    width, height = size
    page = Image.new("RGB", size, pale(rng))
    pen = ImageDraw.Draw(page)
    for depth in range(4):
        level, tone = height * (0.3 + 0.17 * depth), color(rng)
        tops = [(width * step / 9, level + rng.uniform(-0.12, 0.12) * height) for step in range(10)]
        pen.polygon([*tops, (width, height), (0, height)], tone)
        for _ in range(rng.randrange(3, 9)):
            x, y, r = rng.randrange(width), level + rng.uniform(0, 0.2) * height, rng.uniform(0.02, 0.09) * height
            if rng.random() < 0.5:
                pen.rectangle((x - r, y - r, x + r, y + r), color(rng))
                pen.polygon([(x - r * 1.2, y - r), (x, y - 2 * r), (x + r * 1.2, y - r)], color(rng))
            else:
                pen.rectangle((x - r / 6, y, x + r / 6, y + r), (90, 60, 40))
                pen.ellipse((x - r, y - r * 1.6, x + r, y + r * 0.4), color(rng))
    noise = np.random.default_rng(rng.randrange(2**32))
    texture = np.zeros((height, width), np.float32)
    for cells, strength in ((8, 22), (32, 16), (128, 12)):
        small = noise.standard_normal((max(2, cells * height // width), cells)).astype(np.float32)
        texture += strength * np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    values = np.asarray(page.filter(ImageFilter.GaussianBlur(1)), np.float32) + texture[..., None]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def noisy(image: Image.Image, rng: random.Random, *, level: float, paper: int) -> Image.Image:
    """The image with its white turned to `paper` and with Gaussian noise of this standard deviation."""
    noise = np.random.default_rng(rng.randrange(2**32))
    values = np.asarray(image, np.float32) * (paper / 255)
    values += level * noise.standard_normal((image.height, image.width, 1), np.float32)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
