"""Recall after verification, with and without windows of the query, through a whole gallery of photos.

    python -m benchmarks.verified_recall WORK [--queries 30] [--edits collage,pasted_25] [--searches NAMES] [--summary]

The gallery has the photos of the test split (`benchmarks.fit_vgg16_copy`) and the default pipelines. Photos at random,
of kinds whose groups tell every relation, are edited as `lookalike evaluate` does, pasted into images of the package,
and searched for with their originals in the answers and without them. What was measured is kept in WORK, image by
image: an interrupted run goes on there. No budget cuts verification short, so that results do not depend on the load.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image

import lookalike
from benchmarks.fit_vgg16_copy import in_training_split
from benchmarks.machine import describe
from benchmarks.photos import Photo, photos
from lookalike.evaluation.edits import EDITS
from lookalike.evaluation.measurement import (
    STANDARD_EDITS,
    QueryResult,
    ScoredHit,
    Search,
    confidence,
    searches,
)
from lookalike.evaluation.runner import Original, Runner, outside_images
from lookalike.evaluation.summary import Summary, summarise
from lookalike.samples import sample_paths
from lookalike.types import Item

TRUSTED = ("original", "distractor", "class")
"""Kinds of photos whose groups tell every relation."""
PASTES = ("pasted_50", "pasted_25", "collage")
HOSTS = 12
"""Images of the package that copies are pasted into."""
UNLIMITED_MS = 600_000.0


def test_split() -> list[Photo]:
    """The photos that training and the constants of verification have not seen."""
    return [photo for photo in photos() if not in_training_split(photo)]


def fill(gallery: lookalike.Gallery, chosen: Sequence[Photo]) -> dict[str, str]:
    """Add the photos; returns the group by key."""
    group = {photo.key: photo.group for photo in chosen}
    outcomes = gallery.add([Item(photo.key, photo.path) for photo in chosen])
    return {o.key: group[o.key] for o in outcomes if o.key is not None and o.outcome != "rejected"}


def chosen_searches(gallery: lookalike.Gallery, names: str | None) -> list[Search]:
    """Those of an evaluation with windows, or these of them, without a budget."""
    found = [
        search for search in searches(gallery.pipelines, deep=True) if not names or search.name in names.split(",")
    ]
    for search in found:
        search.options["verify_ms"] = UNLIMITED_MS
    return found


def read(file: Path) -> list[QueryResult]:
    """Results of an earlier run."""
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        for hits in ("hits", "others"):
            row[hits] = tuple(ScoredHit(**hit) for hit in row[hits])
    return [QueryResult(**row) for row in rows]


def run(runner: Runner, originals: Sequence[Original], file: Path) -> None:
    """Measure what the file does not have yet."""
    done = {result.image for result in read(file)}
    todo = [original for original in originals if original.name not in done]
    for number, results in enumerate(runner.run(todo), len(originals) - len(todo) + 1):
        with file.open("a") as out:
            out.writelines(json.dumps(asdict(result)) + "\n" for result in results)
        print(f"{number} of {len(originals)}", flush=True)


def show(results: Sequence[QueryResult]) -> None:
    """Print the figures of every search, of all edits, of all but pastes, and of each."""
    names = list(dict.fromkeys(r.search for r in results))
    edits = [edit for edit in EDITS if any(r.edit == edit for r in results)]
    standard = [r for r in results if r.edit in STANDARD_EDITS]
    whole = [r for r in standard if r.edit not in PASTES]
    for name in names:
        _print("all edits", summarise(standard, search=name))
        _print("without pastes", summarise(whole, search=name))
    print(f"{'recall@1, first hit copy or exact':30}", *(f"{name:>14}" for name in names))
    for edit in edits:
        of_edit = [summarise(results, search=name, edit=edit) for name in names]
        print(f"{edit:30}", *(f"{s.recall[1].value:8.3f} {s.labelled.value:5.3f}" for s in of_edit))


def _print(of: str, summary: Summary) -> None:
    print(f"{summary.search}, {of}: {summary.images} images, {summary.queries} copies")
    figures = {
        "recall@1": summary.recall[1],
        "recall@10": summary.recall[10],
        "uAP": summary.average_precision,
        **{f"recall at {100 * rate:g} %": found for rate, found in summary.recall_at_false.items()},
        "labelled": summary.labelled,
        "wrong copy": summary.wrong_copies,
    }
    for name, found in figures.items():
        print(
            f"  {name:18}", "-" if found.value is None else f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"
        )


def main() -> None:
    """Build the gallery, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--edits", default=",".join(STANDARD_EDITS))
    parser.add_argument("--searches", help="only these, separated by commas")
    parser.add_argument("--file", default="results.jsonl", help="results, in WORK")
    parser.add_argument("--summary", action="store_true", help="only print what was measured")
    given = parser.parse_args()
    print(*(f"{key} {value}" for key, value in describe().items()), sep=", ")
    given.work.mkdir(exist_ok=True)
    file = given.work / given.file
    if not given.summary:
        everything = test_split()
        with lookalike.open(given.work / "gallery", create=True) as gallery:
            groups = fill(gallery, everything)
            print(f"{len(groups)} photos in the gallery", flush=True)
            eligible = [p for p in everything if p.key in groups and p.kind in TRUSTED]
            asked = random.Random(11).sample(eligible, given.queries)
            outside = outside_images(gallery, sample_paths()[:HOSTS], tenant="default")
            runner = Runner(
                gallery,
                "default",
                confidence(gallery.pipeline_calibrations()),
                chosen_searches(gallery, given.searches),
                given.edits.split(","),
                others=[Image.open(path) for path in outside],
                groups=groups,
            )
            run(runner, [Original(photo.key, photo.path) for photo in asked], file)
    show(read(file))


if __name__ == "__main__":
    main()
