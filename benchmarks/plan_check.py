"""Accuracy of `lookalike plan`: galleries of synthetic features, built and measured, against the plan.

    python -m benchmarks.plan_check [--sizes 50000 100000] [--engines flat mih hnsw sqlite]
    python -m benchmarks.plan_check --sizes 100000 --engines postgresql elasticsearch HNSW IVF_SQ8
    python -m benchmarks.plan_check --sizes 300000 1000000 --engines flat mih sqlite

Each gallery is built in a process of its own, fed as a gallery feeds its indexes (batches of 8,192 changes, a snapshot
whenever a twentieth is new), and opened in another; memory is what these processes hold beyond an empty index, disk
the sizes of the files. Memory counts mapped files too: a machine that lacks room for them reads them from its disk at
every search.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks import plan_servers
from benchmarks.machine import describe, write_rows
from lookalike.capacity import measurements as c
from lookalike.capacity.planner import MILVUS_TYPES, PHASH, VGG16, PlanRequest, make_plan, plan_catalog
from lookalike.catalog import Catalog
from lookalike.catalog.records import NewImage
from lookalike.distances import normalise
from lookalike.indexes.flat import FlatIndex
from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.indexes.mih.index import MihIndex
from lookalike.types import Features, FeatureSpec, Rows

HASH = FeatureSpec("phash", "hamming", 8, "benchmark")
VECTOR = FeatureSpec("vgg16", "cosine", 512, "benchmark")
BATCH = 8192
SAVED_SHARE = 0.05
QUERIES = 200
KEY, PATH = 24, 60
"""Bytes of the texts of an image, as the plan assumes them."""
Open = Callable[[Path, bool], FlatIndex | MihIndex]
ENGINES: dict[str, tuple[FeatureSpec, Open]] = {
    "mih": (HASH, lambda folder, writable: MihIndex(HASH, folder, writable=writable)),
    "flat": (VECTOR, lambda folder, writable: FlatIndex(VECTOR, folder, writable=writable)),
    "hnsw": (VECTOR, lambda folder, writable: HnswIndex(VECTOR, folder, writable=writable)),
}


@dataclass(frozen=True)
class Measured:
    """Bytes of one gallery of `rows`: on disk, held while searching, and at the highest while adding."""

    engine: str
    rows: int
    disk: int
    searching: int
    adding: int


def load_library(engine: str) -> None:
    """Load the library of an engine, which the process would otherwise load in the middle of a measurement."""
    if engine == "hnsw":
        import faiss  # noqa: F401, PLC0415


def draw(spec: FeatureSpec, count: int, seed: int) -> Features:
    """Rows of a kind: uniform hashes, or clustered unit vectors."""
    rng = np.random.default_rng(seed)
    if spec.metric == "hamming":
        return rng.integers(0, 256, (count, spec.width), np.uint8)
    centres = np.random.default_rng(0).standard_normal((500, spec.width), np.float32)
    out = np.empty((count, spec.width), np.float32)
    for start in range(0, count, 512):  # in parts, whose memory is negligible
        some = out[start : start + 512]
        noise = rng.standard_normal(some.shape, np.float32)
        some[:] = normalise(centres[rng.integers(0, len(centres), len(some))] + np.float32(0.7) * noise)
    return out


def held() -> int:
    """Bytes of memory that this process holds now, mapped files included."""
    return int(psutil.Process().memory_info().rss)


def highest() -> int:
    """The most it ever held."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def build(engine: str, rows: int, folder: Path) -> int:
    """Fill an index; gives the bytes held at the highest, beyond those of an empty one."""
    spec, open_index = ENGINES[engine]
    index = open_index(folder, True)
    index.upsert(Rows(np.array([1]), draw(spec, 1, 0), np.array([1])))
    index.search(draw(spec, 1, 0), 1)
    load_library(engine)
    before = held()
    unsaved = 0
    for start in range(0, rows, BATCH):
        ids = np.arange(start + 1, min(start + BATCH, rows) + 1)
        index.upsert(Rows(ids, draw(spec, len(ids), start + 1), np.ones_like(ids)))
        unsaved += len(ids)
        if unsaved > max(1000, SAVED_SHARE * index.count()):
            index.flush(int(ids[-1]))
            unsaved = 0
    index.flush(rows)
    index.close()
    return highest() - before


def search(engine: str, folder: Path) -> int:
    """Open a snapshot and search it; gives the bytes held, beyond those of an empty index."""
    spec, open_index = ENGINES[engine]
    with tempfile.TemporaryDirectory() as empty:
        small = open_index(Path(empty), True)
        small.upsert(Rows(np.array([1]), draw(spec, 1, 0), np.array([1])))
        small.search(draw(spec, 1, 0), 1)
        small.close()
    load_library(engine)
    before = held()
    index = open_index(folder, False)
    for query in draw(spec, QUERIES, 7):
        index.search(query[None], 10, tenant=1)
    after = held()
    index.close()
    return after - before


def catalog(rows: int, target: str | Path) -> None:
    """Fill a catalog with images of both generations."""
    with Catalog.open(target, create=True) as made:
        tenant = made.tenants.get_or_create("default")
        for start in range(0, rows, 1000):
            count = min(1000, rows - start)
            hashes, vectors = draw(HASH, count, start), draw(VECTOR, count, start)
            made.images.put([entry(tenant, start + n, hashes[n], vectors[n]) for n in range(count)])
        made.checkpoint()


def entry(tenant: int, number: int, code: Features, vector: Features) -> NewImage:
    """An image with texts as long as the plan assumes."""
    key = f"2026/{number // 500:06d}/{number:09d}.jpg"[:KEY]
    return NewImage(
        tenant,
        key,
        f"/srv/images/library-of-a-photographer/{key}".rjust(PATH, "/")[-PATH:],
        sha256=os.urandom(32),
        nbytes=75_000 + number % 1000,
        width=4000,
        height=3000,
        format="JPEG",
        mtime_ns=1_790_000_000_000_000_000 + number,
        attributes={"album": f"{number % 1000:04d}", "year": 2026},
        features={HASH: code, VECTOR: vector},
    )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def apart(*arguments: str) -> int:
    """Run one step in a process of its own; gives the number that it prints."""
    command = [sys.executable, "-m", "benchmarks.plan_check", "--step", *arguments]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # waiting threads do not spin
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1], env=environment
    )
    return int(done.stdout)


def measure(engine: str, rows: int) -> Measured:
    """Build one gallery, and weigh it."""
    with tempfile.TemporaryDirectory() as folder:
        if engine == "sqlite":
            catalog(rows, Path(folder) / "catalog.sqlite")
            return Measured(engine, rows, size_of(Path(folder)), 0, 0)
        if engine == "postgresql":
            with plan_servers.postgresql() as url:
                catalog(rows, url)
                return Measured(engine, rows, plan_servers.tables(url), 0, 0)
        if engine == "elasticsearch":
            disk, seconds = plan_servers.documents(HASH, rows, draw)
            print(f"{engine} {rows:,}: {seconds * 1e3:.1f} ms of the server's cores a search")
            return Measured(engine, rows, disk, 0, 0)
        if engine in MILVUS_TYPES:
            return Measured(engine, rows, 0, plan_servers.vectors(VECTOR, rows, draw, engine), 0)
        adding = apart("build", engine, str(rows), folder)
        searching = apart("search", engine, folder)
        return Measured(engine, rows, size_of(Path(folder)), searching, adding)


def planned(engine: str, rows: int) -> Measured:
    """What the plan says of the same gallery; those on servers are measured without attributes."""
    if engine in ("sqlite", "postgresql"):
        return Measured(engine, rows, plan_catalog(PlanRequest(rows), engine, "as requested").disk, 0, 0)
    if engine == "elasticsearch":
        of_all = make_plan(PlanRequest(rows, (PHASH,), {"phash": engine}, replicas=0)).pipelines[0].disk
        return Measured(engine, rows, round(of_all / c.ES_MERGING - rows * c.ES_ATTRIBUTES * c.ATTRIBUTES), 0, 0)
    if engine in MILVUS_TYPES:
        loaded = make_plan(PlanRequest(rows, (VGG16,), {"vgg16": engine}, replicas=0)).pipelines[0].memory
        of_rows = (loaded - c.MILVUS_BASE - c.MILVUS_LOADED) * c.MILVUS_FULL - rows * c.ATTRIBUTES
        return Measured(engine, rows, 0, round(of_rows + c.MILVUS_LOADED), 0)
    pipeline = PHASH if ENGINES[engine][0] is HASH else VGG16
    part = make_plan(PlanRequest(rows, (pipeline,), {pipeline.name: engine})).pipelines[0]
    return Measured(engine, rows, part.disk, part.memory, part.adding)


def step(name: str, *arguments: str) -> int:
    """One step, in this process."""
    if name == "build":
        return build(arguments[0], int(arguments[1]), Path(arguments[2]))
    return search(arguments[0], Path(arguments[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 100_000])
    parser.add_argument("--engines", nargs="+", default=[*ENGINES, "sqlite"])
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(step(*arguments.step))
        return
    print(json.dumps(describe()))
    print(f"{'engine':<8} {'rows':>9}  {'':<10} {'measured':>10} {'planned':>10}  planned / measured")
    raw = []
    for engine in arguments.engines:
        for rows in arguments.sizes:
            found, plan = measure(engine, rows), planned(engine, rows)
            raw.append({**asdict(found), "planned": asdict(plan)})
            for what in ("disk", "searching", "adding"):
                a, b = getattr(found, what), getattr(plan, what)
                if a:
                    note = ", peak" if what == "adding" else ""
                    print(
                        f"{engine:<8} {rows:>9,}  {what:<10} {a / 1e6:>7.1f} MB {b / 1e6:>7.1f} MB  {b / a:.2f}{note}",
                        flush=True,
                    )
    write_rows("plan_check", raw)


if __name__ == "__main__":
    main()
