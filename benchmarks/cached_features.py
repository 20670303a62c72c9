"""VGG16 features of the real photos, encoded once and cached: the rows of galleries of near neighbours.

python -m benchmarks.cached_features       encode all of them (two minutes on two cores)
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

CACHE = Path(__file__).parent / "out"
BATCH = 64


def features(every: int = 1, cache: Path = CACHE) -> NDArray[np.float32]:
    """Unit rows `(n, 512)` of every `every`-th readable photo, in the manifest's order.

    They are cached in a folder, under a name that covers the images and the encoder.
    """
    encoder = load_encoder("vgg16", from_environment().cache)
    digest = hashlib.sha256((photo_folder() / "manifest.tsv").read_bytes() + encoder.spec.fingerprint.encode())
    sampled, complete = (cache / f"vgg16-{digest.hexdigest()[:12]}-{step}.npy" for step in (every, 1))
    for file, step in ((sampled, 1), (complete, every)):
        if file.is_file():
            rows: NDArray[np.float32] = np.load(file)[::step]
            return rows
    parts = []
    chosen = photos()[::every]
    with DecodePool([encoder.input]) as pool:
        for start in range(0, len(chosen), BATCH):
            prepared = pool.map(Source(path=photo.path) for photo in chosen[start : start + BATCH])
            images = np.stack([image.inputs[0] for image in prepared if isinstance(image, Prepared)])
            encoded = encoder.encode(images)
            parts.append(encoded.features[encoded.usable])
    rows = np.concatenate(parts).astype(np.float32)
    cache.mkdir(exist_ok=True)
    temporary = sampled.with_suffix(f".{os.getpid()}.npy")
    np.save(temporary, rows)
    temporary.replace(sampled)  # atomically: suites run side by side
    return rows


def main() -> None:
    """Encode all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    rows = features()
    print(f"{rows.shape[0]:,} photos, {rows.shape[1]} wide, cached in {CACHE}")


if __name__ == "__main__":
    main()
