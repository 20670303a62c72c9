"""Server throughput and latency over loopback, and its overhead over the work itself.

    python -m benchmarks.serving [--images 1000000] [--full 2000] [--seconds 20] [--clients 16]

Hash-only: JPEG photos are searched for in a gallery of synthetic hashes, by one client and by many; then with one
request in ten a write; then by ten times as many clients as threads, who write too, and every acknowledged write is
asked for afterwards. The overhead is what one client measures beyond the stages that the answer itself names. Full:
both generations over so many synthetic images. The clients take part of the same machine.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import write_rows
from benchmarks.photos import photos
from lookalike.catalog import NewImage
from lookalike.config import from_environment
from lookalike.encoders import load_encoder
from lookalike.factory import open_gallery

ROWS = 5000
"""Synthetic images put at once."""
Row = dict[str, object]


def fill(folder: Path, pipelines: tuple[str, ...], images: int) -> None:
    """A gallery of images that never were: random features under random digests, straight into its catalog."""
    rng = np.random.default_rng(1)
    settings = from_environment()
    specs = [load_encoder(name, settings.cache).spec for name in pipelines]
    with open_gallery(folder, pipelines=pipelines, create=True) as gallery:
        tenant = gallery.catalog.tenants.get_or_create("default")
        for start in range(0, images, ROWS):
            n = min(ROWS, images - start)
            columns = []
            for spec in specs:
                if spec.metric == "hamming":
                    columns.append(rng.integers(0, 256, (n, spec.width), dtype=np.uint8))
                else:
                    rows = rng.standard_normal((n, spec.width)).astype(np.float32)
                    columns.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
            gallery.catalog.images.put(
                [
                    NewImage(
                        tenant,
                        f"synthetic/{start + i:08}",
                        None,
                        sha256(str(start + i).encode()).digest(),
                        100_000,
                        1600,
                        1200,
                        "JPEG",
                        features={spec: column[i] for spec, column in zip(specs, columns, strict=True)},
                    )
                    for i in range(n)
                ]
            )
        for opened in gallery.status().pipelines:
            print(f"  {opened.name}: {opened.rows:,} rows", flush=True)
        gallery.repair()  # the catalog was filled behind its back: index it, and save the index


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, int, psutil.Process]]:
    """Host, port and process of `lookalike serve` over a gallery, once it is ready."""
    command = [sys.executable, "-m", "lookalike", "serve", "-g", str(folder), "--port", "0", "--json", "--no-log"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        while ask(HTTPConnection(host, int(port), timeout=60), "GET", "/readyz", b"")[0] != 200:
            time.sleep(0.2)
        yield host, int(port), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def ask(connection: HTTPConnection, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of one request."""
    connection.request(method, path, body, {"Content-Type": "image/jpeg"} if body else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


@dataclass
class Load:
    """What clients met: milliseconds of the answered requests, of refusals and beyond the stages; statuses; writes."""

    ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    beyond_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    written: set[str] = field(default_factory=set)

    def row(self, seconds: float) -> Row:
        """The figures."""
        row: Row = {"requests": sum(self.statuses.values()), "statuses": dict(self.statuses)}
        if self.ms:
            row |= {
                "per_second": round(len(self.ms) / seconds, 1),
                "p50_ms": round(statistics.median(self.ms), 2),
                "p99_ms": round(float(np.percentile(self.ms, 99)), 2),
            }
        if self.beyond_ms:
            row["overhead_p50_ms"] = round(statistics.median(self.beyond_ms), 2)
        if self.refused_ms:
            row["refused_p99_ms"] = round(float(np.percentile(self.refused_ms, 99)), 2)
        return row


def press(place: tuple[str, int], queries: list[bytes], clients: int, seconds: float, writes: float = 0.0) -> Row:
    """Ask for so many seconds by so many clients, each with a connection of its own and the next request at once."""
    load, lock = Load(), threading.Lock()
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        rng = random.Random(number)
        connection = HTTPConnection(*place, timeout=120)
        while time.monotonic() < until:
            query = rng.choice(queries)
            write = rng.random() < writes
            path = f"/v1/images/w{clients}-{number}-{rng.randrange(1000)}" if write else "/v1/search?k=10"
            began = time.perf_counter()
            status, body = ask(connection, "PUT" if write else "POST", path, query)
            ms = (time.perf_counter() - began) * 1000
            with lock:
                load.statuses[status] += 1
                if status >= 400:
                    load.refused_ms.append(ms)
                    continue
                load.ms.append(ms)
                if write:
                    load.written.add(path)
                else:
                    load.beyond_ms.append(ms - sum(json.loads(body)["took_ms"].values()))
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    row = load.row(seconds)
    if writes:
        connection = HTTPConnection(*place, timeout=120)
        there = [ask(connection, "GET", path, b"")[0] == 200 for path in sorted(load.written)]
        connection.close()
        row |= {"written": len(there), "lost": there.count(False)}
    return row


def measure(what: str, settings: argparse.Namespace, pipelines: tuple[str, ...], images: int) -> list[Row]:
    """The loads over one gallery."""
    queries = [p.path.read_bytes() for p in photos() if p.path.suffix.lower() in (".jpg", ".jpeg")][:200]
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        fill(gallery, pipelines, images)
        with served(gallery) as (host, port, process):
            loads: list[tuple[str, int, float]] = [
                ("one client", 1, 0.0),
                (f"{settings.clients} clients", settings.clients, 0.0),
                (f"{settings.clients} clients, a tenth writes", settings.clients, 0.1),
                (f"{settings.clients * 10} clients, a tenth writes", settings.clients * 10, 0.1),
            ]
            press((host, port), queries, 2, 2.0)  # everything is loaded before the clock starts
            for name, clients, writes in loads:
                row = press((host, port), queries, clients, settings.seconds, writes)
                rss = round(process.memory_info().rss / 2**20)
                row = {"what": what, "load": name, "images": images, **row, "memory_mib": rss}
                print(f"  {row}", flush=True)
                found.append(row)
    return found


def main() -> None:
    """Measure, print and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--full", type=int, default=2000, help="0 leaves out the network")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=16)
    settings = parser.parse_args()
    rows = measure("hash only", settings, ("phash",), settings.images)
    if settings.full:
        rows += measure("both generations", settings, ("phash", "vgg16"), settings.full)
    print(write_rows("serving", rows))


if __name__ == "__main__":
    main()
