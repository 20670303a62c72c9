"""Resources on servers started by scripts/: PostgreSQL tables, Elasticsearch files, Milvus memory."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import psycopg
from elasticsearch import Elasticsearch
from pymilvus import MilvusClient  # type: ignore[import-untyped]

from lookalike.errors import Unavailable
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.indexes.milvus.index import MilvusIndex
from lookalike.indexes.milvus.index import open_index as open_milvus
from lookalike.types import Features, FeatureSpec, Rows

SCRIPTS = Path(__file__).parents[1] / "scripts"
Draw = Callable[[FeatureSpec, int, int], Features]
BATCH = 8192
GALLERY = "0123456789ab"
THRIFTY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "2"}
"""Settings for the allocator of glibc, which otherwise retains freed memory in many arenas."""
PAUSE, RESTING, CALM, IDLE = 3.0, 40, 3, 0.35
"""Seconds between two checks of a server, the maximum number of checks, consecutive checks of an idle server, and the
share of a core that an idle one uses."""
STEADY = 0.03
"""What its memory may change by meanwhile: Go's heap swings by so much."""
WARM, ASKED, VIEWS = 500, 200, 8


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database on a server of our own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server runs as somebody else than root
        script, at = [sys.executable, str(SCRIPTS / "postgresql.py")], str(Path(folder) / "server")
        started = subprocess.run([*script, "start", at, "--fast"], check=True, stdout=subprocess.PIPE, text=True)
        try:
            yield started.stdout.strip().splitlines()[-1]
        finally:
            subprocess.run([*script, "stop", at], check=True, stdout=subprocess.DEVNULL)


def tables(url: str) -> int:
    """Bytes of all tables of ours, with their indexes and long rows."""
    query = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
    with psycopg.connect(re.sub(r"\?.*", "", url)) as connection:
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def elasticsearch() -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server of our own, and its process."""
    command = [sys.executable, str(SCRIPTS / "elasticsearch.py"), "run", "--heap-mb", "1024"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as script:
        assert script.stdin is not None
        assert script.stdout is not None
        try:
            yield script.stdout.readline().strip(), psutil.Process(script.pid)
        finally:
            script.stdin.close()


def documents(spec: FeatureSpec, rows: int, draw: Draw) -> tuple[int, float]:
    """Bytes on disk of an index of hashes, merged, and core seconds of the server for one search of an image."""
    with elasticsearch() as (address, script):
        index = open_index(spec, f"{address}?m=5", "0123456789ab")
        for start in range(0, rows, BATCH):
            ids = np.arange(start + 1, min(start + BATCH, rows) + 1)
            index.upsert(Rows(ids, draw(spec, len(ids), start), np.ones_like(ids)))
        index.flush(rows)
        with Elasticsearch(address.replace("elasticsearch", "http"), request_timeout=300) as client:
            client.indices.forcemerge(max_num_segments=1)
            client.indices.flush()
            disk = int(client.indices.stats()["_all"]["primaries"]["store"]["size_in_bytes"])
        queries = draw(spec, VIEWS * ASKED, 7).reshape(ASKED, VIEWS, -1)
        for turn in range(WARM):
            index.search(queries[turn % ASKED], 10, tenant=1, max_distance=8)
        before = worked(script)
        for query in queries:
            index.search(query, 10, tenant=1, max_distance=8)
        spent = worked(script) - before
        index.close()
    return disk, spent / ASKED


def worked(process: psutil.Process) -> float:
    """Core seconds of a process and all that it started."""
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


@contextmanager
def milvus(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server whose data are in a folder, and its process; `settings` are of its environment."""
    script = [sys.executable, str(SCRIPTS / "milvus.py")]
    (folder / "configs" / "milvus.yaml").unlink(missing_ok=True)  # it names the ports of the last start
    environment = {**os.environ, **(settings or {})}
    started = subprocess.run(
        [*script, "start", str(folder)], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield started.stdout.strip(), psutil.Process(int((folder / "pid").read_text()))
    finally:
        subprocess.run([*script, "stop", str(folder)], check=True, stdout=subprocess.DEVNULL)


def vectors(spec: FeatureSpec, rows: int, draw: Draw, index_type: str) -> int:
    """Bytes that a server holds with a collection loaded, beyond those it holds with nothing at all.

    One server fills it, closes its segments, indexes them and rests; another loads it from the same folder, so that
    memory left over from filling does not count. Its allocator is configured to return free memory.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with milvus(folder, THRIFTY) as (address, process):
            nothing = _rested(process, None)
            index = open_milvus(spec, f"{address}?index={index_type}&rows={rows}&bulk_timeout=600", GALLERY)
            with index.rebuilding() as filling:
                for start in range(0, rows, BATCH):
                    ids = np.arange(start + 1, min(start + BATCH, rows) + 1)
                    filling.upsert(Rows(ids, draw(spec, len(ids), start), np.ones_like(ids)))
                filling.flush(rows)
            _seal(address, index.collection.name)
            _rested(process, lambda: index.search(draw(spec, 20, 7), 10, tenant=1))
            index.close()
        with milvus(folder, THRIFTY) as (address, process):
            reached = _reached(spec, f"{address}?index={index_type}&rows={rows}")
            held = _rested(process, lambda: reached.search(draw(spec, 20, 7), 10, tenant=1))
            reached.close()
        return held - nothing


def _seal(address: str, name: str) -> None:
    """Close the segments that grow: a rebuilding leaves them open where rows are scanned."""
    client = MilvusClient(uri=address.replace("milvus://", "http://"))
    client.flush(name, timeout=300)
    client.close()


def _reached(spec: FeatureSpec, address: str) -> MilvusIndex:
    """The index of a server that was killed and takes its time."""
    for _ in range(60):
        with contextlib.suppress(Unavailable):
            return open_milvus(spec, address, GALLERY)
        time.sleep(1)
    return open_milvus(spec, address, GALLERY)


def _rested(process: psutil.Process, ask: Callable[[], object] | None) -> int:
    """Bytes held by a server and all that it started, once it answers, works no more, and no longer grows."""
    last, calm = 0, 0
    for _ in range(RESTING):
        before = worked(process)
        time.sleep(PAUSE)
        idle = worked(process) - before < IDLE * PAUSE
        if ask is not None:
            with contextlib.suppress(Unavailable):
                ask()
        held = sum(int(one.memory_info().rss) for one in (process, *process.children(recursive=True)))
        calm = calm + 1 if idle and abs(held - last) < STEADY * held else 0
        last = held
        if calm == CALM:
            break
    return last
