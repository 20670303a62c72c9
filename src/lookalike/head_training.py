"""Trains a head of `vgg16-copy` on images and random edits of them; interrupted, it continues where it stopped."""

import hashlib
import io
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.cpu import usable_cores
from lookalike.encoders.model_config import TRAINED_NETWORK, ModelEntry, model_entries, trained_head_file
from lookalike.encoders.openvino_runtime import Network, OpenVinoEncoder, choose_precision
from lookalike.encoders.vgg16_copy import FACTORS_FILE
from lookalike.encoders.vgg16_copy.network import DESCRIPTOR_WIDTH, build
from lookalike.encoders.vgg16_copy.weights import head_arrays, read_factors, to_npz
from lookalike.encoders.vgg16_copy.whitening import learn_head
from lookalike.encoders.weight_files import locked, write_atomically
from lookalike.errors import BadSetting, ImageRejected
from lookalike.evaluation.edits import EDITS, apply
from lookalike.imaging import decode, prepare, read_bytes
from lookalike.types import FeatureSpec, InputSpec, Pixels

MIN_IMAGES = 100
"""Fewer images do not show how 2,560 numbers vary, even with a ridge."""
MAX_IMAGES = 500
"""The default number of images: twice as many, with more copies of each, add little (docs/numbers.md)."""
COPIES = 6
"""Edited copies of each image."""
MAX_SIDE = 1000
"""Larger images are scaled down before they are edited, which saves most of the time; the network sees 160 pixels."""
UNUSED_EDITS = frozenset(("strip_metadata", "png", "avif", "negative", "pasted_25"))
"""Edits that leave the pixels as they are, and those of which a global descriptor keeps next to nothing."""
TRAINING_EDITS = tuple(name for name in EDITS if name not in UNUSED_EDITS)
TRAINING_FOLDER = "training"
BLOCK = 16

Encode = Callable[[Pixels], NDArray[np.float32]]
"""Descriptors `(n, 2560)` of `(n, side, side, 3)` uint8."""
Source = Path | bytes
"""An image: its file or its bytes."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Descriptors of images `(n, d)`, of edited copies minus those of their images `(n * COPIES, d)`, and counts.

    `rejected` images could not be read or decoded; `restored` ones were encoded by an earlier run.
    """

    originals: NDArray[np.float32]
    differences: NDArray[np.float32]
    rejected: int
    restored: int


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """A head that was trained: its file, and how many images it was trained on; for the rest see `TrainingSet`."""

    path: Path
    images: int
    rejected: int
    restored: int


def train_head(
    name: str,
    sources: Sequence[Path],
    cache: Path,
    *,
    user_file: Path | None = None,
    max_images: int = MAX_IMAGES,
    progress: Callable[[], None] = lambda: None,
) -> TrainedHead:
    """Train a head on images and store it as a model.

    Args:
        name: The new model, a name for `pipelines`.
        sources: Files of images; `max_images` of them are used, spread evenly over the list.
        cache: The cache folder; the head is stored in `models/NAME` below it, and unfinished work too.
        user_file: A file of further models, whose names are taken.
        max_images: Images to use, `COPIES` edited copies of each.
        progress: Called after each image.

    Returns:
        The file and the number of images.

    Raises:
        BadSetting: The name is taken or not a model's, or there are fewer than `MIN_IMAGES` readable images.
        Unavailable: Another process trains a head of this name.
    """
    entry = _new_entry(name, cache, user_file)
    encode, digest = package_descriptors(entry)
    with locked(cache, name) as folder:
        work = folder / TRAINING_FOLDER
        work.mkdir(exist_ok=True)
        chosen = spread(sources, max_images)
        found = collect(chosen, encode, entry.input_spec, work=work, weights=digest, progress=progress)
        if len(found.originals) < MIN_IMAGES:
            raise BadSetting(
                f"training a head needs at least {MIN_IMAGES} images; of {len(chosen)} files "
                f"{len(found.originals)} could be read: name a folder with more"
            )
        head = learn_head(found.originals, found.differences, entry.dimensions)
        path = trained_head_file(cache, name)
        write_atomically(path, to_npz(head_arrays(head)))
        for file in work.iterdir():
            file.unlink()
        work.rmdir()
    return TrainedHead(path, len(found.originals), found.rejected, found.restored)


def _new_entry(name: str, cache: Path, user_file: Path | None) -> ModelEntry:
    """The entry of the model to train; raises BadSetting where the name is taken, or is not a model's."""
    entries = model_entries(user_file, cache)
    if name in entries:
        raise BadSetting(f"there is a model {name!r} already: choose another name, for galleries may be using it")
    if not name or not name.replace("-", "a").replace("_", "a").replace(".", "a").isalnum() or not name[0].isalnum():
        raise BadSetting(
            f"{name!r} is not a valid model name: a letter or digit, then letters, digits, '-', '_' or '.'"
        )
    return entries[TRAINED_NETWORK]


def package_descriptors(entry: ModelEntry) -> tuple[Encode, str]:
    """The descriptors of the package's factors, and the digest of those."""
    factors, digest = read_factors(FACTORS_FILE)
    return descriptor_encoder(build(factors, entry.size[0]), entry.input_spec), digest


def descriptor_encoder(model: Any, input_spec: InputSpec) -> Encode:
    """A function around a network whose output is the descriptor."""
    spec = FeatureSpec("descriptor", "cosine", DESCRIPTOR_WIDTH, "descriptor")
    precision = choose_precision("auto", bf16_agrees=True)
    return OpenVinoEncoder(Network(model, "", ""), spec, input_spec, precision).raw


def spread(sources: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of them, evenly spread, in their order."""
    ordered = list(dict.fromkeys(sources))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(at)] for at in np.linspace(0, len(ordered) - 1, count)]


def collect(
    sources: Sequence[Source],
    encode: Encode,
    input_spec: InputSpec,
    *,
    work: Path,
    weights: str,
    progress: Callable[[], None] = lambda: None,
) -> TrainingSet:
    """The descriptors of images and of their edited copies.

    Those of each image are stored in the folder `work`, under a name that covers image, edits and `weights`, so that
    another run with the same folder restores them.
    """
    rows: list[NDArray[np.float16]] = []
    restored = 0
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(sources), BLOCK):
            images = list(pool.map(lambda source: _Image.read(source, work, weights), sources[start : start + BLOCK]))
            readable = [image for image in images if image is not None]
            fresh = [image for image in readable if not image.file.is_file()]
            views = dict(zip(fresh, pool.map(lambda image: image.views(input_spec), fresh), strict=True))
            for image in readable:
                if image not in views:
                    rows.append(np.load(image.file))
                    restored += 1
                elif (pixels := views[image]) is not None:
                    rows.append(encode(pixels).astype(np.float16))
                    _save(image.file, rows[-1])
            for _ in images:
                progress()
    stacked = np.stack(rows).astype(np.float32) if rows else np.empty((0, 1 + COPIES, DESCRIPTOR_WIDTH), np.float32)
    differences = (stacked[:, 1:] - stacked[:, :1]).reshape(-1, DESCRIPTOR_WIDTH)
    return TrainingSet(stacked[:, 0], differences, len(sources) - len(rows), restored)


def _save(path: Path, rows: NDArray[np.float16]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    write_atomically(path, buffer.getvalue())


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """One image of a training set: its bytes, and the file of its descriptors."""

    data: bytes
    seed: str
    file: Path

    @classmethod
    def read(cls, source: Source, work: Path, weights: str) -> "_Image | None":
        """The image of a source; None where it cannot be read."""
        try:
            data = source if isinstance(source, bytes) else read_bytes(str(source))
        except ImageRejected:
            return None
        seed = hashlib.sha256(data).hexdigest()
        name = hashlib.sha256(f"{seed} {weights} {COPIES} {MAX_SIDE} {TRAINING_EDITS}".encode()).hexdigest()[:32]
        return cls(data, seed, work / f"{name}.npy")

    def views(self, input_spec: InputSpec) -> Pixels | None:
        """Inputs of the image and of its copies, `(1 + COPIES, side, side, 3)`; None where it cannot be decoded."""
        try:
            files = [self.data, *edited_copies(self.data, self.seed)]
            return np.stack([prepare(data, [input_spec]).inputs[0] for data in files])
        except ImageRejected:
            return None


def edited_copies(data: bytes, seed: str) -> Iterator[bytes]:
    """Edited copies of an image, of `COPIES` different random edits, the same for the same seed."""
    image = Image.fromarray(decode(data).rgb)
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    for number, edit in enumerate(random.Random(seed).sample(TRAINING_EDITS, COPIES)):
        yield apply(edit, image, seed=int(seed[:8], 16) + number)
