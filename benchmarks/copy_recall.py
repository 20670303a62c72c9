"""Copy recall: edited copies found in a gallery of real photos, by edit and by pipeline.

    python -m benchmarks.copy_recall [--queries 300] [--edits jpeg15,mirror] [--gallery DIR]

Every photo is indexed; a sample of originals is edited and searched for. A hit is correct when it is the same image
(same group). Prints recall@1 of the merged search and of each generation alone, and what evidence the right hit has.
"""

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from PIL import Image

import lookalike
from benchmarks.machine import write_rows
from benchmarks.photos import Photo, photo_folder, photos
from lookalike.evaluation.edits import EDITS, apply

KINDS = ("original", "copy", "distractor", "class")


def sample(all_photos: list[Photo], n: int) -> list[Photo]:
    """Images to copy: of kinds with reliable groups, the same for every run."""
    trusted = [p for p in all_photos if p.kind in KINDS]
    return random.Random(7).sample(trusted, min(n, len(trusted)))


def measure(
    gallery: lookalike.Gallery, chosen: list[Photo], group: dict[str, str], edit: str
) -> list[dict[str, object]]:
    """One row per query and ranking: the rank of the correct image, and the first hit's evidence."""
    copies = []
    for photo in chosen:
        with Image.open(photo.path) as image:
            copies.append(apply(edit, image.convert("RGB"), seed=len(copies)))
    rows: list[dict[str, object]] = []
    for ranking in ("merged", *gallery.pipelines):
        pipelines = None if ranking == "merged" else [ranking]
        for photo, (_, answer) in zip(chosen, gallery.search_many(copies, k=10, pipelines=pipelines), strict=True):
            if isinstance(answer, Exception):
                sys.exit(f"{edit} of {photo.key}: {answer}")
            right = [n for n, hit in enumerate(answer.hits, 1) if group[hit.key] == photo.group]
            first = answer.hits[0] if answer.hits else None
            rows.append(
                {
                    "edit": edit,
                    "photo": photo.key,
                    "ranking": ranking,
                    "rank": right[0] if right else None,
                    "evidence": first.evidence if first else None,
                    "distance": first.distance if first else None,
                    "pipeline": first.pipeline if first else None,
                    "first": first.key if first else None,
                }
            )
    return rows


def show(edit: str, rows: list[dict[str, object]]) -> str:
    """One line of the table: recall@1 by ranking, then how many first hits of the merged one are labelled copies."""
    by_ranking: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        by_ranking[str(row["ranking"])].append(row)
    cells = [f"{sum(r['rank'] == 1 for r in of) / len(of):8.3f}" for of in by_ranking.values()]
    merged = by_ranking["merged"]
    sure = sum(r["rank"] == 1 and r["evidence"] != "similar" for r in merged) / len(merged)
    wrong = sum(r["rank"] != 1 and r["evidence"] == "copy" for r in merged)
    return f"{edit:24}" + "".join(cells) + f"{sure:10.3f}{wrong:8d}"


def main() -> None:
    """Index, edit, search, print, keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--edits", default=",".join(EDITS))
    parser.add_argument("--gallery", type=Path, help="keep or reuse the gallery here")
    arguments = parser.parse_args()
    everything = photos()
    group = {p.key: p.group for p in everything}
    with (
        tempfile.TemporaryDirectory() as temporary,
        lookalike.open(arguments.gallery or temporary, create=True) as gallery,
    ):
        outcomes = gallery.add(photo_folder())
        print(f"{len(outcomes)} images, {sum(o.outcome == 'rejected' for o in outcomes)} rejected")
        print(
            f"{'recall@1':24}" + "".join(f"{r:>8}" for r in ("merged", *gallery.pipelines)) + "  sure of it  wrong copy"
        )
        chosen = sample(everything, arguments.queries)
        for edit in arguments.edits.split(","):
            rows = measure(gallery, chosen, group, edit)
            print(show(edit, rows), flush=True)
            write_rows("copy_recall", rows)


if __name__ == "__main__":
    main()
