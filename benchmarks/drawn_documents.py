"""Drawn documents: letters, invoices, chats, programs, codes, charts, slides, icons, receipts and tables.

Each seed gives another one. They are hard negatives: different ones of a kind differ in little but what they say.

`vgg16-copy` was fitted on these, so they must not change. `benchmarks.documents` draws documents in other ways, so that
the figures of verification are not of drawings that the features were fitted on.
"""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = (
    "the of and to invoice total amount date order number customer street city please find enclosed letter regarding "
    "meeting project budget report quarter revenue team plan next week hello thanks best regards signed page item "
    "price tax quantity return value function class error import data list index user server open close file name size"
).split()
WHITE, BLACK = (255, 255, 255), (20, 20, 20)


class _Pen:
    """A canvas, and random words in Pillow's own font."""

    def __init__(self, rng: random.Random, size: tuple[int, int], ground: tuple[int, int, int] = WHITE) -> None:
        self.rng, self.image = rng, Image.new("RGB", size, ground)
        self.draw = ImageDraw.Draw(self.image)

    def words(self, count: int) -> str:
        return " ".join(self.rng.choice(WORDS) for _ in range(count))

    def write(self, place: tuple[float, float], text: str, size: int, ink: tuple[int, int, int] = BLACK) -> None:
        self.draw.text(place, text, fill=ink, font=ImageFont.load_default(size))

    def color(self, low: int = 0, high: int = 255) -> tuple[int, int, int]:
        return self.rng.randint(low, high), self.rng.randint(low, high), self.rng.randint(low, high)


def _letter(rng: random.Random) -> Image.Image:
    pen, y = _Pen(rng, (850, 1100)), 220
    pen.write((80, 80), pen.words(3).title(), 30)
    pen.write((560, 160), f"{rng.randint(1, 28)}.{rng.randint(1, 12)}.20{rng.randint(10, 25)}", 20)
    for _ in range(rng.randint(3, 5)):
        for _ in range(rng.randint(2, 7)):
            pen.write((80, y), pen.words(9), 19)
            y += 27
        y += 20
    return pen.image


def _invoice(rng: random.Random) -> Image.Image:
    pen, y = _Pen(rng, (850, 1100)), 260
    pen.draw.rectangle((60, 60, 790, 130), fill=pen.color(20, 150))
    pen.write((80, 75), "INVOICE", 40, WHITE)
    pen.write((80, 160), pen.words(5), 18)
    pen.write((80, 190), f"No. {rng.randint(10000, 99999)}", 18)
    for _ in range(rng.randint(5, 16)):
        pen.draw.line((60, y, 790, y), fill=(180, 180, 180))
        pen.write((70, y + 6), pen.words(3), 18)
        pen.write((650, y + 6), f"{rng.uniform(1, 9999):.2f}", 18)
        y += 38
    pen.write((540, y + 20), f"Total {rng.randint(100, 99999)}.00", 26)
    return pen.image


def _chat(rng: random.Random) -> Image.Image:
    pen, y = _Pen(rng, (540, 1000), rng.choice(((236, 229, 221), (20, 24, 30)))), 90
    pen.draw.rectangle((0, 0, 540, 70), fill=(7, 94, 84))
    pen.write((70, 20), pen.words(2).title(), 24, WHITE)
    while y < 920:
        lines, width, mine = rng.randint(1, 3), rng.randint(180, 400), rng.random() < 0.5
        x = 520 - width if mine else 20
        pen.draw.rounded_rectangle((x, y, x + width, y + lines * 26 + 20), 12, fill=(220, 248, 198) if mine else WHITE)
        for line in range(lines):
            pen.write((x + 12, y + 8 + line * 26), pen.words(width // 70 + 1)[: width // 10], 18)
        y += lines * 26 + 36
    return pen.image


def _program(rng: random.Random) -> Image.Image:
    dark = rng.random() < 0.6
    inks = [(86, 156, 214), (206, 145, 120), (106, 153, 85), (220, 220, 170)]
    if not dark:
        inks = [(0, 0, 200), (160, 20, 20), (0, 120, 0), (60, 60, 60)]
    pen, indent = _Pen(rng, (1000, 700), (30, 30, 30) if dark else WHITE), 0
    for y in range(20, 680, 22):
        indent = max(0, min(6, indent + rng.choice((-1, 0, 0, 1))))
        x = 50 + indent * 32
        for _ in range(rng.randint(0, 6)):
            text = rng.choice(WORDS) + rng.choice(("(", ")", " =", ":", ".", ""))
            pen.write((x, y), text, 16, rng.choice(inks))
            x += len(text) * 9 + 8
    return pen.image


def _code(rng: random.Random) -> Image.Image:
    """A square of random modules with the three finder patterns of a QR code; it encodes nothing."""
    side = rng.choice((25, 29, 33, 37))
    dark = np.array([[rng.random() < 0.5 for _ in range(side)] for _ in range(side)])
    for row, column in ((0, 0), (0, side - 7), (side - 7, 0)):
        dark[row : row + 7, column : column + 7] = True
        dark[row + 1 : row + 6, column + 1 : column + 6] = False
        dark[row + 2 : row + 5, column + 2 : column + 5] = True
    light = np.pad(~dark, 4, constant_values=True)
    return Image.fromarray(np.kron(light, np.ones((12, 12))).astype(np.uint8) * 255).convert("RGB")


def _chart(rng: random.Random) -> Image.Image:
    pen = _Pen(rng, (900, 600))
    pen.write((250, 15), pen.words(4).title(), 26)
    pen.draw.line((80, 60, 80, 540, 860, 540), fill=BLACK, width=2)
    if rng.random() < 0.5:
        bars, ink = rng.randint(4, 12), pen.color(20, 200)
        for bar in range(bars):
            left = 100 + bar * 740 / bars
            pen.draw.rectangle((left, 540 - rng.randint(30, 450), left + 500 / bars, 540), fill=ink)
    else:
        for _ in range(rng.randint(1, 4)):
            y, points = rng.randint(150, 450), []
            for step in range(40):
                y = min(530, max(70, y + rng.randint(-40, 40)))
                points.append((80 + step * 19, y))
            pen.draw.line(points, fill=pen.color(0, 200), width=3)
    for mark in range(6):
        pen.write((30, 530 - mark * 90), str(mark * rng.randint(1, 20)), 16)
    return pen.image


def _slide(rng: random.Random) -> Image.Image:
    ground = rng.choice((WHITE, (20, 40, 90), (245, 240, 230)))
    ink = WHITE if ground[0] < 99 else BLACK
    pen = _Pen(rng, (1280, 720), ground)
    pen.write((80, 60), pen.words(4).title(), 52, ink)
    for line in range(rng.randint(2, 6)):
        pen.write((110, 190 + line * 75), "- " + pen.words(rng.randint(3, 8)), 30, ink)
    if rng.random() < 0.5:
        pen.draw.rectangle((820, 200, 1200, 600), fill=pen.color())
    return pen.image


def _icon(rng: random.Random) -> Image.Image:
    pen = _Pen(rng, (256, 256), rng.choice((WHITE, (240, 240, 240), (30, 30, 60))))
    ink = pen.color()
    for _ in range(rng.randint(1, 4)):
        x, y, width = rng.randint(20, 150), rng.randint(20, 150), rng.randint(30, 100)
        shape = rng.choice((pen.draw.ellipse, pen.draw.rectangle))
        shape((x, y, x + width, y + width), fill=ink if rng.random() < 0.6 else None, outline=ink, width=10)
    return pen.image


def _receipt(rng: random.Random) -> Image.Image:
    pen, y = _Pen(rng, (400, 1000), (250, 250, 245)), 110
    pen.write((90, 30), pen.words(2).upper(), 28)
    for _ in range(rng.randint(8, 28)):
        pen.write((30, y), pen.words(2), 17)
        pen.write((300, y), f"{rng.uniform(0, 99):.2f}", 17)
        y += 28
    pen.write((30, y + 20), f"TOTAL {rng.uniform(9, 300):.2f}", 24)
    return pen.image


def _table(rng: random.Random) -> Image.Image:
    pen, columns = _Pen(rng, (1000, 700)), rng.randint(4, 8)
    width = 940 // columns
    for row in range(22):
        for column in range(columns):
            x, y = 30 + column * width, 30 + row * 29
            head = row == 0
            pen.draw.rectangle(
                (x, y, x + width, y + 29), fill=(200, 210, 230) if head else None, outline=(190, 190, 190)
            )
            text = rng.choice(WORDS) if head or column == 0 else str(rng.randint(0, 99999))
            pen.write((x + 5, y + 5), text, 15)
    return pen.image


KINDS: dict[str, Callable[[random.Random], Image.Image]] = {
    "letter": _letter,
    "invoice": _invoice,
    "chat": _chat,
    "program": _program,
    "code": _code,
    "chart": _chart,
    "slide": _slide,
    "icon": _icon,
    "receipt": _receipt,
    "table": _table,
}


def draw(kind: str, seed: int) -> Image.Image:
    """The document of a kind and a seed, RGB."""
    return KINDS[kind](random.Random(f"{kind} {seed}"))
