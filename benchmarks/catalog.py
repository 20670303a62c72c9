"""Catalog write throughput, with one process and several, on SQLite and PostgreSQL.

    python -m benchmarks.catalog [--seconds 10] [--batch 1000] [--writers 1 2 4] [--url postgresql://...]

Each writer puts batches of new images with a hash and 512 floats (8 + 1,024 bytes) into one catalog for so long.
Without a URL, PostgreSQL is started here by scripts/postgresql.py, waiting for the disk as a real one does.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import psutil
from sqlalchemy import NullPool, create_engine, make_url

from benchmarks.machine import write_rows
from lookalike.catalog import Catalog, NewImage
from lookalike.types import FeatureSpec

HASH = FeatureSpec("phash", "hamming", 8, "benchmark")
VECTOR = FeatureSpec("vgg16", "cosine", 512, "benchmark")
SCRIPT = Path(__file__).parents[1] / "scripts" / "postgresql.py"


def write(url: str, name: str, seconds: float, batch: int, ready: Barrier) -> None:
    """Put batches in until the time is over; they are made beforehand, so that only the catalog is measured."""
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((batch, VECTOR.width), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with Catalog.open(url, busy_seconds=60.0) as catalog:
        ready.wait()
        end = time.monotonic() + seconds
        step = 0
        while time.monotonic() < end:
            catalog.images.put([entry(f"{name}/{step}/{n}", row) for n, row in enumerate(rows)])
            step += 1


def entry(key: str, row: np.ndarray) -> NewImage:  # type: ignore[type-arg]
    """An image of its own bytes."""
    digest = sha256(key.encode()).digest()
    features = {HASH: np.frombuffer(digest[:8], np.uint8), VECTOR: row}
    return NewImage(1, key, f"/photos/{key}", digest, 100_000, 800, 600, "JPEG", features=features)


def measure(url: str, writers: int, seconds: float, batch: int) -> dict[str, float]:
    """Images a second by so many processes, and whether the catalog is sound in the end."""
    with Catalog.open(url, create=True) as catalog:
        catalog.tenants.get_or_create("default")
        catalog.images.put([entry("first", np.eye(1, VECTOR.width, dtype=np.float32)[0])])
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(writers + 1)
        processes = [context.Process(target=write, args=(url, f"w{n}", seconds, batch, ready)) for n in range(writers)]
        for process in processes:
            process.start()
        ready.wait()
        began = time.monotonic()
        for process in processes:
            process.join()
        took = time.monotonic() - began
        if any(process.exitcode for process in processes):
            raise SystemExit("a writer failed")
        number = catalog.images.count() - 1
        catalog.check()
    return {"images": number, "seconds": round(took, 2), "images_per_s": round(number / took)}


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """The URL of a PostgreSQL server: the one given, or one for this run alone."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="lookalike-postgresql-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the server is not run by root
        command = [sys.executable, str(SCRIPT)]
        started = subprocess.run([*command, "start", folder], capture_output=True, text=True, check=True)
        try:
            yield started.stdout.strip()
        finally:
            subprocess.run([*command, "stop", folder], check=True)


@contextmanager
def fresh(kind: str, at: str) -> Iterator[str]:
    """The URL of an empty catalog of a kind: sqlite, postgresql, or partitioned."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "catalog.sqlite")
        return
    there = make_url(at).set(drivername="postgresql+psycopg")
    name = f"lookalike_{uuid.uuid4().hex}"
    engine = create_engine(there, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        url = there.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
        yield f"{url}?partitions=16" if kind == "partitioned" else url
    finally:
        with engine.connect() as conn:
            conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> None:
    """Measure every kind with every number of writers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--url")
    given = parser.parse_args()
    rows = []
    with server(given.url) as at:
        for kind in ("sqlite", "postgresql", "partitioned"):
            for writers in given.writers:
                with fresh(kind, at) as url:
                    found = measure(url, writers, given.seconds, given.batch)
                rows.append({"catalog": kind, "writers": writers, "batch": given.batch, **found})
                rows[-1]["load"] = psutil.getloadavg()[0]
                print(rows[-1], flush=True)
    print(write_rows("catalog", rows))


if __name__ == "__main__":
    main()
