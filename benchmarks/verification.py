"""Verification of candidates: labels of drawn documents and real photos, recall at zero false positives, time, bytes.

    python -m benchmarks.verification [--split test] [--parts documents,photos,records,speed] [--originals 24]

Groups of photos are split by a hash: a quarter is `train` (on it constants were chosen), the rest `test`. Documents of
the two splits have other seeds, hence other templates. Each split has a gallery of its own; half of its queried
photos are not in it. Candidates are the ten of the merged ranking of VGG16 and pHash. Raw rows go to
benchmarks/out/verification.jsonl.
"""

import argparse
import io
import json
import random
import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lookalike
from benchmarks.documents import BLOCK, FAMILIES, FLAT, TEMPLATES, draw
from benchmarks.machine import write_rows
from benchmarks.photos import Photo, photos
from lookalike.cpu import usable_cores
from lookalike.evaluation.edits import apply
from lookalike.verification import Side, Verification, VerificationEncoder, Verifier, from_record, label, to_record

PHOTO_EDITS = (
    *("jpeg15", "gif", "scale_quarter", "squeeze", "perspective", "letterbox", "white_frame", "blurred_sides"),
    *("mirror", "flip", "rotate_90", "rotate_5", "rotate_15", "crop_80", "crop_50", "crop_50_sides", "crop_70_corner"),
    *("grey", "warm_filter", "contrast_up", "blur", "watermark", "meme", "caption", "screenshot_post"),
    *("pasted_25", "pasted_50"),
)
DOCUMENT_EDITS = ("jpeg15", "scale_half", "letterbox", "mirror", "crop_70", "crop_70_corner")
EDITS_OF_DIFFERENT = ("jpeg15", "scale_half", "crop_70")
"""Edits of one document that are compared with another one."""
KINDS = ("original", "copy", "distractor", "class")
FIRST_SEED = {"train": 0, "test": 10_000}
CANDIDATES = 10
OUT = Path(__file__).parent / "out"
_ENCODER, _VERIFIER = VerificationEncoder(), Verifier()


def split_of(group: str) -> str:
    """The split of a photo's group."""
    return "train" if zlib.crc32(group.encode()) % 4 == 0 else "test"


def side_of(image: Image.Image) -> Side:
    """An image prepared from its pixels."""
    rgb = np.asarray(image.convert("RGB"))
    return _ENCODER.from_pixels(rgb, rgb.shape[1], rgb.shape[0])


def edited(edit: str, image: Image.Image, seed: int, others: Sequence[Image.Image] = ()) -> Side:
    """An edited copy, prepared."""
    return side_of(Image.open(io.BytesIO(apply(edit, image, seed, others=others))))


def row_of(found: Verification, **names: Any) -> dict[str, Any]:
    """A raw row: the evidence and its label."""
    kind, probability = label(found)
    evidence = {
        name: getattr(found, name)
        for name in ("agreement", "differing", "largest", "textured", "color", "tone", "detail", "resolution")
    }
    more = {name: getattr(found, name) for name in ("inliers", "method", "query_coverage", "stored_coverage")}
    return {**names, **evidence, **more, "label": kind, "probability": probability, "boxes": len(found.differences)}


def document_rows(split: str, originals: int, families: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Edited copies of documents, and pairs of different documents: two of a template, two of a family, one edited."""
    rng = random.Random(split)
    for family in families:
        first = FIRST_SEED[split] + BLOCK * rng.randrange(100)
        seeds = [*range(first, first + originals - 1), first + BLOCK]  # the last one has another template
        images = [draw(family, seed) for seed in seeds]
        sides = [side_of(image) for image in images]
        for seed, image, side in zip(seeds, images, sides, strict=True):
            for edit in DOCUMENT_EDITS:
                copy = edited(edit, image, seed)
                yield row_of(_VERIFIER.verify(copy, side), kind="copy", family=family, edit=edit, seed=seed)
                other = (seeds.index(seed) + 1) % len(seeds)
                names = {"kind": "different", "family": family, "edit": edit, "seed": seed, "other": seeds[other]}
                if edit in EDITS_OF_DIFFERENT:
                    yield row_of(_VERIFIER.verify(copy, sides[other]), **names)
        for one, other in ((a, b) for a in range(len(seeds)) for b in range(a)):
            names = {"kind": "different", "family": family, "edit": "", "seed": seeds[one], "other": seeds[other]}
            yield row_of(_VERIFIER.verify(sides[one], sides[other]), **names)


def photo_rows(
    split: str, originals: int, edits: Sequence[str], *, gallery_size: int, records: bool
) -> Iterator[dict[str, Any]]:
    """Candidates of edited photos, half of them without their original in the gallery."""
    chosen = [photo for photo in photos() if split_of(photo.group) == split]
    group = {photo.key: photo.group for photo in chosen}
    groups = sorted({photo.group for photo in chosen if photo.kind in KINDS})
    queried = random.Random(split).sample(groups, 2 * originals)
    absent = set(queried[::2])
    around = [
        photo for photo in photos() if split_of(photo.group) != split
    ]  # nothing of a copy's surroundings is found
    offered = [photo for photo in chosen if photo.group in queried and photo.group not in absent]
    others = [photo for photo in chosen if photo.group not in queried]
    present = offered + random.Random(split).sample(others, min(gallery_size - len(offered), len(others)))
    by_key = {photo.key: photo for photo in present}
    first = {photo.group: photo for photo in reversed(chosen)}

    @lru_cache(maxsize=4000)
    def stored(key: str) -> Side:
        side = load(by_key[key])
        return from_record(to_record(side)) if records else side

    with lookalike.open(OUT / f"verification-{split}-{originals}-{gallery_size}", create=True) as gallery:
        if not gallery.status().images:
            gallery.add([photo.path for photo in present])
        keys = {str(photo.path): photo.key for photo in present}
        for number, name in enumerate(queried):
            image = Image.open(first[name].path).convert("RGB")
            surroundings = [Image.open(photo.path).convert("RGB") for photo in around[number::97][:4]]
            for edit in edits:
                data = apply(edit, image, number, others=surroundings)
                hits = gallery.search(data, k=CANDIDATES).hits
                query = side_of(Image.open(io.BytesIO(data)))
                candidates = [keys[str(hit.path)] for hit in hits]
                found = verify_many(query, [stored(key) for key in candidates])
                for rank, (key, evidence) in enumerate(zip(candidates, found, strict=True)):
                    kind = "copy" if group[key] == name else "different"
                    names = {"kind": kind, "photo": name, "edit": edit, "present": name not in absent, "rank": rank}
                    yield row_of(evidence, **names, candidate=key)


def pair_rows(
    split: str, originals: int, edits: Sequence[str], *, gallery_size: int, records: bool
) -> Iterator[dict[str, Any]]:
    """Edited photos against their originals, and against the most similar others by luma at 32 x 32."""
    rng = random.Random(split)
    chosen = [photo for photo in photos() if split_of(photo.group) == split and photo.kind in KINDS]
    gallery = rng.sample(list({photo.group: photo for photo in chosen}.values()), gallery_size)
    around = [photo for photo in photos() if split_of(photo.group) != split]
    sides = [load(photo) for photo in gallery]
    if records:
        sides = [from_record(to_record(side)) for side in sides]
    small = np.stack([side.small_turns[0] for side in sides])
    for number, photo in enumerate(gallery[:originals]):
        image = Image.open(photo.path).convert("RGB")
        surroundings = [Image.open(other.path).convert("RGB") for other in around[number::97][:4]]
        for edit in edits:
            query = edited(edit, image, number, surroundings)
            nearest = np.argsort(-(query.small_turns @ small.T).max(axis=0)).tolist()
            others = [at for at in nearest if at != number][: 1 if number % 4 else CANDIDATES]
            for at in (number, *others):
                kind = "copy" if at == number else "different"
                names = {"kind": kind, "photo": photo.group, "edit": edit, "present": True, "rank": -1}
                yield row_of(_VERIFIER.verify(query, sides[at]), **names, candidate=gallery[at].key)


def labelled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raw rows with the labels that today's constants give."""
    names = [field.name for field in fields(Verification)]
    evidence: dict[str, Any] = dict.fromkeys(names)
    every = []
    for row in rows:
        found = Verification(**{**evidence, "differences": (), **{name: row[name] for name in names if name in row}})
        kind, probability = label(found)
        every.append({**row, "label": kind, "probability": probability})
    return every


def kept(part: str, split: str, rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each appended to the file of raw rows as it comes."""
    every = []
    for row in rows:
        write_rows("verification", [{"part": part, "split": split, **row}])
        every.append(row)
    return every


def load(photo: Photo) -> Side:
    """A photo of the gallery, prepared."""
    with Image.open(photo.path) as image:
        return side_of(image)


def show_documents(rows: list[dict[str, Any]]) -> None:
    """Copies found by edit, and wrong copies by family."""
    copies, different = ([row for row in rows if row["kind"] == kind] for kind in ("copy", "different"))
    for edit in DOCUMENT_EDITS:
        textured = [row for row in copies if row["edit"] == edit and row["family"] not in FLAT]
        missed = sorted({row["family"] for row in textured if row["label"] != "copy"})
        print(f"{edit:16} copy {share(textured, 'copy'):.3f} of {len(textured)}; missed: {', '.join(missed)}")
    wrong = [row for row in different if row["label"] == "copy"]
    print(f"different documents: {len(wrong)} of {len(different)} labelled copy ({len(wrong) / len(different):.2%})")
    for row in wrong:
        print(
            "   ", {name: row[name] for name in ("family", "edit", "seed", "other", "agreement", "differing", "detail")}
        )
    templates = [
        row for row in different if row["family"] in TEMPLATES and row["seed"] // BLOCK == row["other"] // BLOCK
    ]
    print(f"pairs of one template: variant {share(templates, 'variant'):.3f} of {len(templates)}")


def share(rows: list[dict[str, Any]], name: str) -> float:
    """The share of rows with this label."""
    return sum(row["label"] == name for row in rows) / max(len(rows), 1)


def show_photos(rows: list[dict[str, Any]], score: str = "probability") -> None:
    """Recall at zero false positives, by the score of the best candidate, and by label."""
    queries: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        queries[row["photo"], row["edit"]].append(row)
    for name, left_out in (("all edits", ()), ("without pastes", ("pasted_25", "pasted_50"))):
        best = []
        for of in queries.values():
            if of[0]["edit"] not in left_out:
                best.append(max(of, key=lambda row: (row[score], row["agreement"] or 0.0)))
        wrong = [row for of in queries.values() for row in of if row["kind"] == "different"]
        wrong = [row for row in wrong if row["edit"] not in left_out]
        bar = max(((row[score], row["agreement"] or 0.0) for row in wrong), default=(0.0, 0.0))
        asked = [row for row in best if row["present"]]
        right = [row for row in asked if row["kind"] == "copy"]
        found = sum((row[score], row["agreement"] or 0.0) > bar for row in right)
        labelled = sum(row["label"] == "copy" for row in right)
        print(
            f"{name}: recall@1 {len(right) / len(asked):.3f}, at zero false positives {found / len(asked):.3f} "
            f"(bar {bar[0]:.4f}, {bar[1]:.3f}), labelled copy {labelled / len(asked):.3f} of {len(asked)}; "
            f"wrong copies {sum(row['label'] == 'copy' for row in wrong)} of {len(wrong)} pairs"
        )
    by_edit: dict[str, list[str]] = defaultdict(list)
    for (_, edit), of in queries.items():
        if of[0]["present"]:
            row = max(of, key=lambda row: (row[score], row["agreement"] or 0.0))
            by_edit[edit].append(row["label"] if row["kind"] == "copy" else "missed")
    for edit, labels in by_edit.items():
        print(
            f"    {edit:18}"
            + "  ".join(f"{name} {labels.count(name)}" for name in ("copy", "variant", "similar", "missed"))
        )


def show_speed(split: str) -> None:
    """Time of a query whose first candidate is the copy, and of one with ten candidates and no copy.

    Milliseconds of the clock, and of all processors together, which other work on the machine disturbs less.
    """
    chosen = [photo for photo in photos() if split_of(photo.group) == split and photo.kind == "distractor"][:40]
    sides = [load(photo) for photo in chosen]
    first, none = [], []
    for number, photo in enumerate(chosen[:20]):
        image = Image.open(photo.path).convert("RGB")
        for edit in ("jpeg15", "scale_half", "letterbox", "mirror", "crop_70", "watermark"):
            pixels = np.asarray(Image.open(io.BytesIO(apply(edit, image, number))).convert("RGB"))
            first.append(timed(pixels, [fresh(sides[number])]))
        others = [fresh(sides[(number + step) % len(sides)]) for step in range(1, 11)]
        none.append(timed(pixels, others))
    for name, times in (("first candidate is the copy", first), ("ten candidates, no copy", none)):
        clock, processor = np.array(times).T
        print(f"{name}: p50 {np.median(clock):.0f} ms, p95 {np.percentile(clock, 95):.0f} ms; ", end="")
        print(f"of processors p50 {np.median(processor):.0f} ms, p95 {np.percentile(processor, 95):.0f} ms")


def verify_many(query: Side, stored: list[Side]) -> list[Verification]:
    """Compare a query with several stored images, on all cores, as a search does."""
    with ThreadPoolExecutor(min(usable_cores(), len(stored))) as pool:
        return list(pool.map(lambda side: _VERIFIER.verify(query, side), stored))


def timed(pixels: Any, stored: list[Side]) -> tuple[float, float]:
    """Milliseconds of preparing a query and verifying candidates: by the clock, and of all processors."""
    clock, processor = time.perf_counter(), time.process_time()
    verify_many(_ENCODER.from_pixels(pixels, pixels.shape[1], pixels.shape[0]), stored)
    return 1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - processor)


def fresh(side: Side) -> Side:
    """The same image without anything that was computed."""
    return Side(side.luma, side.colors, side.width, side.height)


def show_records(split: str) -> None:
    """Bytes of the verification record, of photos and of documents."""
    images = [load(photo) for photo in photos() if split_of(photo.group) == split][:150]
    drawn = [side_of(draw(family, FIRST_SEED[split] + 3)) for family in FAMILIES]
    for name, sides in (("photos", images), ("documents", drawn)):
        sizes = [len(to_record(side)) for side in sides]
        print(f"record of {name}: mean {statistics.mean(sizes):,.0f} bytes, p99 {np.percentile(sizes, 99):,.0f}")


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=FIRST_SEED, default="test")
    parser.add_argument("--parts", default="documents,photos,records,speed")
    parser.add_argument(
        "--originals", type=int, default=24, help="photos queried that are in the gallery, and that are not"
    )
    parser.add_argument("--gallery", type=int, default=500, help="photos in the gallery")
    parser.add_argument("--documents", type=int, default=4, help="documents of each family")
    parser.add_argument("--rows", type=Path, help="show the raw rows of this file again, with today's labels")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--edits", default=",".join(PHOTO_EDITS))
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if arguments.rows:
        rows = labelled([json.loads(line) for line in arguments.rows.read_text().splitlines()])
        for part, show in (
            ("documents", show_documents),
            ("photos", show_photos),
            ("photo-records", show_photos),
            ("pairs", show_photos),
        ):
            of = [row for row in rows if (row["part"], row["split"]) == (part, arguments.split)]
            if of and part in parts:
                print(part)
                show(of)
        return
    if "documents" in parts:
        found = document_rows(arguments.split, arguments.documents, arguments.families.split(","))
        show_documents(kept("documents", arguments.split, found))
    for part in ("photos", "photo-records"):
        if part in parts:
            edits = arguments.edits.split(",")
            found = photo_rows(
                arguments.split,
                arguments.originals,
                edits,
                gallery_size=arguments.gallery,
                records=part == "photo-records",
            )
            rows = kept(part, arguments.split, found)
            print(part)
            show_photos(rows)
    for part in ("pairs", "pair-records"):
        if part in parts:
            edits, size = arguments.edits.split(","), arguments.gallery
            found = pair_rows(
                arguments.split, arguments.originals, edits, gallery_size=size, records=part == "pair-records"
            )
            show_photos(kept(part, arguments.split, found))
    if "records" in parts:
        show_records(arguments.split)
    if "speed" in parts:
        show_speed(arguments.split)


if __name__ == "__main__":
    main()
