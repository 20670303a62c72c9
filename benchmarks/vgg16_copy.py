"""`vgg16-copy` beside `vgg16`: edited copies found in a held-out gallery, and images a second, in one run.

    python -m benchmarks.vgg16_copy [--queries 60] [--rounds 5] [--calibrate DIR] [--only recall|speed|int8]
    python -m benchmarks.vgg16_copy --only recall --networks vgg16-copy       it and its variants, without vgg16
    ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks.vgg16_copy --only speed      as on a processor with AVX2 alone

The gallery is the test split of the photos (`benchmarks.fit_vgg16_copy`) and drawn documents that training has not
seen. Copies of some are searched for, and copies of as many negatives, whose originals are not in the gallery. An
`int8` compares features of the network in 8 bits, calibrated on photos of the training split, with those in fp32.
The gallery's features are as its catalog gives them. An answer is right if it is the same image. Recall at zero false
answers: of the first answers, ordered by distance, those before the first one that is wrong or of a negative. Pastes
are the edits that make the image a small part of another.
"""

import argparse
import io
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.fit_vgg16_copy import documents, in_training_split
from benchmarks.machine import describe, write_rows
from benchmarks.photos import Photo, photo_folder, photos
from lookalike.catalog.features import at_storage_precision, row_bytes
from lookalike.config import from_environment
from lookalike.distances import pairwise
from lookalike.encoders import Precision, load_encoder, pull
from lookalike.encoders.openvino_runtime import has_bf16
from lookalike.errors import ImageRejected
from lookalike.evaluation.edits import apply
from lookalike.imaging import prepare
from lookalike.imaging.flatness import has_content
from lookalike.interfaces import Encoder
from lookalike.types import Features, Metric, Pixels

NAMES = ("vgg16", "vgg16-copy")
VARIANTS = ("vgg16-copy-256", "vgg16-copy-256-int8", "vgg16-copy-binary")
EDITS = (
    *("jpeg15", "double_jpeg", "gif", "scale_quarter", "squeeze", "perspective", "letterbox", "black_frame"),
    *("blurred_sides", "mirror", "rotate_5_crop", "rotate_5", "crop_80", "crop_50", "crop_70_corner", "crop_square"),
    *("sepia", "warm_filter", "posterise", "blur", "noise", "watermark", "meme", "stickers", "caption", "screenshot"),
    *("screenshot_post", "collage", "pasted_50", "pasted_25"),
)
PASTES = ("collage", "pasted_50", "pasted_25")
DOCUMENT_EDITS = ("jpeg15", "scale_half", "letterbox", "mirror", "crop_70", "noise")
DOCUMENT_SEEDS = range(1000, 1016)
SAME_IMAGE = ("original", "copy")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: its bytes, its key, and the keys of the images that are the same; `edit` of a copy, else ""."""

    data: bytes
    key: str
    same: frozenset[str]
    edit: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A gallery, copies of images in it, copies of negatives, and copies of documents in it."""

    gallery: list[Sample]
    copies: list[Sample]
    negatives: list[Sample]
    documents: list[Sample]


def make_question(queries: int) -> Question:
    """The same for the same number of queries."""
    held_out = [photo for photo in photos() if not in_training_split(photo)]
    eligible = [photo for photo in held_out if photo.kind in ("original", "distractor", "class")]
    chosen = random.Random(7).sample(eligible, 2 * queries)
    known, negatives = chosen[:queries], chosen[queries:]
    absent = {key for photo in negatives for key in _same(photo, held_out)}
    gallery = [_sample(photo, held_out) for photo in held_out if photo.key not in absent]
    drawn = [Sample(data, f"document {n}", frozenset((f"document {n}",))) for n, data in enumerate(_drawn())]
    return Question(
        gallery + drawn,
        [copy for n, photo in enumerate(known) for copy in _copies(_sample(photo, held_out), EDITS, n)],
        [copy for n, photo in enumerate(negatives) for copy in _copies(_sample(photo, held_out), EDITS[n % 3 :: 3], n)],
        [copy for n, sample in enumerate(drawn[::4]) for copy in _copies(sample, DOCUMENT_EDITS, n)],
    )


def _drawn() -> list[bytes]:
    return documents(DOCUMENT_SEEDS)


def _same(photo: Photo, others: Iterable[Photo]) -> frozenset[str]:
    if photo.kind not in SAME_IMAGE:
        return frozenset((photo.key,))
    return frozenset(other.key for other in others if other.group == photo.group and other.kind in SAME_IMAGE)


def _sample(photo: Photo, others: Iterable[Photo]) -> Sample:
    return Sample(photo.path.read_bytes(), photo.key, _same(photo, others))


def _copies(of: Sample, edits: Sequence[str], seed: int) -> list[Sample]:
    image = Image.open(io.BytesIO(of.data)).convert("RGB")
    image.thumbnail((1000, 1000))
    return [Sample(apply(edit, image, seed=seed), of.key, of.same, edit) for edit in edits]


def encoded(samples: Sequence[Sample], encoders: dict[str, Encoder]) -> tuple[dict[str, Features], list[Sample]]:
    """Features of every encoder, and the samples that can be decoded and are not flat; each is decoded once."""
    specs = [encoder.input for encoder in encoders.values()]
    features: dict[str, list[Features]] = {name: [] for name in encoders}
    readable = []
    for start in range(0, len(samples), 64):
        inputs: list[tuple[Pixels, ...]] = []
        for sample in samples[start : start + 64]:
            try:
                prepared = prepare(sample.data, specs).inputs
            except ImageRejected:
                continue
            if all(has_content(image[None])[0] for image in prepared):  # a gallery compares nothing with a flat image
                inputs.append(prepared)
                readable.append(sample)
        for name, images in zip(encoders, zip(*inputs, strict=True), strict=True):
            features[name].append(encoders[name].encode(np.stack(images)).features)
    return {name: np.concatenate(parts) for name, parts in features.items()}, readable


def variants(features: dict[str, Features]) -> dict[str, Features]:
    """The features, with those of the variants, which are parts of those of `vgg16-copy`, as a test ensures."""
    if "vgg16-copy" not in features:
        return features
    whole = features["vgg16-copy"]
    leading = whole[:, :256] / np.linalg.norm(whole[:, :256], axis=1, keepdims=True)
    return {**features, **dict(zip(VARIANTS, (leading, leading, np.packbits(whole > 0, axis=1)), strict=True))}


def recall_of(
    name: str, metric: Metric, question: Question, features: dict[str, dict[str, Features]]
) -> dict[str, Any]:
    """Every figure of one encoder."""
    gallery = features["gallery"][name]
    keys = np.array([sample.key for sample in question.gallery])

    def answers(kind: str, samples: list[Sample]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The ten nearest of each copy: distances, and whether they are the same image."""
        distances = pairwise(metric, features[kind][name], gallery)
        order = np.argsort(distances, axis=1, kind="stable")[:, :10]
        right = np.array([[keys[n] in s.same for n in row] for s, row in zip(samples, order, strict=True)])
        return np.take_along_axis(distances, order, axis=1), right

    distances, right = answers("copies", question.copies)
    strange, _ = answers("negatives", question.negatives)
    _, of_documents = answers("documents", question.documents)
    edits = np.array([sample.edit for sample in question.copies])
    first, ten = right[:, 0], right.any(axis=1)
    whole = ~np.isin(edits, PASTES)
    score = np.concatenate([distances[:, 0], strange[:, 0]])
    good = np.concatenate([first, np.zeros(len(strange), bool)])[np.argsort(score, kind="stable")]
    precision = np.cumsum(good) / np.arange(1, len(good) + 1)
    wrong = np.flatnonzero(~good)
    return {
        "encoder": name,
        "recall@1": first.mean(),
        "recall@10": ten.mean(),
        "recall@1 without pastes": first[whole].mean(),
        "recall@10 without pastes": ten[whole].mean(),
        "uAP": (precision * good).sum() / len(first),
        "recall at 0 false": good[: wrong[0] if len(wrong) else None].sum() / len(first),
        "documents@1": of_documents[:, 0].mean(),
        "documents@10": of_documents.any(axis=1).mean(),
        **{f"{edit} @1, @10": [first[edits == edit].mean(), ten[edits == edit].mean()] for edit in EDITS},
    }


def measure_recall(queries: int, networks: Sequence[str]) -> list[dict[str, Any]]:
    """A row of figures for each encoder: these networks, and the variants of `vgg16-copy`."""
    cache = from_environment().cache
    encoders = {name: load_encoder(name, cache) for name in networks}
    names = (*networks, *(VARIANTS if "vgg16-copy" in networks else ()))
    asked = make_question(queries)
    found, readable = {}, {}
    for kind in ("gallery", "copies", "negatives", "documents"):
        features, readable[kind] = encoded(getattr(asked, kind), encoders)
        found[kind] = variants(features)
    specs = {name: load_encoder(name, cache).spec for name in names}
    found["gallery"] = {name: at_storage_precision(specs[name], rows) for name, rows in found["gallery"].items()}
    question = Question(**readable)
    counts = ", ".join(f"{len(samples):,} {kind}" for kind, samples in readable.items())
    print(f"{counts}; {len(asked.gallery) - len(question.gallery)} of the gallery cannot be decoded")
    return [
        recall_of(name, spec.metric, question, found) | {"stored bytes": row_bytes(spec)}
        for name, spec in specs.items()
    ]


def measure_int8(queries: int, calibrate: Path | None) -> list[dict[str, Any]]:
    """A row of figures for fp32 and one for int8, each searching its own features, and the cosine of the two.

    `calibrate` is a folder of images; None for the photos of the training split.
    """
    with tempfile.TemporaryDirectory() as temporary:
        cache, images = Path(temporary) / "cache", Path(temporary) / "images"
        images.mkdir()
        for number, photo in enumerate(photo for photo in photos() if in_training_split(photo)):
            shutil.copyfile(photo.path, images / f"{number:04}{photo.path.suffix}")
        pull("vgg16-copy", cache, precision="int8", calibrate=calibrate or images)
        precisions: list[Precision] = ["fp32", "int8"]
        encoders = {name: load_encoder("vgg16-copy", cache, precision=name) for name in precisions}
        asked = make_question(queries)
        found, readable = {}, {}
        for kind in ("gallery", "copies", "negatives", "documents"):
            found[kind], readable[kind] = encoded(getattr(asked, kind), encoders)
    cosines = np.concatenate([(rows["fp32"] * rows["int8"]).sum(axis=1) for rows in found.values()])
    print(f"{len(cosines):,} images, cosine of int8 to fp32: mean {cosines.mean():.5f}, least {cosines.min():.5f}")
    print(f"fingerprints {', '.join(encoder.spec.fingerprint for encoder in encoders.values())}")
    return [recall_of(name, "cosine", Question(**readable), found) for name in encoders]


def timed(encoder: Encoder, images: Pixels, seconds: float) -> float:
    """Images a second, in batches of 8."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        encoder.encode(images)
        done += len(images)
    return done / (time.perf_counter() - began)


def measure_speed(
    precisions: Sequence[Precision], rounds: int, seconds: float, calibrate: Path
) -> list[dict[str, Any]]:
    """Images a second of the article's network and of this one, taking turns; ratios are of the same round."""
    cache = from_environment().cache
    turns: dict[str, Callable[[], float]] = {}
    rng = np.random.default_rng(1)
    for name in NAMES:
        for precision in precisions:
            if precision == "int8":
                pull(name, cache, precision="int8", calibrate=calibrate)
            encoder = load_encoder(name, cache, precision=precision)
            images = rng.integers(0, 256, (8, encoder.input.height, encoder.input.width, 3), np.uint8)
            encoder.encode(images)  # the first run compiles
            turns[f"{name} {precision}"] = lambda e=encoder, i=images: timed(e, i, seconds)
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            speeds[name].append(turn())
    article = speeds[f"{NAMES[0]} {precisions[0]}"]
    return [
        {
            "engine": name,
            "images/s": statistics.median(values),
            "least": min(values),
            "most": max(values),
            f"x {NAMES[0]} {precisions[0]}": statistics.median(a / b for a, b in zip(values, article, strict=True)),
        }
        for name, values in speeds.items()
    ]


def main() -> None:
    """Measure, print, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=NAMES, help="those whose recall is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    bf16 = has_bf16() and "ONEDNN_MAX_CPU_ISA" not in os.environ  # OpenVINO fails in bf16 where that forbids it
    known: list[Precision] = ["fp32", *(["bf16"] if bf16 else []), "int8"]
    parser.add_argument("--precisions", nargs="+", choices=known, default=known)
    parser.add_argument("--calibrate", type=Path, help="images for the 8-bit forms; default: some of the photos")
    parser.add_argument("--only", choices=("recall", "speed", "int8"))
    given = parser.parse_args()
    print(*(f"{key} {value}" for key, value in describe().items()), sep=", ")
    measured: list[dict[str, Any]] = []
    if given.only in (None, "recall"):
        measured += measure_recall(given.queries, given.networks)
    if given.only in (None, "int8"):
        measured += measure_int8(given.queries, given.calibrate)
    if given.only in (None, "speed"):
        measured += measure_speed(
            given.precisions, given.rounds, given.seconds, given.calibrate or photo_folder() / "bsds500"
        )
    for row in measured:
        print(*(f"{key} {_text(value)}" for key, value in row.items()), sep="\n  ", flush=True)
    write_rows("vgg16_copy", measured)


def _text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
