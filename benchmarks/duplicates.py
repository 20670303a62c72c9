"""Duplicates beside other tools, on the same folder in one run: seconds, memory, pairs found, and false pairs.

    python -m benchmarks.duplicates [--photos 1000] [--documents 10] [--folder DIR]
    python -m benchmarks.duplicates --photos 150 --copied 5 --side 4000 --documents 0

The folder holds photos, every one (or one in `--copied`) with planted copies (JPEG at quality 40, half size, mirrored,
cropped to 90 %) and, apart from them, documents of every drawn family, each different. With --side the photos are as
large and as detailed as a camera's: mosaics of real ones. A pair is right where both files come from one image. Tools:
this one with hashes and with its default pipelines, cold, again, and with 1 % of the files new; czkawka (PyPI) at its
default similarity; difPy. Each runs in a process of its own; one that is not installed is skipped, which is said.
"""

import argparse
import importlib.util
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product
from math import ceil
from pathlib import Path

from PIL import Image

import lookalike
from benchmarks.documents import FAMILIES, draw
from benchmarks.machine import describe, write_rows
from benchmarks.photos import photos
from lookalike.evaluation.edits import apply

EDITS = ("jpeg40", "scale_half", "mirror", "crop_90")
LATER = "double_jpeg"
CHANGED = 0.01
TILE = (500, 333)
"""Pixels of a photo in a mosaic: nearly its own size, so that the detail is that of a real image."""
CZKAWKA_SIMILARITY = 10
"""The default of czkawka's window, 'high', for hashes of 64 bits is in this range; of 0 to 50."""
Pair = tuple[str, str]


def main() -> None:
    """Make the folder, run each tool in a process of its own, print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--copied", type=int, default=1, help="one in so many photos has copies")
    parser.add_argument("--side", type=int, help="pixels of the longer side of mosaics, instead of the photos")
    parser.add_argument("--documents", type=int, default=10, help="of each family")
    parser.add_argument("--folder", type=Path, help="where to make the files, 1 MB for ten")
    parser.add_argument("--tool", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.tool:
        TOOLS[given.tool](given.folder)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as work:
        files = make_files(Path(work), given.photos, given.documents, copied=given.copied, side=given.side)
        print(f"{describe()}\n{files:,} files", flush=True)
        for tool in TOOLS:
            command = [sys.executable, "-m", "benchmarks.duplicates", "--tool", tool, "--folder", work]
            subprocess.run(command, check=False)


def make_files(work: Path, number: int, documents: int, *, copied: int, side: int | None) -> int:
    """Write `files`, and `new` with the files that come later; returns the number of files at first."""
    folder, later = work / "files", work / "new"
    for path in (folder / "photos", folder / "documents", later):
        path.mkdir(parents=True)
    originals = [photo.path for photo in photos() if photo.kind == "original"]
    chosen = originals if side else random.Random(1).sample(originals, min(number, len(originals)))
    left = ceil(CHANGED * number * (1 + len(EDITS) / copied))
    for at in range(number if side else len(chosen)):
        original = folder / "photos" / f"{at:05} original"
        if side:
            original = original.with_suffix(".jpg")
            mosaic(originals, at, side).save(original, quality=90)
        else:
            original = original.with_suffix(chosen[at].suffix)
            shutil.copyfile(chosen[at], original)
        if at % copied:
            continue
        with Image.open(original) as opened:
            image = opened.convert("RGB")
        for edit in EDITS:
            (folder / "photos" / f"{at:05} {edit}.jpg").write_bytes(apply(edit, image, seed=at))
        if left:
            (later / f"{at:05} {LATER}.jpg").write_bytes(apply(LATER, image, seed=at))
            left -= 1
    for family in FAMILIES:
        for seed in range(documents):
            draw(family, seed).convert("RGB").save(folder / "documents" / f"{family} {seed}.png")
    return sum(path.is_file() for path in folder.rglob("*"))


def mosaic(paths: Sequence[Path], number: int, side: int) -> Image.Image:
    """One of many different images of the size of a camera's, of 3:2, in which each tile is a photo."""
    chosen = random.Random(number)
    image = Image.new("RGB", (side, side * 2 // 3))
    for left, top in product(range(0, image.width, TILE[0]), range(0, image.height, TILE[1])):
        with Image.open(chosen.choice(paths)) as photo:
            image.paste(photo.convert("RGB").resize(TILE), (left, top))
    return image


def image_of(path: str | Path) -> str:
    """What a file shows: the number of the photo, or the document itself."""
    path = Path(path)
    return path.stem if path.parent.name == "documents" else path.name.partition(" ")[0]


def report(tool: str, step: str, started: tuple[float, float], groups: Iterable[Sequence[str]] | None) -> None:
    """Print a step's seconds, memory, and pairs by the files of each group."""
    row: dict[str, object] = {
        "tool": tool,
        "step": step,
        "seconds": round(time.perf_counter() - started[0], 2),
        "cpu_seconds": round(cpu() - started[1], 2),
        "mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if groups is not None:
        found = {tuple(sorted(pair)) for group in groups for pair in combinations(group, 2)}
        right = [pair for pair in found if image_of(pair[0]) == image_of(pair[1])]
        false = [pair for pair in found if image_of(pair[0]) != image_of(pair[1])]
        row |= {"pairs": len(right), "false": len(false)}
        row["false_documents"] = sum(Path(pair[0]).parent.name == "documents" for pair in false)
    print(json.dumps(row), flush=True)
    write_rows("duplicates", [row])


def now() -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    return time.perf_counter(), cpu()


def cpu() -> float:
    """Seconds of the processor, of this process and of those that it started and that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def ours(tool: str, pipelines: Sequence[str], work: Path) -> None:
    """Add and find; find again; add what is new, and find again. The gallery is opened and closed in each step."""
    folder = work / f"gallery {tool}"

    def step(name: str, source: Path | None) -> None:
        started = now()
        with lookalike.open(folder, pipelines=pipelines if name == "cold" else None, create=name == "cold") as gallery:
            if source is not None:
                gallery.add(source)
            groups = [[image.path or "" for image in cluster.images] for cluster in gallery.duplicates()]
        report(tool, name, started, groups)

    step("cold", work / "files")
    step("again", None)
    step("1 % new", work / "new")


def czkawka(work: Path) -> None:
    """czkawka's library: hashes of 64 bits, its own BK-tree; it keeps nothing between runs."""
    if importlib.util.find_spec("czkawka") is None:
        print("skipped: czkawka (pip install czkawka)")
        return
    from czkawka import ImageSimilarity  # noqa: PLC0415 - optional

    started = now()
    finder = ImageSimilarity()
    finder.set_directories([work / "files"])
    finder.set_similarity(CZKAWKA_SIMILARITY)
    groups = [[str(path) for path in group] for group in finder.find_similar()]
    report("czkawka", "cold", started, groups)


def difpy(work: Path) -> None:
    """difPy: the mean squared error of images of 50 x 50 pixels, turned ones included."""
    if importlib.util.find_spec("difPy") is None:
        print("skipped: difPy (pip install difPy)")
        return
    import difPy  # noqa: PLC0415 - optional

    started = now()
    built = difPy.build(str(work / "files"), show_progress=False)
    searched = difPy.search(built, similarity="similar", show_progress=False)
    groups = [[name, *(match for match, *_ in matches)] for name, matches in searched.result.items()]
    report("difPy", "cold", started, groups)


TOOLS: dict[str, Callable[[Path], None]] = {
    "hashes": lambda work: ours("hashes", ["phash"], work),
    "default": lambda work: ours("default", ["phash", "vgg16-copy"], work),
    "czkawka": czkawka,
    "difPy": difpy,
}

if __name__ == "__main__":
    main()
