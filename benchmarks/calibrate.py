"""Distance calibration: the false-match rate by distance, for encoders/calibration.toml.

    python -m benchmarks.calibrate phash vgg16 vgg16-copy [--write]

Every pair of photos of different groups (a negative pair) is compared, the hash in its eight orientations. The copy
threshold is the distance with a false-match rate of `COPY_RATE`, extrapolated along a straight line below the rates
that so many photos can measure. `vgg16-copy` and its variants are measured on what they were not trained on: the test
split of the photos, and drawn documents, which are hard negatives. With --write, the tables of other encoders are left
as they are.
"""

import argparse
from pathlib import Path

import numpy as np

import lookalike.encoders
from benchmarks.fit_vgg16_copy import documents, in_training_split
from benchmarks.machine import describe
from benchmarks.negative_pairs import negative_pair_distances
from benchmarks.photos import photos
from lookalike.catalog import at_storage_precision
from lookalike.config import from_environment
from lookalike.encoders import find_entry, load_encoder
from lookalike.imaging import DecodePool, Source
from lookalike.pipeline import Calibration
from lookalike.types import Prepared

COPY_RATE = 1e-6
"""False-match rate of copies: one in twenty queries has a false match in a gallery of 50,000."""
COPY_RATE_WITH_DOCUMENTS = 1e-5
"""The same where documents are among the negatives: as measured, for no line extrapolates their tail."""
RATES = tuple(10.0**e for e in np.arange(-5, 0.01, 0.25))
DOCUMENT_SEEDS = range(1000, 1016)
"""Seeds of the documents among the negatives: training has not seen them."""
TRUSTED = ("original", "distractor", "class", "same_scene")
"""Kinds whose groups tell every relation; copies and images of other tools' tests are left out."""


def measured(name: str) -> tuple[int, Calibration]:
    """The number of pairs compared, and the calibration that they give."""
    encoder = load_encoder(name, from_environment().cache, accept_licence=True)
    trained = find_entry(name).network == "vgg16-copy"
    chosen = [p for p in photos() if p.kind in TRUSTED and not (trained and in_training_split(p))]
    sources = [Source(path=p.path) for p in chosen]
    groups = [p.group for p in chosen]
    if trained:
        drawn = documents(DOCUMENT_SEEDS)
        sources += [Source(data=data) for data in drawn]
        groups += [f"document {number}" for number in range(len(drawn))]
    with DecodePool([encoder.input]) as pool:
        prepared = list(pool.map(sources))
    good = [(group, p) for group, p in zip(groups, prepared, strict=True) if isinstance(p, Prepared)]
    images = np.stack([p.inputs[0] for _, p in good])
    stored, views = encoder.encode(images), encoder.encode_views(images).features
    kept_groups = [group for (group, _), usable in zip(good, stored.usable, strict=True) if usable]
    kept = stored.usable
    rows = at_storage_precision(encoder.spec, stored.features[kept])
    found = negative_pair_distances(encoder.spec.metric, rows, kept_groups, views=views[kept])
    # distances above 1, between opposite vectors, count as 1
    below = ((round(d, 5), round(r, 3)) for d, r in found.anchors(RATES) if d < 1 and r < 0)
    anchors = (*below, (1.0, 0.0))
    threshold = Calibration(anchors, 0.0).distance_at(np.log10(COPY_RATE_WITH_DOCUMENTS if trained else COPY_RATE))
    steps = encoder.spec.scale if encoder.spec.metric == "hamming" else 1000
    return found.pairs, Calibration(anchors, float(np.floor(threshold * steps) / steps))


def main() -> None:
    """Measure and print the tables; with --write, put them where the program reads them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--write", action="store_true", help="write encoders/calibration.toml")
    arguments = parser.parse_args()
    path = Path(lookalike.encoders.__file__).parent / "calibration.toml"
    head, *tables = path.read_text().split("\n[")
    by_name = {table.partition("]")[0]: table.strip() for table in tables}
    for name in arguments.names:
        pairs, calibration = measured(name)
        rows = "\n".join(f"    [{d}, {r}]," for d, r in calibration.anchors)
        about = f"{pairs:,} pairs, {describe()['date']}"
        by_name[name] = f"{name}]  # {about}\nthreshold = {calibration.threshold}\nanchors = [\n{rows}\n]"
        print(f"[{by_name[name]}", flush=True)
    if arguments.write:
        path.write_text("\n".join([head.strip(), *(f"\n[{table}" for table in by_name.values())]) + "\n")


if __name__ == "__main__":
    main()
