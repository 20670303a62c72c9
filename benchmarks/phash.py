"""pHash throughput, and the difference between fast and exact mode, compared with `imagehash`.

    python -m benchmarks.phash [--photos 600]

One process, one thread. First the hash alone, of 32 x 32 grey images in memory; then from the bytes of JPEG photos
in memory, in turns of 50: `imagehash`, our exact mode, and reduced-scale decoding that keeps at least 1, 1.25, 1.5, 2
or 3 times the 32 x 32. The distance is in bits of 64, from the exact hash of the same image.
"""

import argparse
import io
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import describe, write_rows
from benchmarks.photos import photos
from lookalike.encoders.phash import OVERSAMPLE, PHash
from lookalike.imaging import prepare
from lookalike.types import InputSpec

TURN = 50
OVERSAMPLES = (1.0, 1.25, 1.5, 2.0, 3.0)
Hashes = NDArray[np.uint8]


def of_file(data: bytes) -> Hashes:
    """The peer: the packed bits that `imagehash` gives."""
    with Image.open(io.BytesIO(data)) as image:
        return np.packbits(imagehash.phash(image).hash)


def ours(spec: InputSpec, data: list[bytes]) -> Hashes:
    """Decoded, cleaned and made smaller one by one, hashed as a batch."""
    return PHash().encode(np.array([prepare(each, [spec]).inputs[0] for each in data])).features


def from_bytes(data: list[bytes]) -> list[dict[str, Any]]:
    """Every way from bytes to hash, in turns: images a second, bits from the exact hash."""
    base = PHash(exact=True).input
    ways: dict[str, Callable[[list[bytes]], Hashes]] = {
        "imagehash": lambda some: np.array([of_file(each) for each in some]),
        "exact": lambda some: ours(base, some),
    }
    for times in OVERSAMPLES:
        spec = replace(base, oversample=times, full_decode=False)
        ways[f"fast, {times:g} x"] = lambda some, spec=spec: ours(spec, some)
    took = dict.fromkeys(ways, 0.0)
    found: dict[str, list[Hashes]] = {name: [] for name in ways}
    for start in range(0, len(data), TURN):
        for name, way in ways.items():
            started = time.perf_counter()
            found[name].append(way(data[start : start + TURN]))
            took[name] += time.perf_counter() - started
    exact = np.concatenate(found["exact"])
    rows = []
    for name in ways:
        bits = np.bitwise_count(np.concatenate(found[name]) ^ exact).sum(axis=1)
        rows.append(
            {
                "way": name,
                "per_s": len(data) / took[name],
                "bits_mean": float(bits.mean()),
                "bits_p99": float(np.percentile(bits, 99)),
                "bits_max": int(bits.max()),
            }
        )
    return rows


def alone(inputs: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Hashing alone: images a second, the best of five."""
    encoder = PHash()
    many = np.tile(inputs, (max(1, 10_000 // len(inputs)), 1, 1))
    images = [Image.fromarray(each) for each in inputs]
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "imagehash": (len(images), lambda: [imagehash.phash(image) for image in images]),
        "encode, batch 1": (len(inputs), lambda: [encoder.encode(inputs[i : i + 1]) for i in range(len(inputs))]),
        "encode": (len(many), lambda: encoder.encode(many)),
        "encode_views": (len(many), lambda: encoder.encode_views(many)),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(5):
        for name, (_, work) in ways.items():
            started = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - started)
    return [{"hash_alone": name, "per_s": count / best[name]} for name, (count, _) in ways.items()]


def read(most: int) -> list[bytes]:
    """The bytes of so many JPEG photos."""
    chosen: list[Path] = [photo.path for photo in photos() if photo.path.suffix.lower() in (".jpg", ".jpeg")]
    step = max(1, len(chosen) // most)
    return [path.read_bytes() for path in chosen[::step][:most]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=600)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    machine = describe()
    data = read(args.photos)
    print(f"{machine['cpu']}, one core, {machine['date']}; {len(data)} JPEG photos; the product uses {OVERSAMPLE:g} x")
    hash_rows = alone(np.array([prepare(each, [PHash().input]).inputs[0] for each in data]))
    for row in hash_rows:
        print(f"{'hash alone: ' + row['hash_alone']:<30} {row['per_s']:>10,.0f} images/s")
    rows = from_bytes(data)
    for row in rows:
        print(
            f"{'from bytes: ' + row['way']:<30} {row['per_s']:>10,.0f} images/s"
            f"   bits from exact: mean {row['bits_mean']:.2f}, 99% {row['bits_p99']:.0f}, most {row['bits_max']}"
        )
    write_rows("phash", [*hash_rows, *rows])


if __name__ == "__main__":
    main()
