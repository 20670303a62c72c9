"""Decoding pool throughput, compared with the bare decoder.

    python -m benchmarks.decode_pool [--images 10000] [--rounds 3] [--photos FOLDER]

In one run, alternating: (a) bare Pillow, reading and decoding at the same reduced scale, one plain process a core;
(b) `DecodePool.map` with the input of a hash; (c) `imagehash.phash` in one process, on a tenth of the files. The files
are photos of the folder (or drawn ones) brought to 500 x 375 and saved again; rows go to benchmarks/out.
"""

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image, ImageOps

from lookalike.cpu import usable_cores
from lookalike.imaging import DecodePool, Source
from lookalike.types import InputSpec, Prepared

SIZE = (500, 375)
OUT = Path(__file__).parent / "out" / "decode_pool.jsonl"
BARE = """
import io, sys
from PIL import Image
print(flush=True)
for path in sys.stdin.read().split("\\n"):
    with open(path, "rb") as file:
        image = Image.open(io.BytesIO(file.read()))
    image.draft(None, (int(sys.argv[1]), int(sys.argv[1])))
    image.load()
"""


def originals(photos: Path | None) -> Iterator[Image.Image]:
    """Photos without end, or drawings that cost a JPEG decoder about as much."""
    files = sorted(p for p in photos.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"}) if photos else []
    rng = np.random.default_rng(0)
    while True:
        for file in files:
            with Image.open(file) as image:
                yield image.convert("RGB")
        if not files:
            shapes = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(SIZE)
            grain = rng.integers(-20, 21, (SIZE[1], SIZE[0], 1))
            yield Image.fromarray(np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8))


def make_files(folder: Path, photos: Path | None, count: int) -> list[Path]:
    """So many different files: photos scaled to fill `SIZE`, each turned a little darker or lighter."""
    chance = random.Random(0)
    paths = []
    for number, image in zip(range(count), originals(photos), strict=False):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        brighter = chance.uniform(0.9, 1.05)
        fitted = ImageOps.fit(image, SIZE).point([int(value % 256 * brighter) for value in range(768)])
        fitted.save(path, "JPEG", quality=88)
        paths.append(path)
    return paths


def bare(paths: list[Path], cores: int, box: int) -> float:
    """Seconds that plain processes take, one a core, counted from when all have started; they keep `box` pixels."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, str(box)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(cores)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    begun = time.perf_counter()
    for place, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write("\n".join(map(str, paths[place::cores])))
        process.stdin.close()
    for process in processes:
        assert process.wait() == 0
    return time.perf_counter() - begun


def pooled(paths: list[Path], pool: DecodePool) -> float:
    """Seconds that a pool takes that is already running."""
    begun = time.perf_counter()
    good = sum(isinstance(result, Prepared) for result in pool.map(Source(path=path) for path in paths))
    assert good == len(paths)
    return time.perf_counter() - begun


def peer(paths: list[Path]) -> float:
    """Seconds that imagehash takes on one core."""
    begun = time.perf_counter()
    for path in paths:
        imagehash.phash(Image.open(io.BytesIO(path.read_bytes())))
    return time.perf_counter() - begun


def main() -> None:
    """Make the files, run the three in turns, print and keep the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--oversample", type=float, default=1.0)
    parser.add_argument("--photos", type=Path, default=Path(__file__).parents[2] / "shared" / "photos")
    given = parser.parse_args()
    photos = given.photos if given.photos.is_dir() else None
    cores = usable_cores()
    spec = InputSpec(32, 32, "L", "lanczos", oversample=given.oversample)
    OUT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, DecodePool([spec]) as pool, OUT.open("a") as out:
        paths = make_files(Path(folder), photos, given.images)
        some = paths[:: max(1, len(paths) // 1000)]
        pooled(some, pool)
        runs: dict[str, tuple[Callable[[], float], int]] = {
            "bare": (lambda: bare(paths, cores, int(32 * given.oversample)), len(paths)),
            "pool": (lambda: pooled(paths, pool), len(paths)),
            "imagehash, one core": (lambda: peer(some), len(some)),
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(given.rounds):
            for name, (run, count) in runs.items():
                rates[name].append(count / run())
                row = {"what": name, "round": turn, "rate": rates[name][-1], "images": count, "cores": cores}
                out.write(json.dumps(row | {"oversample": given.oversample, "photos": photos is not None}) + "\n")
    middle = {name: float(np.median(values)) for name, values in rates.items()}
    for name, rate in middle.items():
        print(f"{name:22} {rate:8.0f} images/s")
    print(f"pool / bare            {middle['pool'] / middle['bare']:8.2f}")
    print(f"pool / imagehash       {middle['pool'] / middle['imagehash, one core']:8.2f}")


if __name__ == "__main__":
    main()
