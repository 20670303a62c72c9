"""Seconds of the self-join of hashes: `python -m benchmarks.hash_join [IMAGES ...]`.

The hashes are of blends of two photos each, so their bits are as dependent as those of photos; all eight orientations
are compared, within the radius that a gallery of that size uses. Then again for 1 % of the images alone, and how many
mirrored photos are found by stored and by estimated orientations.
"""

import math
import sys
import time

import numpy as np
from PIL import Image

from benchmarks.machine import describe, write_rows
from benchmarks.photos import photos
from lookalike.encoders.phash import PHash
from lookalike.gallery.hash_join import join_hashes, symmetric_bits
from lookalike.gallery.links import MAX_FALSE_LINKS
from lookalike.pipeline import Calibration

SIDE = 32
BLENDED_AT_ONCE = 20_000
CHANGED_SHARE = 0.01
THRESHOLD_BITS = 8
SIZES = (10_000, 100_000, 1_000_000)
# The three lowest anchors of the hash's calibration (see docs/numbers.md).
CALIBRATION = Calibration(((0.17188, -5.022), (0.20312, -4.181), (0.23438, -3.445)), THRESHOLD_BITS / 64)


def greys() -> np.ndarray:
    """Every photo at 32 x 32 grey levels."""
    images = []
    for photo in photos():
        with Image.open(photo.path) as image:
            image.draft("L", (4 * SIDE, 4 * SIDE))
            images.append(np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    return np.stack(images)


def blended_views(base: np.ndarray, count: int) -> np.ndarray:
    """Codes `(count, 8)` of blends, in all orientations."""
    rng = np.random.default_rng(1)
    parts = []
    for start in range(0, count, BLENDED_AT_ONCE):
        size = min(BLENDED_AT_ONCE, count - start)
        one, other = rng.integers(0, len(base), (2, size))
        weight = rng.uniform(0.2, 0.8, (size, 1, 1))
        shifted = np.roll(base[other], rng.integers(0, SIDE), axis=2)
        blends = (base[one] * weight + shifted * (1 - weight)).astype(np.uint8)
        parts.append(PHash().encode_views(blends).features.view("<u8")[..., 0])
    return np.concatenate(parts)


def radius_for(count: int) -> int:
    """The largest distance, in bits, of a link in a gallery of so many images."""
    return min(THRESHOLD_BITS, math.floor(64 * CALIBRATION.distance_at(math.log10(MAX_FALSE_LINKS / count))))


def mirrored_found(base: np.ndarray, *, stored: bool) -> float:
    """The share of usable photos whose mirrored image is within the threshold."""
    encoder = PHash()
    base = base[encoder.encode(base).usable]
    views = []
    for images in (base, np.ascontiguousarray(base[:, :, ::-1])):
        encoded, kept = encoder.encode_stored(images)
        kept = kept if stored else encoder.estimated_views(encoded.features)
        views.append(encoder.all_views(encoded.features, kept).view("<u8")[..., 0])
    rows = np.arange(len(base))
    bits = symmetric_bits(np.concatenate(views), rows, rows + len(base))
    return float((bits <= THRESHOLD_BITS).mean())


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Measure and print."""
    print(describe())
    base = greys()
    for stored in (True, False):
        name = "stored" if stored else "estimated"
        print(f"mirrored photos found, orientations {name}: {mirrored_found(base, stored=stored):.4f}")
    rows = []
    for count in sizes:
        views = blended_views(base, count)
        changed = np.sort(np.random.default_rng(2).choice(count, int(count * CHANGED_SHARE), replace=False))
        for what, only in (("all", None), ("1 % changed", changed)):
            wall, cpu = time.perf_counter(), time.process_time()
            pairs = join_hashes(views, radius_for(count), changed=only)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"{count:>9} hashes, {radius_for(count)} bits, {what:<12}{wall:8.2f} s {cpu:8.2f} CPU s", end="")
            print(f"{len(pairs.first):>10} pairs")
            rows.append({"hashes": count, "what": what, "seconds": wall, "cpu": cpu, "pairs": len(pairs.first)})
    write_rows("hash_join", rows)


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
