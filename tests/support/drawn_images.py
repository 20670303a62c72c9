"""Images that tests draw: textured, each seed another one, so that hashes and networks have something to see."""

import io

import numpy as np
from PIL import Image
from pillow_heif import from_pillow


def drawn(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A smooth random image, (width, height): coarse noise scaled up, which survives recompression and scaling."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:  # noqa: A002 - Pillow's own word
    """The bytes of a file."""
    out = io.BytesIO()
    if format == "HEIF":
        from_pillow(image).save(out, format="HEIF", **options)
    else:
        image.save(out, format, **options)
    return out.getvalue()
