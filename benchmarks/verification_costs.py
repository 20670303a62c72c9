"""Verification in a gallery: what a stored image is compared by, and what comparing costs a search.

    python -m benchmarks.verification_costs sources [--photos 60]   # file, thumbnail and record of the same photos
    python -m benchmarks.verification_costs search GALLERY [--queries 24]

`search` takes a gallery added from files. Each image is searched for by an edited copy, with its original in the
gallery and as if that were not in it, without and with verification; the difference of the process' times is what
verification takes.
"""

import argparse
import io
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import lookalike
from benchmarks.machine import describe
from benchmarks.photos import photos
from lookalike.evaluation.edits import apply
from lookalike.imaging import decode, thumbnail_of
from lookalike.imaging.resizing import reduce_to
from lookalike.labels import label
from lookalike.types import Answer, Pixels
from lookalike.verification import RECORD_SIDE, Side, VerificationEncoder, Verifier, from_record, to_record

SIDE = 800
"""Pixels of the longer side from which a gallery compares images."""
EDITS = ("jpeg15", "mirror", "letterbox", "crop_80")
"""Copies that are searched for, in turn."""
WARM_UP = 2
"""Queries that are not measured: they load the models."""


def sources(number: int) -> None:
    """Labels of copies of photos, and of other photos, by what the stored image is compared by; costs of a record."""
    chosen = random.Random(1).sample(photos(), number)
    images = [decode(photo.path.read_bytes(), box=(1200, 1)).rgb for photo in chosen]
    verifier, stored, sizes, seconds = Verifier(), [], [], 0.0
    to_record(_side(images[0]))  # loads the network
    for pixels in images:
        small = reduce_to(pixels, RECORD_SIDE)
        started = time.process_time()
        record = to_record(_side(small, pixels))
        seconds += time.process_time() - started
        sizes.append(len(record))
        thumbnail = decode(thumbnail_of(pixels)).rgb
        stored.append({"file": _side(pixels), "thumbnail": _side(thumbnail, pixels), "record": from_record(record)})
    labels: Counter[tuple[str, str, str]] = Counter()
    for at, pixels in enumerate(images):
        for edit, copy in _copies(pixels):
            for source, side in stored[at].items():
                labels[source, edit, label(verifier.verify(_side(copy), side))[0]] += 1
        for source, side in stored[(at + 1) % number].items():
            labels[source, "another photo", label(verifier.verify(_side(pixels), side))[0]] += 1
    print(describe())
    print(
        f"record: {np.mean(sizes):,.0f} bytes, at most {max(sizes):,}; {1000 * seconds / number:.0f} ms of a processor"
    )
    for (source, edit, found), count in sorted(labels.items()):
        print(f"{source:10} {edit:14} {found:8} {count}")


def _side(pixels: Pixels, full: Pixels | None = None) -> Side:
    height, width = (pixels if full is None else full).shape[:2]
    return VerificationEncoder().from_pixels(reduce_to(pixels, SIDE), width, height)


def _copies(pixels: Pixels) -> Iterator[tuple[str, Pixels]]:
    image = Image.fromarray(pixels)
    width, height = image.size
    boxes = {"crop_70": (0.1, 0.1, 0.937, 0.937), "crop_49": (0.05, 0.2, 0.75, 0.9)}
    for name, box in boxes.items():
        yield name, np.asarray(image.crop(tuple(round(v * s) for v, s in zip(box, (width, height) * 2, strict=True))))
    yield "rotate_5", np.asarray(image.rotate(5, expand=True, resample=Image.Resampling.BICUBIC))
    out = io.BytesIO()
    image.resize((width // 2, height // 2)).save(out, "JPEG", quality=15)
    yield "jpeg15_half", np.asarray(Image.open(out).convert("RGB"))


def search(folder: str, number: int) -> None:
    """Milliseconds that verification takes of the processors, and by the clock, a query."""
    with lookalike.open(folder) as gallery:
        records = [record for record in gallery.sample(number + WARM_UP, seed=3) if record.path is not None]
        costs: dict[str, list[tuple[float, float, int]]] = {"the original is first": [], "no copy is there": []}
        for at, record in enumerate(records):
            assert record.path is not None
            image = Image.fromarray(decode(Path(record.path).read_bytes(), box=(1600, 1600)).rgb)
            query = apply(EDITS[at % len(EDITS)], image, at)
            for kind, left_out in (("no copy is there", [record.key]), ("the original is first", [])):
                without, _ = _ask(gallery, query, left_out, verify=False)
                taken, answer = _ask(gallery, query, left_out, verify=True)
                is_copy = answer.hits[0].evidence in ("exact", "copy")
                if at >= WARM_UP and is_copy == (not left_out) and answer.verification is not None:
                    by_clock = answer.took_ms.get("verify", 0.0)
                    costs[kind].append((taken - without, by_clock, answer.verification.verified))
    print(describe())
    for kind, rows in costs.items():
        of_processors, by_clock, compared = np.array(rows).T
        print(
            f"{kind}: {len(rows)} queries, {compared.mean():.1f} compared, ms of processors p50 "
            f"{np.percentile(of_processors, 50):.0f} p95 {np.percentile(of_processors, 95):.0f}, by the clock p50 "
            f"{np.percentile(by_clock, 50):.0f}"
        )


def _ask(gallery: lookalike.Gallery, query: bytes, left_out: list[str], *, verify: bool) -> tuple[float, Answer]:
    """Milliseconds of the processors that a search takes, and its answer."""
    started = time.process_time()
    [(_, answer)] = gallery.search_without([(query, left_out)], verify=verify)
    assert isinstance(answer, Answer)
    return 1000 * (time.process_time() - started), answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    of_sources, of_search = parts.add_parser("sources"), parts.add_parser("search")
    of_sources.add_argument("--photos", type=int, default=60)
    of_search.add_argument("gallery")
    of_search.add_argument("--queries", type=int, default=24)
    arguments = parser.parse_args()
    if arguments.part == "sources":
        sources(arguments.photos)
    else:
        search(arguments.gallery, arguments.queries)


if __name__ == "__main__":
    main()
