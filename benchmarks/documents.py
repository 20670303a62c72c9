"""Drawn documents: 34 families of letters, invoices, chats, codes, icons, charts and the like, each drawn from a seed.

    draw("invoice", 7)            # PIL image, RGB, 600 to 1,600 pixels a side
    python -m benchmarks.documents OUT     writes two of each family as PNG

Images of one family are different documents of one kind. In the families of `TEMPLATES`, seeds of one block of
`BLOCK` (0 to 9, 10 to 19, ...) share their template (form, slide master, meme photo, scene); only the filled-in parts
differ. Only Pillow's own font is used. The same version of Pillow and numpy draws the same image.
"""

import argparse
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks import document_parts as parts
from benchmarks.document_parts import BLACK, GREY, WHITE

BLOCK = 10
"""Consecutive seeds that share a template."""
TEMPLATES = frozenset(
    [
        *("invoice", "monthly_invoice", "dashboard", "slide", "form", "id_card", "meme", "burst", "ticket"),
        *("calendar", "web_page", "product", "logo_colors", "receipt"),
    ]
)
"""Families whose images share a template within a block of seeds."""
FLAT = frozenset(["white_page", "wallpaper"])
"""Families without texture, paper and a smooth gradient: nothing can be compared."""

Drawer = Callable[[random.Random, random.Random], Image.Image]
"""Draws an image from two sources of random numbers: of the document and of its template."""


def draw(family: str, seed: int) -> Image.Image:
    """The document of this family and seed, as an RGB image."""
    return FAMILIES[family](random.Random(f"{family} {seed}"), random.Random(f"{family} template {seed // BLOCK}"))


def letter(rng: random.Random, template: random.Random) -> Image.Image:
    """A typed letter, A4."""
    page = Image.new("RGB", (1000, 1414), WHITE)
    pen = ImageDraw.Draw(page)
    parts.write(pen, (110, 100), rng, lines=4, width=300, size=22)
    parts.write(pen, (110, 290), rng, lines=1, width=220, size=22)
    pen.text((110, 370), parts.words(rng, 5), BLACK, parts.font(26))
    y = 430
    for _ in range(rng.randrange(3, 6)):
        y = parts.write(pen, (110, y), rng, lines=rng.randrange(3, 8), width=780, size=22) + 26
    pen.text((110, y + 20), parts.words(rng, 2), BLACK, parts.font(22))
    parts.scribble(pen, (110, y + 60), rng, length=190, height=40)
    return page


def scanned_letter(rng: random.Random, template: random.Random) -> Image.Image:
    """A letter from a scanner: a little crooked, greyish, with noise."""
    page = letter(rng, template).rotate(rng.uniform(-1.2, 1.2), Image.Resampling.BICUBIC, fillcolor=WHITE)
    return parts.noisy(page.filter(ImageFilter.GaussianBlur(0.8)), rng, level=6, paper=rng.randrange(225, 248))


def invoice(rng: random.Random, template: random.Random) -> Image.Image:
    """An invoice of one company: letterhead, table and footer are the template's."""
    page = Image.new("RGB", (1000, 1414), WHITE)
    pen = ImageDraw.Draw(page)
    color = parts.color(template)
    pen.rectangle((0, 0, 1000, 110), color)
    pen.text((60, 28), parts.words(template, 2).upper(), WHITE, parts.font(44))
    parts.write(pen, (660, 150), template, lines=4, width=280, size=18)
    parts.write(pen, (60, 180), rng, lines=4, width=280, size=22)
    pen.text((60, 340), f"INVOICE No. {rng.randrange(10**6):06}", BLACK, parts.font(32))
    pen.text((660, 345), parts.date(rng), BLACK, parts.font(22))
    pen.rectangle((60, 410, 940, 450), color)
    for x, title in ((70, "Item"), (560, "Qty"), (680, "Price"), (820, "Total")):
        pen.text((x, 418), title, WHITE, parts.font(20))
    total, y = 0, 465
    for _ in range(rng.randrange(4, 9)):
        count, price = rng.randrange(1, 20), rng.randrange(100, 90000)
        total += count * price
        for x, text in ((70, parts.words(rng, 3)), (560, str(count)), (680, f"{price / 100:.2f}")):
            pen.text((x, y), text, BLACK, parts.font(20))
        pen.text((820, y), f"{count * price / 100:.2f}", BLACK, parts.font(20))
        pen.line((60, y + 32, 940, y + 32), GREY)
        y += 40
    pen.text((680, 860), f"Sum {total / 100:.2f}", BLACK, parts.font(28))
    parts.write(pen, (60, 1280), template, lines=3, width=880, size=16)
    return page


def monthly_invoice(rng: random.Random, template: random.Random) -> Image.Image:
    """The same invoice month after month: only its number, its date and its amount differ."""
    page = invoice(random.Random(template.random()), template)
    pen = ImageDraw.Draw(page)
    pen.rectangle((60, 335, 940, 400), WHITE)
    pen.text((60, 340), f"INVOICE No. {rng.randrange(10**6):06}", BLACK, parts.font(32))
    pen.text((660, 345), parts.date(rng), BLACK, parts.font(22))
    pen.rectangle((660, 850, 940, 900), WHITE)
    pen.text((680, 860), f"Sum {rng.randrange(10000, 900000) / 100:.2f}", BLACK, parts.font(28))
    return page


def receipt(rng: random.Random, template: random.Random) -> Image.Image:
    """A till receipt: narrow, thin small text, one shop a template."""
    page = Image.new("RGB", (640, 1500), (248, 247, 244))
    pen = ImageDraw.Draw(page)
    pen.text((200, 50), parts.words(template, 2).upper(), BLACK, parts.font(38))
    parts.write(pen, (180, 110), template, lines=3, width=300, size=18)
    y, total = 230, 0
    for _ in range(rng.randrange(12, 28)):
        price = rng.randrange(50, 4000)
        total += price
        pen.text((60, y), parts.words(rng, 2), BLACK, parts.font(19))
        pen.text((500, y), f"{price / 100:6.2f}", BLACK, parts.font(19))
        y += 30
    pen.line((60, y + 8, 580, y + 8), BLACK)
    pen.text((60, y + 20), f"TOTAL {total / 100:.2f}", BLACK, parts.font(30))
    pen.text((60, y + 70), f"{parts.date(rng)}  {rng.randrange(24):02}:{rng.randrange(60):02}", BLACK, parts.font(19))
    parts.write(pen, (150, y + 120), template, lines=2, width=340, size=18)
    return page


def chat(rng: random.Random, template: random.Random) -> Image.Image:
    """A chat on a phone: bubbles left and right."""
    page = Image.new("RGB", (900, 1600), (236, 229, 221))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 900, 130), (7, 94, 84))
    pen.ellipse((30, 35, 100, 105), parts.color(rng))
    pen.text((130, 48), parts.words(rng, 2).title(), WHITE, parts.font(34))
    y = 170
    while y < 1430:
        lines, mine = rng.randrange(1, 5), rng.random() < 0.5
        width = rng.randrange(280, 560)
        x = 900 - width - 40 if mine else 40
        box = (x, y, x + width, y + lines * 38 + 40)
        pen.rounded_rectangle(box, 18, (220, 248, 198) if mine else WHITE)
        parts.write(pen, (x + 20, y + 18), rng, lines=lines, width=width - 40, size=26)
        y += lines * 38 + 64
    pen.rounded_rectangle((30, 1510, 780, 1575), 30, WHITE)
    return page


def slide(rng: random.Random, template: random.Random) -> Image.Image:
    """A slide: the master is the template's."""
    page = Image.new("RGB", (1600, 900), WHITE)
    pen = ImageDraw.Draw(page)
    color = parts.color(template)
    pen.rectangle((0, 0, 1600, 40), color)
    pen.rectangle((0, 840, 1600, 900), color)
    pen.polygon([(1500, 60), (1560, 160), (1440, 160)], parts.color(template))
    pen.text((60, 852), parts.words(template, 3), WHITE, parts.font(26))
    pen.text((100, 90), parts.words(rng, 4).title(), color, parts.font(64))
    for line in range(rng.randrange(3, 7)):
        y = 250 + line * 90
        pen.ellipse((110, y + 12, 130, y + 32), color)
        pen.text((160, y), parts.words(rng, rng.randrange(4, 8)), BLACK, parts.font(40))
    return page


def code(rng: random.Random, template: random.Random) -> Image.Image:
    """Source code in a dark editor."""
    page = Image.new("RGB", (1400, 1000), (30, 30, 30))
    pen = ImageDraw.Draw(page)
    palette = [(86, 156, 214), (220, 220, 170), (206, 145, 120), (212, 212, 212), (106, 153, 85), (197, 134, 192)]
    indent = 0
    for line in range(38):
        y = 20 + line * 25
        pen.text((14, y), f"{line + 1:3}", (90, 90, 90), parts.font(18))
        indent = max(0, min(5, indent + rng.choice((-1, 0, 0, 1))))
        if rng.random() < 0.1:
            continue
        x = 70 + indent * 40
        for _ in range(rng.randrange(2, 8)):
            text = rng.choice(("{}(", "{} =", "{},", "{}", "{}.", "return {}", "if {}:")).format(parts.words(rng, 1))
            pen.text((x, y), text, rng.choice(palette), parts.font(18))
            x += round(parts.font(18).getlength(text)) + 8
    return page


def qr_code(rng: random.Random, template: random.Random) -> Image.Image:
    """A QR code: position, timing and alignment patterns of version 4, random modules for the rest."""
    return parts.framed(parts.qr(rng, modules=33).resize((924, 924), Image.Resampling.NEAREST), 84)


def barcode(rng: random.Random, template: random.Random) -> Image.Image:
    """A product's bar code with its digits."""
    page = Image.new("RGB", (1000, 640), WHITE)
    pen = ImageDraw.Draw(page)
    x = 80
    while x < 910:
        bar = rng.choice((7, 14, 21))
        pen.rectangle((x, 60, x + bar - 1, 520), BLACK)
        x += bar + rng.choice((7, 14, 21))
    pen.text((180, 540), " ".join(str(rng.randrange(10)) for _ in range(13)), BLACK, parts.font(52))
    return page


def icon(rng: random.Random, template: random.Random) -> Image.Image:
    """An app's icon: a few flat shapes on a rounded square."""
    page = Image.new("RGB", (1024, 1024), WHITE)
    pen = ImageDraw.Draw(page)
    pen.rounded_rectangle((60, 60, 964, 964), 200, parts.color(rng))
    for _ in range(rng.randrange(2, 5)):
        parts.shape(pen, (rng.randrange(300, 724), rng.randrange(300, 724)), rng.randrange(90, 280), rng)
    return page


def logo(rng: random.Random, template: random.Random) -> Image.Image:
    """A company's logo: a sign and a name."""
    page = Image.new("RGB", (1200, 700), WHITE)
    pen = ImageDraw.Draw(page)
    color = parts.color(rng)
    for _ in range(rng.randrange(2, 4)):
        parts.shape(pen, (rng.randrange(450, 750), rng.randrange(150, 330)), rng.randrange(60, 170), rng)
    name = parts.words(rng, 1).upper()
    pen.text((600 - parts.font(110).getlength(name) / 2, 500), name, color, parts.font(110))
    return page


def logo_colors(rng: random.Random, template: random.Random) -> Image.Image:
    """One logo in other colors: shapes and name are the template's."""
    page = Image.new("RGB", (1200, 700), parts.color(rng))
    pen = ImageDraw.Draw(page)
    centers = [(template.randrange(450, 750), template.randrange(150, 330)) for _ in range(3)]
    radii = [template.randrange(60, 170) for _ in centers]
    kinds = [template.randrange(2**30) for _ in centers]
    for center, radius, kind in zip(centers, radii, kinds, strict=True):
        parts.shape(pen, center, radius, random.Random(kind), color=parts.color(rng))
    name = parts.words(template, 1).upper()
    pen.text((600 - parts.font(110).getlength(name) / 2, 500), name, parts.color(rng), parts.font(110))
    return page


def line_chart(rng: random.Random, template: random.Random) -> Image.Image:
    """A line chart with axes, grid and legend."""
    page, pen = parts.axes(rng, (1300, 850))
    for _ in range(rng.randrange(1, 4)):
        color, y = parts.color(rng), rng.uniform(200, 600)
        points = []
        for x in range(110, 1230, 20):
            y = min(720.0, max(120.0, y + rng.gauss(0, 35)))
            points.append((x, y))
        pen.line(points, color, 5, joint="curve")
    return page


def bar_chart(rng: random.Random, template: random.Random) -> Image.Image:
    """A bar chart with axes, grid and labels."""
    page, pen = parts.axes(rng, (1300, 850))
    count, color = rng.randrange(5, 14), parts.color(rng)
    width = 1100 / count
    for bar in range(count):
        x = 115 + bar * width
        pen.rectangle((x + width * 0.15, rng.randrange(130, 700), x + width * 0.85, 740), color)
        pen.text((x + width * 0.2, 755), parts.words(rng, 1)[:5], BLACK, parts.font(20))
    return page


def pie_chart(rng: random.Random, template: random.Random) -> Image.Image:
    """A pie chart with its legend."""
    page = Image.new("RGB", (1200, 900), WHITE)
    pen = ImageDraw.Draw(page)
    pen.text((80, 50), parts.words(rng, 4).title(), BLACK, parts.font(42))
    shares = [rng.uniform(0.5, 3) for _ in range(rng.randrange(3, 8))]
    start = rng.uniform(0, 360)
    for row, share in enumerate(shares):
        end, color = start + 360 * share / sum(shares), parts.color(rng)
        pen.pieslice((100, 160, 760, 820), start, end, color, WHITE, 3)
        pen.rectangle((850, 220 + row * 60, 885, 255 + row * 60), color)
        pen.text((905, 222 + row * 60), parts.words(rng, 2), BLACK, parts.font(26))
        start = end
    return page


def form(rng: random.Random, template: random.Random) -> Image.Image:
    """A paper form: its printed labels and boxes are the template's, the handwriting is not."""
    page = Image.new("RGB", (1000, 1414), WHITE)
    pen = ImageDraw.Draw(page)
    pen.text((80, 60), parts.words(template, 4).title(), BLACK, parts.font(40))
    parts.write(pen, (80, 130), template, lines=3, width=840, size=18)
    for row in range(12):
        y = 240 + row * 88
        split = template.choice((1, 2))
        for column in range(split):
            x = 80 + column * 430
            width = 840 if split == 1 else 410
            pen.rectangle((x, y, x + width, y + 72), outline=GREY, width=2)
            pen.text((x + 8, y + 4), parts.words(template, 2), GREY, parts.font(16))
            if rng.random() < 0.85:
                parts.scribble(pen, (x + 20, y + 34), rng, length=rng.randrange(120, width - 60), height=26)
    return page


def id_card(rng: random.Random, template: random.Random) -> Image.Image:
    """An identity card: guilloche, labels and emblem are the template's; face, name and number are not."""
    page = Image.new("RGB", (1200, 760), parts.pale(template))
    pen = ImageDraw.Draw(page)
    for wave in range(26):
        phase, height = template.uniform(0, 6), template.uniform(10, 40)
        points = [(x, 30 + wave * 28 + height * math.sin(x / 90 + phase)) for x in range(0, 1200, 8)]
        pen.line(points, parts.pale(template), 3)
    pen.text((60, 40), parts.words(template, 3).upper(), parts.color(template), parts.font(46))
    parts.shape(pen, (1090, 90), 60, template)
    parts.face(page, (70, 170, 400, 600), rng)
    for row in range(5):
        y = 180 + row * 90
        pen.text((450, y), parts.words(template, 2), GREY, parts.font(20))
        pen.text((450, y + 28), parts.words(rng, 2).upper(), BLACK, parts.font(36))
    pen.text(
        (60, 670), "".join(rng.choice("ABCDEFGHKLMNPRSTUVXYZ0123456789<") for _ in range(34)), BLACK, parts.font(40)
    )
    return page


def meme(rng: random.Random, template: random.Random) -> Image.Image:
    """A meme: the photo is the template's, the words are not."""
    page = parts.scene(template, (1080, 1080))
    pen = ImageDraw.Draw(page)
    for y in (40, 940):
        text = parts.words(rng, rng.randrange(3, 5)).upper()
        at = (540 - parts.font(76).getlength(text) / 2, y)
        pen.text(at, text, WHITE, parts.font(76), stroke_width=5, stroke_fill=BLACK)
    return page


def text_post(rng: random.Random, template: random.Random) -> Image.Image:
    """A post of a feed: text above a photo."""
    page = Image.new("RGB", (1080, 1350), WHITE)
    pen = ImageDraw.Draw(page)
    pen.ellipse((40, 40, 130, 130), parts.color(rng))
    pen.text((160, 55), parts.words(rng, 2).title(), BLACK, parts.font(36))
    parts.write(pen, (40, 160), rng, lines=rng.randrange(2, 5), width=1000, size=32)
    page.paste(parts.scene(rng, (1080, 860)), (0, 390))
    pen.text((40, 1280), f"{rng.randrange(9000)} likes", GREY, parts.font(32))
    return page


def ruled_note(rng: random.Random, template: random.Random) -> Image.Image:
    """A handwritten note on ruled paper."""
    page = Image.new("RGB", (1000, 1300), (253, 252, 245))
    pen = ImageDraw.Draw(page)
    for y in range(120, 1280, 52):
        pen.line((0, y, 1000, y), (170, 195, 225), 2)
    pen.line((110, 0, 110, 1300), (225, 140, 140), 3)
    ink = rng.choice(((20, 30, 110), (30, 30, 30), (20, 60, 140)))
    for row in range(rng.randrange(5, 20)):
        x = 130
        while x < 850:
            length = rng.randrange(40, 150)
            parts.scribble(pen, (x, 140 + row * 52), rng, length=length, height=30, color=ink)
            x += length + 24
    return page


def white_page(rng: random.Random, template: random.Random) -> Image.Image:
    """A blank page from a scanner: paper and noise."""
    return parts.noisy(Image.new("RGB", (1000, 1414), WHITE), rng, level=1.5, paper=rng.randrange(235, 253))


def night_sky(rng: random.Random, template: random.Random) -> Image.Image:
    """A dark sky with stars."""
    tone = (rng.randrange(6, 18), rng.randrange(8, 22), rng.randrange(20, 45))
    page = Image.new("RGB", (1400, 950), tone)
    pen = ImageDraw.Draw(page)
    for _ in range(rng.randrange(80, 260)):
        x, y, radius, level = (
            rng.randrange(1400),
            rng.randrange(950),
            rng.choice((1, 1, 1, 2, 3)),
            rng.randrange(90, 255),
        )
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), (level, level, level))
    return parts.noisy(page.filter(ImageFilter.GaussianBlur(0.7)), rng, level=3, paper=255)


def product(rng: random.Random, template: random.Random) -> Image.Image:
    """A bottle on white: the shape is the template's, color and label are not."""
    page = Image.new("RGB", (1000, 1200), WHITE)
    pen = ImageDraw.Draw(page)
    width, shoulder = template.randrange(240, 420), template.randrange(300, 450)
    left, right = 500 - width // 2, 500 + width // 2
    color = parts.color(rng)
    pen.rounded_rectangle((left, shoulder, right, 1120), 40, color)
    pen.polygon([(left + 20, shoulder + 20), (450, 200), (550, 200), (right - 20, shoulder + 20)], color)
    pen.rectangle((440, 110, 560, 210), parts.color(template))
    pen.rectangle((left, 620, right, 940), parts.pale(rng))
    pen.text((left + 24, 650), parts.words(rng, 1).title(), parts.color(rng), parts.font(54))
    parts.write(pen, (left + 24, 740), rng, lines=4, width=width - 48, size=24)
    return page


def burst(rng: random.Random, template: random.Random) -> Image.Image:
    """A frame of a burst: one scene, the camera moved a little, something else in front, other noise."""
    scene = parts.scene(template, (1400, 1000))
    x, y = rng.randrange(0, 40), rng.randrange(0, 30)
    frame = scene.crop((x, y, x + 1360, y + 970))
    pen = ImageDraw.Draw(frame)
    at, size = (rng.randrange(150, 1200), rng.randrange(400, 850)), template.randrange(60, 130)
    pen.ellipse((at[0] - size // 2, at[1] - size, at[0] + size // 2, at[1] + size), parts.color(template))
    pen.ellipse((at[0] - size // 3, at[1] - size * 1.5, at[0] + size // 3, at[1] - size * 0.9), (224, 180, 150))
    return parts.noisy(frame, rng, level=4, paper=255)


def spreadsheet(rng: random.Random, template: random.Random) -> Image.Image:
    """A sheet of numbers."""
    page = Image.new("RGB", (1500, 950), WHITE)
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 1500, 40), (240, 240, 240))
    for column in range(11):
        pen.line((column * 140, 0, column * 140, 950), (210, 210, 210))
    for row in range(27):
        pen.line((0, row * 36, 1500, row * 36), (210, 210, 210))
        for column in range(11):
            text = parts.words(rng, 1) if row < 1 or column < 1 else f"{rng.gauss(500, 400):.2f}"
            if rng.random() < 0.9:
                pen.text((column * 140 + 10, row * 36 + 8), text[:10], BLACK, parts.font(20))
    return page


def street_map(rng: random.Random, template: random.Random) -> Image.Image:
    """A street map: streets, blocks, a river and names."""
    page = Image.new("RGB", (1300, 1000), (242, 239, 233))
    pen = ImageDraw.Draw(page)
    river = [(x, rng.randrange(200, 800)) for x in range(-100, 1500, 200)]
    pen.line(river, (170, 211, 223), 60, joint="curve")
    for _ in range(6):
        x, y = rng.randrange(1300), rng.randrange(1000)
        pen.rectangle((x, y, x + rng.randrange(60, 220), y + rng.randrange(60, 200)), (200, 230, 190))
    for _ in range(34):
        angle, x, y = rng.uniform(0, math.pi), rng.randrange(1300), rng.randrange(1000)
        dx, dy = 900 * math.cos(angle), 900 * math.sin(angle)
        width = rng.choice((6, 6, 10, 18))
        pen.line((x - dx, y - dy, x + dx, y + dy), (190, 180, 170), width + 4)
        pen.line((x - dx, y - dy, x + dx, y + dy), (253, 226, 147) if width > 10 else WHITE, width)
    for _ in range(18):
        at = (rng.randrange(1150), rng.randrange(960))
        pen.text(at, parts.words(rng, 2).title(), (80, 80, 80), parts.font(22), stroke_width=2, stroke_fill=WHITE)
    return page


def ticket(rng: random.Random, template: random.Random) -> Image.Image:
    """A boarding pass: the airline's form, with other names, seats and code."""
    page = Image.new("RGB", (1400, 620), WHITE)
    pen = ImageDraw.Draw(page)
    color = parts.color(template)
    pen.rectangle((0, 0, 1400, 110), color)
    pen.text((50, 26), parts.words(template, 2).upper(), WHITE, parts.font(52))
    for index, label in enumerate(("Name", "From", "To", "Flight", "Gate", "Seat")):
        x, y = 60 + (index % 3) * 300, 160 + (index // 3) * 190
        pen.text((x, y), label, GREY, parts.font(26))
        pen.text((x, y + 40), parts.words(rng, 1).upper()[:9], BLACK, parts.font(44))
    page.paste(parts.qr(rng, modules=25).resize((350, 350), Image.Resampling.NEAREST), (1000, 180))
    return page


def calendar(rng: random.Random, template: random.Random) -> Image.Image:
    """A month of a calendar: grid and numbers are the template's, the entries are not."""
    page = Image.new("RGB", (1400, 1050), WHITE)
    pen = ImageDraw.Draw(page)
    pen.text((60, 30), parts.words(template, 2).title(), parts.color(template), parts.font(60))
    for cell in range(35):
        x, y = 60 + cell % 7 * 185, 150 + cell // 7 * 172
        pen.rectangle((x, y, x + 185, y + 172), outline=GREY, width=2)
        pen.text((x + 10, y + 6), str(cell + 1), GREY, parts.font(26))
        if rng.random() < 0.35:
            pen.rounded_rectangle((x + 8, y + 60, x + 177, y + 120), 8, parts.pale(rng))
            pen.text((x + 16, y + 74), parts.words(rng, 1), BLACK, parts.font(22))
    return page


def dashboard(rng: random.Random, template: random.Random) -> Image.Image:
    """A dashboard: layout, titles and a chart are the template's, four figures are not."""
    page = line_chart(template, template)
    for tile in range(4):
        pen = ImageDraw.Draw(page)
        x = 60 + tile * 310
        pen.rounded_rectangle((x, 15, x + 270, 110), 12, parts.pale(template))
        pen.text((x + 20, 22), parts.words(template, 1), GREY, parts.font(24))
        pen.text((x + 20, 55), f"{rng.randrange(10000):,}", BLACK, parts.font(42))
    return page


def chess_board(rng: random.Random, template: random.Random) -> Image.Image:
    """A chess diagram: men on other squares."""
    page = Image.new("RGB", (1000, 1000), WHITE)
    pen = ImageDraw.Draw(page)
    for square in range(64):
        x, y = 60 + square % 8 * 110, 60 + square // 8 * 110
        pen.rectangle((x, y, x + 110, y + 110), (240, 217, 181) if (square + square // 8) % 2 else (181, 136, 99))
        if rng.random() < 0.3:
            kind, tone = rng.randrange(3), rng.choice((BLACK, WHITE))
            pen.ellipse((x + 35, y + 15, x + 75, y + 55), tone, GREY, 3)
            pen.rectangle((x + 40 - 8 * kind, y + 50, x + 70 + 8 * kind, y + 95), tone, GREY, 3)
    return page


def sheet_music(rng: random.Random, template: random.Random) -> Image.Image:
    """Printed music: staves and notes."""
    page = Image.new("RGB", (1000, 1300), WHITE)
    pen = ImageDraw.Draw(page)
    pen.text((300, 40), parts.words(rng, 3).title(), BLACK, parts.font(44))
    for top in range(150, 1200, 130):
        for line in range(5):
            pen.line((70, top + line * 13, 930, top + line * 13), BLACK, 2)
        x = 130
        while x < 900:
            y = top + rng.randrange(-1, 10) * 6.5
            pen.ellipse((x - 9, y - 7, x + 9, y + 7), BLACK if rng.random() < 0.7 else None, BLACK, 3)
            pen.line((x + 8, y, x + 8, y - 46), BLACK, 3)
            x += rng.choice((34, 48, 70))
    return page


def web_page(rng: random.Random, template: random.Random) -> Image.Image:
    """A screenshot of a web shop: the site's frame is the template's, the articles are not."""
    page = Image.new("RGB", (1440, 1100), WHITE)
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 1440, 100), parts.color(template))
    pen.text((60, 24), parts.words(template, 1).upper(), WHITE, parts.font(48))
    for link in range(5):
        pen.text((560 + link * 160, 38), parts.words(template, 1).title(), WHITE, parts.font(24))
    parts.write(pen, (40, 150), template, lines=16, width=180, size=22)
    for card in range(6):
        x, y = 280 + card % 3 * 380, 140 + card // 3 * 470
        page.paste(parts.scene(rng, (350, 260)), (x, y))
        parts.write(pen, (x, y + 275), rng, lines=2, width=340, size=24)
        pen.text((x, y + 360), f"{rng.randrange(5, 400)}.99", parts.color(template), parts.font(34))
    return page


def wallpaper(rng: random.Random, template: random.Random) -> Image.Image:
    """A smooth gradient of two colors."""
    first, second = np.array(parts.color(rng), float), np.array(parts.pale(rng), float)
    angle = rng.uniform(0, math.pi)
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 1400), np.linspace(-0.5, 0.5, 900))
    share = np.clip(x * math.cos(angle) + y * math.sin(angle) + 0.5, 0, 1)[..., None]
    return Image.fromarray((first * share + second * (1 - share)).astype(np.uint8))


_ALL: tuple[Drawer, ...] = (
    *(
        letter,
        scanned_letter,
        invoice,
        monthly_invoice,
        dashboard,
        chess_board,
        receipt,
        chat,
        slide,
        code,
        qr_code,
        barcode,
        icon,
        logo,
        logo_colors,
    ),
    *(line_chart, bar_chart, pie_chart, form, id_card, meme, text_post, ruled_note, white_page, night_sky),
    *(product, burst, spreadsheet, street_map, ticket, calendar, sheet_music, web_page, wallpaper),
)
FAMILIES: dict[str, Drawer] = {drawer.__name__: drawer for drawer in _ALL}
"""Every family by its name."""


def main() -> None:
    """Write two of each family into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        for seed in range(2):
            draw(family, seed).save(folder / f"{family}-{seed}.png")


if __name__ == "__main__":
    main()
