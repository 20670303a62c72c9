"""The real photos of the benchmarks: $LOOKALIKE_PHOTOS, else shared/photos beside the checkout."""

import csv
import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Photo:
    """One image; those of one `group` and kind original or copy are the same image."""

    path: Path
    key: str
    group: str
    kind: str


def photo_folder() -> Path:
    """The folder with its manifest.tsv; ends the program with a remedy where there is none."""
    named = os.environ.get("LOOKALIKE_PHOTOS")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "photos"
    if not (folder / "manifest.tsv").is_file():
        sys.exit(
            f"no photos at {folder}: set LOOKALIKE_PHOTOS to a folder with a manifest.tsv (path, source, group, kind)"
        )
    return folder


def photos() -> list[Photo]:
    """All of them, in the manifest's order; an image without a group is a group of its own."""
    folder = photo_folder()
    with (folder / "manifest.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [Photo(folder / r["path"], r["path"], r["group"] or r["path"], r["kind"]) for r in rows]
