"""Overlay edits: text, watermarks, stickers, captions, collages.

Lettering uses the font that comes with Pillow, so a copy is the same on every machine.
"""

from PIL import Image, ImageChops, ImageDraw, ImageFont

from lookalike.evaluation.geometry import WHITE
from lookalike.evaluation.random_source import Color, RandomSource, with_options

_CAPTIONS = (
    "when the code works the first time",
    "nobody: absolutely nobody:",
    "me on a Monday morning",
    "tag a friend who needs this",
    "this is why we can't have nice things",
)
_GREETINGS = ("Wish you were here!", "HAPPY BIRTHDAY", "Best day ever", "SALE", "Summer 2019")
_INK: Color = (28, 28, 30)
_YELLOW: Color = (255, 205, 50)


def watermark(image: Image.Image, rng: RandomSource) -> Image.Image:
    """A translucent name across the whole image, slanted and repeated, as stock photo agencies do."""
    size = max(8, min(image.size) // 9)
    mark = _text_line("lookalike.example", size, WHITE)
    layer = Image.new("RGBA", (image.width + image.height,) * 2)
    for row, y in enumerate(range(0, layer.height, size * 4)):
        for x in range(-(row % 2) * mark.width // 2, layer.width, mark.width + size * 3):
            layer.paste(mark, (x, y))
    layer = layer.rotate(30, Image.Resampling.BILINEAR)
    left, top = (layer.width - image.width) // 2, (layer.height - image.height) // 2
    layer = layer.crop((left, top, left + image.width, top + image.height))
    layer.putalpha(layer.getchannel("A").point([value * 45 // 100 for value in range(256)]))
    return _overlay(image, layer, (0, 0))


def logo(image: Image.Image, rng: RandomSource) -> Image.Image:
    """A translucent round logo with a name, in a random corner."""
    side = max(6, min(image.size) // 4)
    badge = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(badge)
    pen.ellipse((0, 0, side - 1, side - 1), fill=(*rng.color(), 190), outline=(*WHITE, 230), width=max(1, side // 20))
    name = _text_line("LOOK", side // 4, WHITE)
    badge.alpha_composite(name, (max(0, (side - name.width) // 2), max(0, (side - name.height) // 2)))
    gap = side // 6
    x = rng.choice((gap, image.width - side - gap))
    return _overlay(image, badge, (x, rng.choice((gap, image.height - side - gap))))


@with_options
def caption(image: Image.Image, rng: RandomSource, *, above: bool) -> Image.Image:
    """A white band with one line of text, as on a meme; it adds about a sixth of the height."""
    band = max(10, round(image.height * 0.17))
    canvas = Image.new("RGB", (image.width, image.height + band), WHITE)
    canvas.paste(image, (0, band if above else 0))
    text = _fitted(rng.choice(_CAPTIONS), image.width * 0.92, band * 0.5, _INK)
    y = 0 if above else image.height
    return _overlay(canvas, text, ((image.width - text.width) // 2, y + (band - text.height) // 2))


def meme(image: Image.Image, rng: RandomSource) -> Image.Image:
    """Two lines of white capitals with a black outline, over the top and the bottom of the image."""
    result = image
    for upper, line in zip((True, False), rng.sample(_CAPTIONS, 2), strict=True):
        text = _fitted(line.upper(), image.width * 0.94, image.height * 0.13, WHITE, rim=True)
        y = round(image.height * 0.02) if upper else image.height - text.height - round(image.height * 0.02)
        result = _overlay(result, text, ((image.width - text.width) // 2, y))
    return result


def text_overlay(image: Image.Image, rng: RandomSource) -> Image.Image:
    """Large coloured words across the middle."""
    text = _fitted(rng.choice(_GREETINGS), image.width * 0.85, image.height * 0.3, rng.color(), rim=True)
    y = round((image.height - text.height) * rng.uniform(0.3, 0.7))
    return _overlay(image, text, ((image.width - text.width) // 2, y))


def stickers(image: Image.Image, rng: RandomSource) -> Image.Image:
    """Three smileys, each about a quarter of the shorter side, anywhere."""
    result = image
    for _ in range(3):
        side = max(6, round(min(image.size) * rng.uniform(0.18, 0.3)))
        face = _smiley(side).rotate(rng.uniform(-30, 30), Image.Resampling.BICUBIC)
        place = (rng.randint(0, max(0, image.width - side)), rng.randint(0, max(0, image.height - side)))
        result = _overlay(result, face, place)
    return result


def collage(image: Image.Image, rng: RandomSource) -> Image.Image:
    """Four images of one size, two by two with white gaps; the copy is one of them, at random."""
    gap = max(1, max(image.size) // 60)
    canvas = Image.new("RGB", (2 * image.width + 3 * gap, 2 * image.height + 3 * gap), WHITE)
    ours = rng.randrange(4)
    for place in range(4):
        shown = image if place == ours else rng.image(image.size)
        canvas.paste(shown, (gap + place % 2 * (image.width + gap), gap + place // 2 * (image.height + gap)))
    return canvas


@with_options
def pasted(image: Image.Image, rng: RandomSource, area: float) -> Image.Image:
    """Paste it, whole, somewhere into another image of the same shape, of which it takes this share of the area."""
    size = (max(1, round(image.width / area**0.5)), max(1, round(image.height / area**0.5)))
    canvas = rng.image(size)
    canvas.paste(image, (rng.randint(0, size[0] - image.width), rng.randint(0, size[1] - image.height)))
    return canvas


def _text_line(text: str, size: int, color: Color, *, rim: bool = False) -> Image.Image:
    """One line of text on a transparent ground, cut to its ink; `size` is the height of the font in pixels."""
    font = ImageFont.load_default(max(4, size))
    edge = max(1, size // 14) if rim else 0
    left, top, right, bottom = font.getbbox(text, stroke_width=edge)
    layer = Image.new("RGBA", (max(1, round(right - left)), max(1, round(bottom - top))))
    dark = (0, 0, 0, 255) if rim else None
    ImageDraw.Draw(layer).text((-left, -top), text, (*color, 255), font, stroke_width=edge, stroke_fill=dark)
    return layer


def _fitted(text: str, width: float, height: float, color: Color, *, rim: bool = False) -> Image.Image:
    """A line of text as large as fits into this box."""
    size = max(4, int(height))
    line = _text_line(text, size, color, rim=rim)
    if line.width <= width:
        return line
    return _text_line(text, max(4, int(size * width / line.width)), color, rim=rim)


def _smiley(side: int) -> Image.Image:
    """A round yellow face, drawn large and reduced for smooth edges."""
    big = Image.new("RGBA", (240, 240))
    pen = ImageDraw.Draw(big)
    pen.ellipse((8, 8, 232, 232), fill=(*_YELLOW, 255), outline=(200, 140, 20, 255), width=6)
    for x in (80, 160):
        pen.ellipse((x - 16, 70, x + 16, 118), fill=(*_INK, 255))
    pen.chord((60, 90, 180, 200), 10, 170, fill=(150, 40, 30, 255))
    return big.resize((side, side), Image.Resampling.LANCZOS)


def _overlay(image: Image.Image, layer: Image.Image, place: tuple[int, int]) -> Image.Image:
    """Composite an RGBA layer over an image, cropped to its size."""
    full = Image.new("RGBA", image.size)
    full.paste(layer, place)
    return Image.composite(full.convert("RGB"), image, ImageChops.duplicate(full.getchannel("A")))
