"""Cost of a thumbnail, compared with decoding, pixel digest and preparation.

python benchmarks/thumbnails.py PHOTOS [--most 500]: processor milliseconds an image (median), and bytes stored.
"""

import argparse
import time
from pathlib import Path
from statistics import mean, median

from lookalike.encoders.phash import PHash
from lookalike.image_files import FolderScan
from lookalike.imaging import prepare
from lookalike.imaging.thumbnails import SIDE


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--most", type=int, default=500)
    given = parser.parse_args()
    files = [Path(path).read_bytes() for path in FolderScan().files_below(given.photos) if isinstance(path, str)]
    files = files[: given.most]
    inputs = [PHash().input]
    without, with_, sizes = [], [], []
    for data in files:
        for enabled, times in ((False, without), (True, with_)):
            started = time.process_time()
            prepared = prepare(data, inputs, want_pixels=True, thumbnail_side=SIDE * enabled)
            times.append((time.process_time() - started) * 1000)
        sizes.append(len(prepared.thumbnail or b""))
    print(
        f"{len(files)} images: {median(without):.2f} ms without, {median(with_):.2f} ms with, "
        f"{median(with_) - median(without):.2f} ms for the thumbnail; {mean(sizes) / 1000:.1f} kB each"
    )


if __name__ == "__main__":
    main()
