"""Recall after verification, with windows of the query, through a whole gallery of photos.

    python -m benchmarks.verified_recall WORK [--queries 30] [--negatives 4] [--edits NAMES] [--summary]

The gallery has the photos of the test split (`benchmarks.fit_vgg16_copy`) and the default pipelines. Photos at random,
of kinds whose groups tell every relation, are edited as `lookalike evaluate` does, pasted into images of the package,
and searched for (`deep`); so many copies of each, at random, also without their originals, which takes ten times as
long as a search that finds one. What was measured is kept in WORK, image by image: an interrupted run goes on there. No
budget cuts verification short, so that results do not depend on the load of the machine.
"""

import argparse
import json
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import lookalike
from benchmarks.fit_vgg16_copy import in_training_split
from benchmarks.machine import describe
from benchmarks.photos import Photo, photos
from lookalike.evaluation.edits import EDITS
from lookalike.evaluation.measurement import EVALUATED_HITS, STANDARD_EDITS, Confidence, confidence
from lookalike.evaluation.metrics import (
    NO_ANSWER,
    Floats,
    bootstrap,
    micro_average_precision,
    recall_at_false_rate,
    recall_at_k,
)
from lookalike.evaluation.runner import edited_copies, outside_images
from lookalike.results import SearchOptions
from lookalike.samples import sample_paths
from lookalike.types import Answer, Item

TRUSTED = ("original", "distractor", "class")
"""Kinds of photos whose groups tell every relation."""
PASTES = ("pasted_50", "pasted_25", "collage")
HOSTS = 12
"""Images of the package that copies are pasted into."""
OPTIONS: SearchOptions = {"k": 2 * EVALUATED_HITS, "deep": True, "verify_ms": 600_000.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One copy: rank of the original (None: not among the first ten), its confidence, whether it is labelled a copy.

    `false_scores` are those of the hits without the original, `wrong_copy` whether one is labelled a copy; None where
    that was not searched for.
    """

    image: str
    edit: str
    rank: int | None
    score: float | None
    labelled: bool
    false_scores: list[float] | None = None
    wrong_copy: bool | None = None


def test_split() -> list[Photo]:
    """The photos that training and the constants of verification have not seen."""
    return [photo for photo in photos() if not in_training_split(photo)]


def fill(gallery: lookalike.Gallery, chosen: Sequence[Photo]) -> dict[str, str]:
    """Add the photos; returns the group by key."""
    group = {photo.key: photo.group for photo in chosen}
    outcomes = gallery.add([Item(photo.key, photo.path) for photo in chosen])
    return {o.key: group[o.key] for o in outcomes if o.key is not None and o.outcome != "rejected"}


def measure(
    gallery: lookalike.Gallery,
    of: Confidence,
    photo: Photo,
    same: Collection[str],
    edits: Sequence[str],
    others: Sequence[Image.Image],
    negatives: int,
) -> Iterator[Row]:
    """The rows of one photo."""
    files = edited_copies(photo.key, photo.path, edits, 0, others=others)
    without = set(random.Random(photo.key).sample(range(len(edits)), min(negatives, len(edits))))
    for number, (edit, (_, answer)) in enumerate(zip(edits, gallery.search_many(files, **OPTIONS), strict=True)):
        assert isinstance(answer, Answer)
        hits = answer.hits[:EVALUATED_HITS]
        rank = next((n for n, hit in enumerate(hits, 1) if hit.key in same), None)
        right = None if rank is None else hits[rank - 1]
        score = None if right is None else of(right)
        row = Row(photo.key, edit, rank, score, right is not None and right.evidence in ("exact", "copy"))
        if number in without:
            [(_, missing)] = gallery.search_without([(files[number], same)], **OPTIONS)
            assert isinstance(missing, Answer)
            false = missing.hits[:EVALUATED_HITS]
            wrong = any(hit.evidence in ("exact", "copy") for hit in false)
            row = Row(row.image, edit, rank, score, row.labelled, [of(hit) for hit in false], wrong)
        yield row


def read(file: Path) -> list[Row]:
    """Rows of an earlier run."""
    return [Row(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def show(rows: Sequence[Row]) -> None:
    """Print the figures of all edits, of all but pastes, and of each; wrong answers are those of any edit."""
    standard = [row for row in rows if row.edit in STANDARD_EDITS]
    _print("the standard edits", standard, rows)
    _print("without pastes", [row for row in standard if row.edit not in PASTES], rows)
    for edit in EDITS:
        if of_edit := [row for row in rows if row.edit == edit]:
            first, labelled = (sum(test) for test in zip(*((r.rank == 1, r.labelled) for r in of_edit), strict=True))
            print(f"  {edit:20} first {first}, labelled {labelled}, of {len(of_edit)}")


def _print(name: str, rows: Sequence[Row], everything: Sequence[Row]) -> None:
    """Queries without originals are weighted to be as many as those with them."""
    searched = [row for row in everything if row.false_scores is not None]
    images = {image: n for n, image in enumerate(dict.fromkeys(row.image for row in rows))}
    own, theirs = (np.array([images[r.image] for r in of], np.intp) for of in (rows, searched))
    ranks = np.array([r.rank or np.inf for r in rows])
    right = np.array([r.score if r.rank == 1 and r.score is not None else NO_ANSWER for r in rows])
    best = np.array([max(r.false_scores or [NO_ANSWER]) for r in searched])
    found = [(r.score, True, images[r.image], 1.0) for r in rows if r.score is not None]
    each = len(rows) / max(len(searched), 1)
    found += [(s, False, images[r.image], each) for r in searched for s in r.false_scores or ()]
    scores, correct, image, weight = (np.array(column) for column in zip(*found, strict=True))

    def uap(weights: Floats) -> float:
        return micro_average_precision(scores, correct, float(weights[own].sum()), weight * weights[image])

    figures = {
        "recall@1": lambda w: recall_at_k(ranks, 1, w[own]),
        "recall@10": lambda w: recall_at_k(ranks, EVALUATED_HITS, w[own]),
        "uAP": uap,
        "recall at 0 %": lambda w: recall_at_false_rate(right, best, 0.0, w[own], w[theirs]),
        "labelled": lambda w: float(np.average([r.labelled for r in rows], weights=w[own])),
        "wrong copy": lambda w: float(np.average([bool(r.wrong_copy) for r in searched], weights=w[theirs] + 1e-12)),
    }
    print(f"{name}: {len(images)} images, {len(rows)} copies, {len(searched)} without original")
    for figure, statistic in figures.items():
        found_value = bootstrap(statistic, len(images))
        print(f"  {figure:16} {found_value.value:.4f} ({found_value.low:.4f} to {found_value.high:.4f})")


def main() -> None:
    """Build the gallery, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--negatives", type=int, default=4, help="copies of each that are searched for without it, too")
    parser.add_argument("--edits", default=",".join((*STANDARD_EDITS, "collage")))
    parser.add_argument("--summary", action="store_true", help="only print what was measured")
    given = parser.parse_args()
    print(*(f"{key} {value}" for key, value in describe().items()), sep=", ")
    given.work.mkdir(exist_ok=True)
    file = given.work / "rows.jsonl"
    if not given.summary:
        everything = test_split()
        done = {row.image for row in read(file)}
        with lookalike.open(given.work / "gallery", create=True) as gallery:
            groups = fill(gallery, everything)
            print(f"{len(groups)} photos in the gallery", flush=True)
            eligible = [p for p in everything if p.key in groups and p.kind in TRUSTED]
            asked = random.Random(11).sample(eligible, given.queries)
            others = [Image.open(path) for path in outside_images(gallery, sample_paths()[:HOSTS], tenant="default")]
            of, edits = confidence(gallery.pipeline_calibrations()), given.edits.split(",")
            for photo in (photo for photo in asked if photo.key not in done):
                same = {key for key, group in groups.items() if group == photo.group}
                rows = list(measure(gallery, of, photo, same, edits, others, given.negatives))
                with file.open("a") as out:
                    out.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
                print(photo.key, [row.edit for row in rows if row.rank != 1], flush=True)
    show(read(file))


if __name__ == "__main__":
    main()
