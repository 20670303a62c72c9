"""Screenshot edits: the image in a photo viewer, in a post, in a window, with their user interface."""

from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from lookalike.evaluation.random_source import Color, RandomSource


class _Look(NamedTuple):
    """The colors of a screen."""

    ground: Color
    bar: Color
    ink: Color
    faint: Color


_DARK = _Look((12, 12, 14), (24, 24, 27), (235, 235, 240), (120, 120, 128))
_LIGHT = _Look((255, 255, 255), (246, 246, 248), (28, 28, 30), (150, 150, 158))
_BLUE: Color = (10, 120, 250)


def viewer(image: Image.Image, rng: RandomSource) -> Image.Image:
    """A phone's photo viewer, in the orientation of the image: status bar above, tools below, the image between.

    The screen is 9:16 or 16:9, 720 pixels across its short side; the image is fitted into it whole.
    """
    look = rng.choice((_DARK, _LIGHT))
    size = (720, 1280) if image.height > image.width else (1280, 720)
    screen = Image.new("RGB", size, look.ground)
    pen = ImageDraw.Draw(screen)
    top, bottom = 56, 84
    _fit(screen, image, (0, top, size[0], size[1] - bottom))
    pen.rectangle((0, 0, size[0], top - 1), fill=look.bar)
    _status(pen, (0, 0, size[0], top), look, rng)
    pen.rectangle((0, size[1] - bottom, size[0], size[1]), fill=look.bar)
    for step in range(4):
        _icon(pen, size[0] * (step + 0.5) / 4, size[1] - bottom / 2, 17, step, look.ink)
    return screen


def post(image: Image.Image, rng: RandomSource) -> Image.Image:
    """A post in a phone's feed: user above; buttons, text and the start of the next post below.

    The screen is 720 x 1280 pixels; the image spans its width (a tall one is fitted into 800 rows).
    """
    look = rng.choice((_DARK, _LIGHT))
    screen = Image.new("RGB", (720, 1280), look.ground)
    pen = ImageDraw.Draw(screen)
    _status(pen, (0, 0, 720, 56), look, rng)
    pen.line((0, 56, 720, 56), fill=look.faint)
    height = min(800, max(1, round(720 * image.height / image.width)))
    top = 150
    pen.ellipse((24, 74, 84, 134), fill=rng.color())
    pen.text((104, 80), rng.choice(("maria.k", "the_wanderer", "jo & sam")), look.ink, ImageFont.load_default(26))
    pen.text((104, 110), "2 hours ago", look.faint, ImageFont.load_default(20))
    _fit(screen, image, (0, top, 720, top + height))
    below = top + height + 44
    for step in range(3):
        _icon(pen, 50 + 72 * step, below, 18, step, look.ink)
    pen.text((24, below + 40), f"{rng.randrange(12, 980)} likes", look.ink, ImageFont.load_default(26))
    _lines(pen, (24, below + 84, 690, 1200), look.faint, rng, rows=3)
    if below + 240 < 1280:
        pen.ellipse((24, below + 230, 84, below + 290), fill=rng.color())
        screen.paste(rng.image((720, 1280)), (0, below + 310))
    return screen


def window(image: Image.Image, rng: RandomSource) -> Image.Image:
    """A desktop of 1280 x 800 pixels: the image in a window with a title and a list beside it, a bar below."""
    look = rng.choice((_DARK, _LIGHT))
    screen = rng.image((1280, 800))
    pen = ImageDraw.Draw(screen)
    left, top, right, bottom = 70, 40, 1210, 720
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=look.faint)
    pen.rectangle((left, top, right, bottom), fill=look.ground)
    pen.rectangle((left, top, right, top + 38), fill=look.bar)
    for step, color in enumerate(((255, 95, 87), (254, 188, 46), (40, 200, 64))):
        pen.ellipse((left + 16 + 24 * step, top + 12, left + 30 + 24 * step, top + 26), fill=color)
    pen.text((600, top + 9), "IMG_2041.jpg", look.ink, ImageFont.load_default(18))
    pen.rectangle((left, top + 39, left + 190, bottom), fill=look.bar)
    _lines(pen, (left + 18, top + 66, left + 170, bottom), look.faint, rng, rows=9)
    _fit(screen, image, (left + 200, top + 48, right - 10, bottom - 10))
    pen.rectangle((0, 752, 1280, 800), fill=_DARK.bar)
    for step in range(7):
        pen.rounded_rectangle((420 + 64 * step, 758, 456 + 64 * step, 794), 9, fill=rng.color())
    pen.text((1190, 764), _time(rng), _DARK.ink, ImageFont.load_default(20))
    return screen


def _fit(screen: Image.Image, image: Image.Image, box: tuple[int, int, int, int]) -> None:
    """Paste the image, whole and as large as fits, into the middle of a box."""
    left, top, right, bottom = box
    small = ImageOps.contain(image, (right - left, bottom - top), Image.Resampling.LANCZOS)
    screen.paste(small, ((left + right - small.width) // 2, (top + bottom - small.height) // 2))


def _status(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], look: _Look, rng: RandomSource) -> None:
    """The time on the left, signal and battery on the right."""
    left, top, right, bottom = box
    middle = (top + bottom) // 2
    pen.text((left + 28, middle), _time(rng), look.ink, ImageFont.load_default(26), anchor="lm")
    for step in range(4):
        x = right - 150 + 11 * step
        pen.rectangle((x, middle + 8 - 5 * step, x + 6, middle + 10), fill=look.ink)
    pen.rounded_rectangle((right - 84, middle - 10, right - 36, middle + 10), 5, outline=look.ink, width=2)
    pen.rectangle((right - 80, middle - 6, right - 80 + rng.randrange(8, 40), middle + 6), fill=look.ink)


def _icon(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, kind: int, ink: Color) -> None:
    """One of four simple icons: circle, bubble, arrow, bin."""
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == 0:
        pen.ellipse(box, outline=ink, width=3)
    elif kind == 1:
        pen.rounded_rectangle((x - radius, y - radius * 0.8, x + radius, y + radius * 0.6), 8, outline=ink, width=3)
    elif kind == 2:
        pen.polygon([(x - radius, y - radius), (x + radius, y), (x - radius, y + radius)], outline=_BLUE, width=3)
    else:
        pen.rectangle((x - radius * 0.7, y - radius * 0.7, x + radius * 0.7, y + radius), outline=ink, width=3)


def _lines(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], ink: Color, rng: RandomSource, *, rows: int
) -> None:
    """Grey bars in place of small text."""
    left, top, right, bottom = box
    for row in range(rows):
        y = top + 34 * row
        if y + 12 < bottom:
            pen.rounded_rectangle((left, y, left + (right - left) * rng.uniform(0.4, 1), y + 12), 6, fill=ink)


def _time(rng: RandomSource) -> str:
    return f"{rng.randrange(7, 23)}:{rng.randrange(60):02}"
