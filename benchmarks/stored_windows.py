"""Parts of stored images as queries: with and without windows of stored images.

    python -m benchmarks.stored_windows WORK [--photos 300] [--queries 30]

The gallery has photos of the test split and the default pipelines. Of some, a part is cut out at a random place and
written as JPEG 80; or a quarter of the image is pasted over a quarter of an image that is not in the gallery, which is
searched for deep. Each query is also searched for without its original. Then the pipeline of windows is added, and all
is searched for again. No budget cuts verification short.
"""

import argparse
import io
import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

import lookalike
from benchmarks.fit_vgg16_copy import in_training_split
from benchmarks.machine import describe, write_rows
from benchmarks.photos import Photo, photos
from lookalike.results import SearchOptions
from lookalike.samples import sample_paths
from lookalike.types import Answer, Item

PIPELINE = "vgg16-copy-windows"
SHARES = (0.25, 0.16, 0.09)
"""Of the area of the stored image."""
SHARED = "shared part"
TRUSTED = ("original", "distractor", "class")


def part_of(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    """A part of the same shape, at a random place."""
    width, height = (round(side * share**0.5) for side in image.size)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def file_of(image: Image.Image) -> bytes:
    """JPEG, quality 80."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


def queries_of(photo: Photo, number: int) -> dict[str, bytes]:
    """The queries made of a photo, by kind."""
    rng = random.Random(number)
    image = Image.open(photo.path).convert("RGB")
    found = {f"{100 * share:g} % of it": file_of(part_of(image, share, rng)) for share in SHARES}
    part = part_of(image, 0.25, rng)
    host = ImageOps.fit(Image.open(rng.choice(sample_paths())).convert("RGB"), image.size)
    host.paste(part, (rng.randint(0, host.width - part.width), rng.randint(0, host.height - part.height)))
    found[SHARED] = file_of(host)
    return found


def measure(gallery: lookalike.Gallery, chosen: Sequence[Photo], groups: dict[str, str], when: str) -> None:
    """Search for all queries, print and keep a row of each kind."""
    rows: dict[str, list[tuple[bool, bool, bool]]] = {}
    for number, photo in enumerate(chosen):
        same = [key for key, group in groups.items() if group == photo.group]
        for kind, data in queries_of(photo, number).items():
            options: SearchOptions = {"verify_ms": 600_000.0, "deep": kind == SHARED}
            first = gallery.search(data, **options).hits[0]
            [(_, without)] = gallery.search_without([(data, same)], **options)
            assert isinstance(without, Answer)
            right = first.key in same
            proven = right and first.evidence in ("exact", "copy", "variant")
            rows.setdefault(kind, []).append((right, proven, _is_alike(without)))
    for kind, results in rows.items():
        right, proven, wrong = (sum(column) for column in zip(*results, strict=True))
        print(f"{when:10} {kind:12} first {right}, proven {proven}, wrong {wrong}, of {len(results)}", flush=True)
        row = {"when": when, "kind": kind, "queries": len(results), "first": right, "proven": proven, "wrong": wrong}
        write_rows("stored_windows", [row])


def _is_alike(answer: Answer) -> bool:
    return any(hit.evidence != "similar" for hit in answer.hits)


def main() -> None:
    """Fill the gallery, search, add the windows, search again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--queries", type=int, default=30)
    given = parser.parse_args()
    print(*(f"{key} {value}" for key, value in describe().items()), sep=", ")
    eligible = [photo for photo in photos() if not in_training_split(photo) and photo.kind in TRUSTED]
    stored = random.Random(5).sample(eligible, given.photos)
    groups = {photo.key: photo.group for photo in stored}
    with lookalike.open(given.work, create=True) as gallery:
        gallery.add([Item(photo.key, photo.path) for photo in stored])
        measure(gallery, stored[: given.queries], groups, "without")
        gallery.add_pipeline(PIPELINE)
        gallery.backfill(PIPELINE)
        measure(gallery, stored[: given.queries], groups, "with")


if __name__ == "__main__":
    main()
