"""Distance calibration: the false-match rate by distance, for encoders/calibration.toml.

    python -m benchmarks.calibrate phash vgg16 [--write]

Every pair of photos of different groups (a negative pair) is compared, the hash in its eight orientations. The copy
threshold is the distance with a false-match rate of `COPY_RATE`, extrapolated along a straight line below the rates
that so many photos can measure.
"""

import argparse
from pathlib import Path

import numpy as np

import lookalike.encoders
from benchmarks.machine import describe
from benchmarks.negative_pairs import negative_pair_distances
from benchmarks.photos import photos
from lookalike.config import from_environment
from lookalike.encoders import load_encoder
from lookalike.imaging import DecodePool, Source
from lookalike.pipeline import Calibration
from lookalike.types import Prepared

COPY_RATE = 1e-6
"""False-match rate of copies: one in twenty queries has a false match in a gallery of 50,000."""
RATES = tuple(10.0**e for e in np.arange(-5, 0.01, 0.25))
TRUSTED = ("original", "distractor", "class", "same_scene")
"""Kinds whose groups tell every relation; copies and images of other tools' tests are left out."""


def measured(name: str) -> tuple[int, Calibration]:
    """The number of pairs compared, and the calibration that they give."""
    encoder = load_encoder(name, from_environment().cache, accept_licence=True)
    chosen = [p for p in photos() if p.kind in TRUSTED]
    with DecodePool([encoder.input]) as pool:
        prepared = list(pool.map(Source(path=p.path) for p in chosen))
    good = [(photo.group, p) for photo, p in zip(chosen, prepared, strict=True) if isinstance(p, Prepared)]
    images = np.stack([p.inputs[0] for _, p in good])
    stored, views = encoder.encode(images), encoder.encode_views(images).features
    groups = [group for (group, _), usable in zip(good, stored.usable, strict=True) if usable]
    kept = stored.usable
    found = negative_pair_distances(encoder.spec.metric, stored.features[kept], groups, views=views[kept])
    anchors = tuple((round(min(d, 1.0), 5), round(r, 3)) for d, r in found.anchors(RATES))
    threshold = Calibration(anchors, 0.0).distance_at(np.log10(COPY_RATE))
    steps = encoder.spec.scale if encoder.spec.metric == "hamming" else 1000
    return found.pairs, Calibration(anchors, float(np.floor(threshold * steps) / steps))


def main() -> None:
    """Measure and print the tables; with --write, put them where the program reads them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--write", action="store_true", help="write encoders/calibration.toml")
    arguments = parser.parse_args()
    text = [
        f"# Distance calibration by encoder, written by benchmarks/calibrate.py on {describe()['date']}.",
        "# Anchors: distance (0..1), log10 of the share of unrelated images at most that far apart.",
    ]
    for name in arguments.names:
        pairs, calibration = measured(name)
        rows = "\n".join(f"    [{d}, {r}]," for d, r in calibration.anchors)
        text.append(f"\n[{name}]  # {pairs:,} pairs\nthreshold = {calibration.threshold}\nanchors = [\n{rows}\n]")
        print(text[-1], flush=True)
    if arguments.write:
        path = Path(lookalike.encoders.__file__).parent / "calibration.toml"
        path.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
