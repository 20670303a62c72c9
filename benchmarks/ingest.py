"""Durable ingest throughput, compared with its bounds.

    python -m benchmarks.ingest [--files 10000] [--both 400]
    python -m benchmarks.ingest --files 2000 --side 1600 --both 0

With --side, 200 of the photos are enlarged to so many pixels and saved with quality 90, for a folder like a camera's;
without, all are taken as they are, most of them of 500 pixels. Hash-only: JPEG files into a new gallery, against bare
decoding on all cores, at 1/8 scale (less than the hash wants of small photos) and at the scale that the hash wants, and
against `imagehash.phash`, each in a process a core. Both generations: against the bare encoder fed from memory. In
turns.
"""

import argparse
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import describe, write_rows
from benchmarks.photos import photos
from lookalike.config import GallerySettings, Settings, from_environment
from lookalike.encoders import load_encoder
from lookalike.encoders.phash import OVERSAMPLE, SIDE
from lookalike.factory import create_gallery, open_gallery
from lookalike.imaging import prepare

ENLARGED = 200
BARE = """
import sys
from PIL import Image
for path in sys.stdin.read().split("\\0"):
    with Image.open(path) as image:
        if len(sys.argv) > 1:
            image.draft("L", (int(sys.argv[1]), int(sys.argv[1])))
        else:
            image.draft("RGB", (image.width // 8, image.height // 8))
        image.load()
"""
PEER = """
import sys
import imagehash
from PIL import Image
for path in sys.stdin.read().split("\\0"):
    with Image.open(path) as image:
        imagehash.phash(image)
"""


def enlarged(data: bytes, side: int) -> bytes:
    """The photo with its longer side so many pixels, as JPEG."""
    with Image.open(io.BytesIO(data)) as image:
        scale = side / max(image.size)
        larger = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
    file = io.BytesIO()
    larger.save(file, "JPEG", quality=90)
    return file.getvalue()


def make_files(folder: Path, n: int, side: int | None) -> list[Path]:
    """n JPEG files: photos, each again and again with another comment, so that no two are the same."""
    chosen = [
        p for p in photos() if p.path.suffix.lower() in (".jpg", ".jpeg") and p.kind in ("distractor", "original")
    ]
    contents = [photo.path.read_bytes() for photo in chosen]
    if side is not None:
        contents = [enlarged(data, side) for data in contents[:ENLARGED]]
    paths = []
    for number, data in enumerate(islice(cycle(contents), n)):
        comment = str(number).encode()
        path = folder / f"{number:05}.jpg"
        path.write_bytes(data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:])
        paths.append(path)
    return paths


def bare(paths: list[Path], least: int | None = None) -> float:
    """Images a second: read and decode, a process a core, nothing else.

    At 1/8 scale in colour; or grey, at the smallest scale that leaves `least` pixels a side.
    """
    return on_all_cores(paths, BARE, [] if least is None else [str(least)])


def peer(paths: list[Path]) -> float:
    """Images a second: imagehash, a process a core, nothing stored."""
    return on_all_cores(paths, PEER, [])


def on_all_cores(paths: list[Path], program: str, arguments: list[str]) -> float:
    """Images a second of a program that reads paths, started once a core."""
    cores = int(describe()["cores"])
    parts = [paths[n::cores] for n in range(cores)]
    started = time.perf_counter()
    children = [subprocess.Popen([sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE) for _ in parts]
    for child, part in zip(children, parts, strict=True):
        assert child.stdin is not None
        child.stdin.write("\0".join(map(str, part)).encode())
        child.stdin.close()
    if any(child.wait() for child in children):
        sys.exit("a program that was to be compared failed")
    return len(paths) / (time.perf_counter() - started)


def ours(what: Path | list[Path], paths: list[Path], pipelines: tuple[str, ...], settings: Settings) -> float:
    """Images a second into a new gallery, every one durable and indexed at the end."""
    folder = Path(tempfile.mkdtemp(dir=paths[0].parent.parent))
    create_gallery(folder / "gallery", GallerySettings(pipelines), settings)
    with open_gallery(folder / "gallery", settings=settings) as gallery:
        started = time.perf_counter()
        added = sum(outcome.outcome == "added" for outcome in gallery.add_iter(what))
        took = time.perf_counter() - started
    shutil.rmtree(folder)
    if added != len(paths):
        sys.exit(f"only {added} of {len(paths)} were added")
    return len(paths) / took


def encoder_alone(paths: list[Path], settings: Settings) -> float:
    """Images a second: VGG16 on inputs in memory, in the batches that adding uses."""
    encoder = load_encoder("vgg16", settings.cache)
    inputs = np.stack([prepare(path.read_bytes(), [encoder.input]).inputs[0] for path in paths])
    encoder.encode(inputs[:8])
    started = time.perf_counter()
    for at in range(0, len(inputs), 64):
        encoder.encode(inputs[at : at + 64])
    return len(paths) / (time.perf_counter() - started)


def compare(title: str, runs: dict[str, Callable[[], float]], turns: int) -> list[dict[str, object]]:
    """Take each in turn, `turns` times; print medians and what they are of the first."""
    rows: list[dict[str, object]] = []
    for turn in range(turns):
        rows += [{"question": title, "what": name, "turn": turn, "per_second": run()} for name, run in runs.items()]
    print(title)
    medians = {name: statistics.median(float(str(r["per_second"])) for r in rows if r["what"] == name) for name in runs}
    reference = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"  {name:48}{median:10.1f}/s{median / reference:8.2f} x")
    return rows


def main() -> None:
    """Make files, measure, print, keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--side", type=int)
    parser.add_argument("--both", type=int, default=400)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    settings = from_environment()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        folder.mkdir()
        paths = make_files(folder, arguments.files, arguments.side)
        size = statistics.mean(path.stat().st_size for path in paths)
        hashes = {
            "bare decoding at 1/8, all cores": lambda: bare(paths),
            "bare decoding as the hash wants it, all cores": lambda: bare(paths, ceil(SIDE * OVERSAMPLE)),
            "adding, hashes only": lambda: ours(folder, paths, ("phash",), settings),
            "imagehash, all cores": lambda: peer(paths),
        }
        rows = compare(f"{len(paths)} JPEG files of {size / 1000:.0f} kB on average", hashes, arguments.turns)
        both = paths[: arguments.both]
        if both:
            generations = {
                "VGG16 alone": lambda: encoder_alone(both, settings),
                "adding, both generations": lambda: ours(both, both, ("phash", "vgg16"), settings),
            }
            rows += compare(f"{len(both)} files, both generations", generations, arguments.turns)
    write_rows("ingest", rows)


if __name__ == "__main__":
    main()
