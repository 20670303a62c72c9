"""VGG16's features of the real photos, encoded once and kept: what galleries of near neighbours are made of.

python -m benchmarks.originals       encode all of them (two minutes on two cores)
"""

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos import photo_folder, photos
from lookalike.config import from_environment
from lookalike.encoders import load_encoder
from lookalike.imaging import DecodePool, Source
from lookalike.types import Prepared

KEPT = Path(__file__).parent / "out"
BATCH = 64


def features(every: int = 1, keep: Path = KEPT) -> NDArray[np.float32]:
    """Unit rows `(n, 512)` of every so many of the photos that can be read, in the manifest's order.

    They are kept in a folder, under a name that tells the images and the encoder.
    """
    encoder = load_encoder("vgg16", from_environment().cache)
    told = hashlib.sha256((photo_folder() / "manifest.tsv").read_bytes() + encoder.spec.fingerprint.encode())
    kept, whole = (keep / f"vgg16-{told.hexdigest()[:12]}-{step}.npy" for step in (every, 1))
    for file, step in ((kept, 1), (whole, every)):
        if file.is_file():
            found: NDArray[np.float32] = np.load(file)[::step]
            return found
    parts = []
    chosen = photos()[::every]
    with DecodePool([encoder.input]) as pool:
        for start in range(0, len(chosen), BATCH):
            prepared = pool.map(Source(path=photo.path) for photo in chosen[start : start + BATCH])
            images = np.stack([one.inputs[0] for one in prepared if isinstance(one, Prepared)])
            encoded = encoder.encode(images)
            parts.append(encoded.features[encoded.usable])
    made = np.concatenate(parts).astype(np.float32)
    keep.mkdir(exist_ok=True)
    partly = kept.with_suffix(f".{os.getpid()}.npy")
    np.save(partly, made)
    partly.replace(kept)  # whole or not at all: suites run side by side
    return made


def main() -> None:
    """Encode all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    made = features()
    print(f"{made.shape[0]:,} photos, {made.shape[1]} wide, kept in {KEPT}")


if __name__ == "__main__":
    main()
