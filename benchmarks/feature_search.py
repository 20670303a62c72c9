"""HTTP searches by hash: requests a second over loopback, without an image to send, decode or compare.

    python -m benchmarks.feature_search [--images 100000] [--seconds 10] [--clients 8]

Half of the queries are stored hashes with four bits changed, the others random ones, which are near to nothing: the
worst case. The clients take part of the same machine.
"""

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from benchmarks.machine import write_rows
from benchmarks.serving import Row, fill, served

QUERIES = 2000


def queries(images: int) -> dict[str, list[bytes]]:
    """Bodies of requests by what they search for; `benchmarks.serving.fill` draws its hashes from the same seed."""
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 256, (min(images, 5000), 8), dtype=np.uint8)  # the first that it puts
    near = stored[rng.integers(0, len(stored), QUERIES)].copy()
    for row in near:
        for bit in rng.choice(64, 4, replace=False):
            row[bit // 8] ^= 1 << (bit % 8)
    far = np.random.default_rng(2).integers(0, 256, (QUERIES, 8), dtype=np.uint8)
    return {what: [_body(row.tobytes()) for row in rows] for what, rows in (("near", near), ("random", far))}


def _body(code: bytes) -> bytes:
    return json.dumps({"features": {"phash": code.hex()}, "k": 10}).encode()


def press(place: tuple[str, int], bodies: list[bytes], clients: int, seconds: float) -> Row:
    """Requests a second, latencies, and the share of answers whose first hit is a copy."""
    ms: list[float] = []
    copies = 0
    lock = threading.Lock()
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        nonlocal copies
        rng = random.Random(number)
        connection = HTTPConnection(*place, timeout=60)
        while time.monotonic() < until:
            began = time.perf_counter()
            connection.request("POST", "/v1/search", rng.choice(bodies), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            took = (time.perf_counter() - began) * 1000
            assert answer.status == 200, body
            copy = b'"evidence":"copy"' in body
            with lock:
                ms.append(took)
                copies += copy
        connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return {
        "clients": clients,
        "per_second": round(len(ms) / (time.monotonic() - began), 1),
        "p50_ms": round(statistics.median(ms), 2),
        "p99_ms": round(float(np.percentile(ms, 99)), 2),
        "with_copies": round(copies / len(ms), 3),
    }


def main() -> None:
    """Measure, print and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8)
    settings = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        fill(gallery, ("phash",), settings.images)
        with served(gallery) as (host, port, process):
            for what, bodies in queries(settings.images).items():
                press((host, port), bodies, 2, 1.0)  # everything is loaded before the clock starts
                for clients in (1, settings.clients):
                    before = process.cpu_times()
                    row = press((host, port), bodies, clients, settings.seconds)
                    after = process.cpu_times()
                    busy = after.user + after.system - before.user - before.system
                    row = {"what": what, "images": settings.images, **row, "server_cpu_s": round(busy, 1)}
                    print(f"  {row}", flush=True)
                    rows.append(row)
    print(write_rows("feature_search", rows))


if __name__ == "__main__":
    main()
