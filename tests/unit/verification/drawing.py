"""Images for the tests of verification, drawn with seeds, and sides made of them."""

import random

import numpy as np
from benchmarks import document_parts
from PIL import Image

from lookalike.verification import Side, VerificationEncoder


def scene(seed: int, size: tuple[int, int] = (720, 540)) -> Image.Image:
    """Something like a photo."""
    return document_parts.scene(random.Random(seed), size)


def side(image: Image.Image) -> Side:
    """An image prepared from all its pixels."""
    rgb = np.asarray(image.convert("RGB"))
    return VerificationEncoder().from_pixels(rgb, image.width, image.height)
