"""Plot of the published segment search: recall and candidates by m and Hamming distance.

    python -m benchmarks.elastic_plot [--photos 400] [--out docs/segment-search.svg]

A copy is found if at least m of the 8 bytes of its hash equal the original's. Left: the share of copies found, by the
distance of the two hashes; lines for bits that flip independently (counted exactly), dots for edited copies of real
photos. Right: how many of a million unrelated images come out too, for random hashes and for those of real photos.
Random hashes need no photos: without any, only those are drawn.
"""

import argparse
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import write_rows
from benchmarks.photos import Photo, photos
from lookalike.encoders.phash import PHash
from lookalike.evaluation.edits import EDITS, apply
from lookalike.imaging import prepare

FARTHEST = 20
SHOWN = (1, 2, 3, 4, 5, 6, 7, 8)
DOTS = 20
"""Copies at one distance, at least, for a dot."""
COLOURS = ("#1d7a43", "#2e9e6b", "#2563a8", "#4a90d9", "#c2410c", "#9333a0", "#7d6b00", "#5b6b7b")
Bits = NDArray[np.uint8]


def spoilt_bytes(distance: int) -> list[float]:
    """How likely it is that so many of 8 bytes hold all of `distance` flipped bits: by inclusion and exclusion."""
    chances = []
    for touched in range(9):
        ways = sum((-1) ** out * comb(touched, out) * comb(8 * (touched - out), distance) for out in range(touched + 1))
        chances.append(comb(8, touched) * ways / comb(64, distance))
    return chances


def recall(m: int, distance: int) -> float:
    """The share of codes at a distance, bits flipping independently, of which at least m bytes stay the same."""
    return sum(spoilt_bytes(distance)[: 9 - m])


def random_candidates(m: int) -> float:
    """How many of a million random codes have at least m bytes in common with a given one."""
    one = 1 / 256
    return 1e6 * sum(comb(8, equal) * one**equal * (1 - one) ** (8 - equal) for equal in range(m, 9))


def hashes(files: Iterable[bytes]) -> tuple[Bits, NDArray[np.bool_]]:
    """The hashes of images, and which of them mean anything."""
    encoder = PHash()
    encoded = encoder.encode(np.stack([prepare(data, [encoder.input]).inputs[0] for data in files]))
    return encoded.features, encoded.usable


def real(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], list[float]]:
    """Of edited copies: distance and equal bytes; of unrelated photos: how many of a million have m equal bytes."""
    every = [photo for photo in photos() if photo.kind != "copy"]
    originals, usable = hashes(photo.path.read_bytes() for photo in every)
    chosen = np.random.default_rng(7).permutation(np.flatnonzero(usable))[:count]
    distances, equal = list[NDArray[Any]](), list[NDArray[Any]]()
    for edit in EDITS:
        copies, sound = hashes(edited(every[one], edit) for one in chosen.tolist())
        differing = originals[chosen][sound] ^ copies[sound]
        distances.append(np.bitwise_count(differing).sum(axis=1))
        equal.append((differing == 0).sum(axis=1))
    groups = np.array([photo.group for photo in every])
    pairs = np.zeros(9, np.int64)
    for one in np.flatnonzero(usable).tolist():
        others = originals[usable & (groups != groups[one])]
        pairs += np.bincount((others == originals[one]).sum(axis=1), minlength=9)
    share = [1e6 * float(pairs[m:].sum()) / float(pairs.sum()) for m in range(9)]
    return np.concatenate(distances), np.concatenate(equal), share


def edited(photo: Photo, edit: str) -> bytes:
    """A copy of a photo, as the bytes of a file."""
    with Image.open(photo.path) as image:
        return apply(edit, image)


def draw(count: int) -> str:
    """Both panels as SVG."""
    shares: list[float] = []
    dots: dict[int, list[tuple[int, float]]] = {}
    if count:
        distances, equal, shares = real(count)
        for m in SHOWN:
            dots[m] = [
                (d, float((equal[distances == d] >= m).mean()))
                for d in range(FARTHEST + 1)
                if (distances == d).sum() >= DOTS
            ]
        write_rows("segments", [{"m": m, "recall_by_distance": dots[m], "per_million": shares[m]} for m in SHOWN])
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 400" font-family="system-ui, sans-serif">',
        '<rect width="960" height="400" fill="#fff"/>',
        *_recall_panel(dots),
        *_candidate_panel(shares),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _recall_panel(dots: dict[int, list[tuple[int, float]]]) -> list[str]:
    left, top, width, height = 60, 50, 500, 290
    x, y = (lambda d: left + width * d / FARTHEST), (lambda r: top + height * (1 - r))
    parts = [
        _text(left, 28, "Copies found, by Hamming distance (at least m of 8 bytes equal)", anchor="start", size=15)
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(left, y(share), left + width, y(share), "#dde3e8"))
        parts.append(_text(left - 8, y(share) + 4, f"{share:.0%}", anchor="end"))
    for d in range(0, FARTHEST + 1, 2):
        parts.append(_text(x(d), top + height + 20, str(d)))
    parts.append(_text(left + width / 2, top + height + 42, "bits that differ"))
    for m, colour in zip(SHOWN, COLOURS, strict=True):
        curve = [(x(d), y(recall(m, d))) for d in range(FARTHEST + 1)]
        parts += [_line(*a, *b, colour, 2) for a, b in pairwise(curve)]
        parts += [f'<circle cx="{x(d):.1f}" cy="{y(r):.1f}" r="3.5" fill="{colour}"/>' for d, r in dots.get(m, ())]
        at = min(range(FARTHEST + 1), key=lambda d, m=m: abs(recall(m, d) - 0.5))
        parts.append(_text(x(at) + 6, y(recall(m, at)) - 6, f"m {m}", anchor="start", colour=colour))
    return parts


def _candidate_panel(shares: Sequence[float]) -> list[str]:
    left, top, width, height = 660, 50, 270, 290
    lowest, highest = -3, 5
    x = lambda m: left + width * (m - 0.5) / 8  # noqa: E731 - a scale, as above
    y = lambda n: top + height * (1 - (np.log10(max(n, 10.0**lowest)) - lowest) / (highest - lowest))  # noqa: E731
    parts = [_text(left - 60, 28, "Unrelated images found, of a million", anchor="start", size=15)]
    for power in range(lowest, highest + 1):
        parts.append(_line(left, y(10.0**power), left + width, y(10.0**power), "#dde3e8"))
        parts.append(_text(left - 8, y(10.0**power) + 4, f"{10.0**power:,g}" if power < 5 else "100,000", anchor="end"))
    for m, colour in zip(SHOWN, COLOURS, strict=True):
        parts.append(_bar(x(m) - 12, y(random_candidates(m)), 11, top + height, colour, 0.45))
        if shares:
            parts.append(_bar(x(m), y(shares[m]), 11, top + height, colour, 1.0))
        parts.append(_text(x(m), top + height + 20, str(m)))
    parts.append(_text(left + width / 2, top + height + 42, "m; pale: random hashes, full: real photos"))
    return parts


def _bar(x: float, y: float, width: float, bottom: float, colour: str, opacity: float) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{max(0.0, bottom - y):.1f}" fill="{colour}" '
        f'fill-opacity="{opacity}"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width}" fill="none"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 13, colour: str = "#1c2630") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{text}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=400, help="photos to edit; 0 draws random hashes alone")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "segment-search.svg")
    args = parser.parse_args()
    args.out.write_text(draw(args.photos))
    for m in SHOWN:
        print(
            f"m {m}: half of the copies at",
            next(d for d in range(65) if recall(m, d) < 0.5),
            "bits are missed;",
            f"{random_candidates(m):.4g} of a million random hashes come out",
        )


if __name__ == "__main__":
    main()
