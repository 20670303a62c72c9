"""Draws the small images of the recorded galleries, always the same ones; `make_goldens.py images` writes them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

SIZE = (200, 150)


def scene(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Soft colours with some shapes on them: enough for hashes and networks to see."""
    rng = np.random.default_rng(seed)
    soft = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(soft).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = (int(rng.integers(0, side)) for side in size)
        width, height = (int(n) for n in rng.integers(10, 60, 2))
        colour = tuple(int(n) for n in rng.integers(0, 256, 3))
        shape = (draw.ellipse, draw.rectangle, draw.line)[int(rng.integers(0, 3))]
        shape((x, y, x + width, y + height), fill=colour)
    return image


def jpeg(image: Image.Image, quality: int = 80) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def png(image: Image.Image, *, optimize: bool) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=optimize, compress_level=9 if optimize else 1)
    return out.getvalue()


def draw_all(folder: Path) -> None:
    """Write every image: eight drawn ones, edited copies of some, and what is only asked with."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("one", "two", "three", "four", "five", "to delete", "seven", "eight", "query-new")
    scenes = {name: scene(seed) for seed, name in enumerate(names, 1)}
    files = {f"{name}.jpg": jpeg(image) for name, image in scenes.items()}
    six = scene(20, (64, 48)).quantize(24).convert("RGB")
    middle = (28, 21, 172, 129)
    files |= {
        "six.png": png(six, optimize=False),
        "six-again.png": png(six, optimize=True),
        "flat.png": png(Image.new("RGB", (60, 40), (200, 120, 40)), optimize=True),
        "one-hard.jpg": jpeg(scenes["one"].resize((120, 90)), 25),
        "two-framed.jpg": jpeg(ImageOps.expand(scenes["two"], 20)),
        "three-cropped.jpg": jpeg(scenes["three"].crop(middle)),
        "four-mirrored.jpg": jpeg(ImageOps.mirror(scenes["four"])),
        "seven-grey.jpg": jpeg(ImageOps.grayscale(scenes["seven"])),
        "query.jpg": jpeg(scenes["one"].crop((4, 3, 200, 150)), 50),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
