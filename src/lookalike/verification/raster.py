"""Filters and warps of grey images: by OpenCV where installed, else by numpy and Pillow with similar results."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lookalike.types import Pixels

Grey = NDArray[np.float32]
WINDOW: Final = 11
"""Pixels a side of the window of local correlation."""
BLUR: Final = np.array([0.0065, 0.0561, 0.2420, 0.3909, 0.2420, 0.0561, 0.0065], np.float32) / np.float32(1.0001)
"""Gaussian of standard deviation about 1.02 pixels."""

LUMA_256THS: Final = (77, 150, 29)
_LUMA: Final = np.array([[*(weight / 256 for weight in LUMA_256THS), 1 / 512 - 0.5]])
"""The same as a matrix for OpenCV, which rounds to the nearest integer: less a half, and no value is between two."""
MIN_COARSE: Final = 1.5
"""Factor by which both sides must shrink for `shrink_coarsely` to filter before it samples."""
SOFTENING: Final = (0.8, 1.2, 1.8, 2.6, 3.8)
"""Standard deviations, in pixels, of the blurs tried to make two images equally sharp."""


@cache
def opencv() -> Any:
    """OpenCV, or None where it is not installed or cannot be loaded; imported at first use, for that takes 0.1 s."""
    try:
        import cv2  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return cv2


def blur(image: Pixels | Grey) -> Grey:
    """The image, lightly smoothed, as float32."""
    if (cv2 := opencv()) is not None:
        smoothed: Grey = cv2.sepFilter2D(image, cv2.CV_32F, BLUR, BLUR, borderType=cv2.BORDER_REPLICATE)
        return smoothed
    half = len(BLUR) // 2
    padded = np.pad(image.astype(np.float32), half, mode="edge")
    height, width = image.shape
    rows = np.asarray(sum(weight * padded[at : at + height] for at, weight in enumerate(BLUR)))
    columns = sum(weight * rows[:, at : at + width] for at, weight in enumerate(BLUR))
    return np.asarray(columns, np.float32)


def sharpness(image: Pixels) -> float:
    """Mean square of the differences of neighboring pixels, in levels squared."""
    values = image.astype(np.int16)
    across, down = np.diff(values, axis=1), np.diff(values, axis=0)
    return float((across.astype(np.float32) ** 2).mean() + (down.astype(np.float32) ** 2).mean())


def soften(image: Pixels, target: float) -> Pixels:
    """The image blurred, with a Gaussian of growing size, until it is no sharper than `target`."""
    softened = image
    for radius in SOFTENING:
        if (cv2 := opencv()) is not None:
            softened = cv2.GaussianBlur(image, (0, 0), radius)
        else:
            softened = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
        if sharpness(softened) <= target:
            break
    return softened


def window_mean(image: Grey) -> Grey:
    """The mean of the window around every pixel; beyond the edge, the nearest pixel counts."""
    if (cv2 := opencv()) is not None:
        averaged: Grey = cv2.blur(image, (WINDOW, WINDOW), borderType=cv2.BORDER_REPLICATE)
        return averaged
    half = WINDOW // 2
    padded = np.pad(image.astype(np.float64), ((half + 1, half), (half + 1, half)), mode="edge")
    padded[0], padded[:, 0] = 0, 0
    total = padded.cumsum(axis=0).cumsum(axis=1)
    sums = total[WINDOW:, WINDOW:] - total[:-WINDOW, WINDOW:] - total[WINDOW:, :-WINDOW] + total[:-WINDOW, :-WINDOW]
    return np.asarray(sums / WINDOW**2, np.float32)


@dataclass(frozen=True, slots=True)
class Component:
    """A connected group of cells: their number and the box around them, `right` and `bottom` excluded."""

    size: int
    left: int
    top: int
    right: int
    bottom: int


def components(cells: NDArray[np.bool_]) -> list[Component]:
    """Groups of true cells that touch, corners included, in the order of their first cells."""
    if (cv2 := opencv()) is not None:
        _, _, stats, _ = cv2.connectedComponentsWithStats(cells.view(np.uint8), connectivity=8)
        return [
            Component(size, left, top, left + width, top + height)
            for left, top, width, height, size in stats[1:].tolist()
        ]
    remaining = {(row, column) for row, column in np.argwhere(cells).tolist()}
    found = []
    for first in sorted(remaining):
        if first not in remaining:
            continue
        remaining.remove(first)
        group, edge = [], [first]
        while edge:
            row, column = edge.pop()
            group.append((row, column))
            around = {(row + down, column + along) for down in (-1, 0, 1) for along in (-1, 0, 1)} & remaining
            remaining -= around
            edge.extend(around)
        rows, columns = zip(*group, strict=True)
        found.append(Component(len(group), min(columns), min(rows), max(columns) + 1, max(rows) + 1))
    return found


def shrink(image: Pixels, width: int, height: int) -> Pixels:
    """The image at another size, grey or color, averaging where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    smaller = width <= image.shape[1] and height <= image.shape[0]
    if (cv2 := opencv()) is not None:
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        resized: Pixels = cv2.resize(image, (width, height), interpolation=how)
        return resized
    resample = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((width, height), resample))


def shrink_coarsely(image: Pixels, width: int, height: int) -> Pixels:
    """The image at a much smaller size, for a coarse comparison: a box filter, then bilinear sampling.

    With OpenCV a third of the time of `shrink`, which weights the pixels at the rims of the areas that it averages.
    """
    across, down = image.shape[1] / width, image.shape[0] / height
    if (cv2 := opencv()) is None or min(across, down) < MIN_COARSE:
        return shrink(image, width, height)
    box = tuple(int(factor) // 2 * 2 + 1 for factor in (across, down))  # odd, or it would shift the image
    averaged = cv2.blur(image, box, borderType=cv2.BORDER_REPLICATE)
    resized: Pixels = cv2.resize(averaged, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized


def luma_of(rgb: Pixels) -> Pixels:
    """Luma of RGB values, ITU-R BT.601, in 256ths, rounded down."""
    if (cv2 := opencv()) is not None:
        luma: Pixels = cv2.transform(rgb, _LUMA)
        return luma
    weights: NDArray[np.uint16] = np.array(LUMA_256THS, np.uint16)
    grey = rgb[..., 0] * weights[0]
    grey += rgb[..., 1] * weights[1]
    grey += rgb[..., 2] * weights[2]
    return np.asarray(grey >> 8, np.uint8)


def warp(image: Pixels, matrix: NDArray[np.float64], width: int, height: int) -> Pixels:
    """The image seen through `matrix`, from pixel centers of the result to those of `image`; bilinear.

    Outside, values are those of the nearest edge with OpenCV, 0 with Pillow.
    """
    if (cv2 := opencv()) is not None:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped: Pixels = cv2.warpPerspective(
            image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return warped
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # Pillow's coordinates start at a pixel's corner
    shifted = half @ matrix @ np.linalg.inv(half)
    values = (shifted / shifted[2, 2]).ravel()[:8].tolist()
    source = Image.fromarray(image)
    return np.asarray(source.transform((width, height), Image.Transform.PERSPECTIVE, values, Image.Resampling.BILINEAR))
