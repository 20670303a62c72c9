"""Makes the weights of `vgg16-copy`: low-rank factors of VGG16 (`benchmarks.low_rank`), and a head learned on them.

    python -m benchmarks.fit_vgg16_copy [--budget 1.0] [--write]

Trained on photos of the training split and on drawn documents; `benchmarks.vgg16_copy` measures on the test split. A
group of photos (the same image, scene or kind of thing) is in one of them only.
"""

import argparse
import hashlib
import io
import random
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import low_rank
from benchmarks.drawn_documents import KINDS, draw
from benchmarks.photos import Photo, photos
from lookalike import head_training
from lookalike.config import from_environment
from lookalike.encoders import find_entry, pull, vgg16
from lookalike.encoders.vgg16_copy import FACTORS_FILE, HEAD_FILE
from lookalike.encoders.vgg16_copy.network import build
from lookalike.encoders.vgg16_copy.weights import (
    digest,
    factor_arrays,
    head_arrays,
    read_factors,
    to_npz,
)
from lookalike.encoders.vgg16_copy.whitening import learn_head
from lookalike.imaging import prepare

TRAINING_SHARE = 0.28
"""The share of groups in the training split."""
TRAINING_PHOTOS = 420
DOCUMENTS = 8
"""Drawn documents of each kind in the training set; their seeds are 0 to 7."""
FITTED_IMAGES, SPECTRUM_IMAGES = 128, 64
"""Images on whose responses the factors are fitted and the ranks chosen."""
BUDGET = 1.15
"""Thousand millions of multiply-adds an image, without the first convolution; the full network has 7.8 at this size."""
WIDTH = 512


def in_training_split(photo: Photo) -> bool:
    """Whether the photo's group is one of the training split: by the digest of the group's name."""
    number = int(hashlib.sha256(photo.group.encode()).hexdigest()[:12], 16)
    return number / 16**12 < TRAINING_SHARE and photo.kind != "check_by_name"


def training_images() -> list[bytes]:
    """Photos of the training split and documents, shuffled."""
    files = [photo.path for photo in photos() if in_training_split(photo)]
    random.Random(3).shuffle(files)
    return shuffled([file.read_bytes() for file in files[:TRAINING_PHOTOS]] + documents(range(DOCUMENTS)))


def documents(seeds: range) -> list[bytes]:
    """Drawn documents of every kind, as PNG files."""
    found = []
    for kind in KINDS:
        for seed in seeds:
            file = io.BytesIO()
            draw(kind, seed).save(file, "PNG")
            found.append(file.getvalue())
    return found


def shuffled(images: list[bytes]) -> list[bytes]:
    """The same in another order."""
    random.Random(5).shuffle(images)
    return images


def fitting_inputs(images: list[bytes], count: int) -> NDArray[np.uint8]:
    """Inputs of the first images, half of them edited."""
    spec, found = find_entry("vgg16-copy").input_spec, []
    for number, data in enumerate(images[:count]):
        seed = hashlib.sha256(data).hexdigest()
        chosen = data if number % 2 else next(head_training.edited_copies(data, seed))
        found.append(prepare(chosen, [spec]).inputs[0])
    return np.stack(found)


def main() -> None:
    """Fit, learn, and, with --write, store both files in the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--write", action="store_true", help="write the files into the package")
    parser.add_argument("--work", type=Path, help="keep the descriptors here, and continue from them")
    given = parser.parse_args()
    entry = find_entry("vgg16-copy")
    weights = vgg16.load_npz(pull("vgg16", from_environment().cache), "vgg16")
    images = training_images()
    inputs = fitting_inputs(images, FITTED_IMAGES)
    ranks = low_rank.choose_ranks(
        low_rank.spectra(weights, inputs[:SPECTRUM_IMAGES]), entry.size[0], given.budget * 1e9
    )
    arrays = factor_arrays(low_rank.fit(weights, inputs, ranks))
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "factors.npz"
        file.write_bytes(to_npz(arrays))
        factors, factors_digest = read_factors(file)  # as rounded: the head is learned on what is used
        print(f"factors {factors_digest[:16]}: {file.stat().st_size:,} bytes", flush=True)
        work = given.work or Path(temporary)
        work.mkdir(exist_ok=True)
        encode = head_training.descriptor_encoder(build(factors, entry.size[0]), entry.input_spec)
        found = head_training.collect(images, encode, entry.input_spec, work=work, weights=factors_digest)
        head = head_arrays(learn_head(found.originals, found.differences, WIDTH))
        count = f"{len(found.originals)} images, {len(found.differences)} copies, {found.rejected} rejected"
        print(f"head {digest(head)[:16]}: {count}")
        if given.write:
            FACTORS_FILE.write_bytes(file.read_bytes())
            HEAD_FILE.write_bytes(to_npz(head))


if __name__ == "__main__":
    main()
