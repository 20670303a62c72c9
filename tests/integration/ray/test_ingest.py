"""Manifests in a real S3 server, added by the nodes of a real Ray cluster, of which a worker and a node are killed."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fsspec
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from lookalike.config import GallerySettings, from_environment
from lookalike.factory import create_gallery, open_gallery
from tests.support.command import PROGRAM, program
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import postgresql
from tests.support.engines import ray as ray_engine
from tests.support.engines.s3 import s3_environment
from tests.support.object_stores import new_bucket

FILES, ROWS = 16, 30
"""Files of the manifest, each a unit of work, and the rows of each."""
BROKEN, ABSENT = (7, 100), (200,)
"""Rows whose objects are no images, or are not there."""
BAD = {f"images/{n}.jpg": "unreadable" if n in ABSENT else "not_an_image" for n in (*BROKEN, *ABSENT)}
"""Their keys, and the reasons for which they are rejected."""
TENANTS = ("anna", "ben")
DEADLINE = 600.0
"""Seconds until a step must have happened on a very busy machine; nothing waits for it otherwise."""


def tenant_of(number: int) -> str:
    return TENANTS[number % 3 == 0]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of images and the manifest of them, whose variables are in the environment."""
    for name, value in s3_environment().items():
        monkeypatch.setenv(name, value)
    fsspec.asyn.reset_lock()
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem(use_listings_cache=False)
    name = new_bucket()
    store.mkdir(name)

    def fill(number: int) -> None:
        if number not in ABSENT:
            data = b"no image" if number in BROKEN else encoded(drawn(number, (40, 30)), "JPEG", quality=92)
            store.pipe_file(f"{name}/images/{number}.jpg", data)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fill, range(FILES * ROWS)))
    for file in range(FILES):
        numbers = range(file * ROWS, (file + 1) * ROWS)
        table = pa.table(
            {
                "Bucket": [name] * ROWS,
                "Key": [f"images/{number}.jpg" for number in numbers],
                "tenant": [tenant_of(number) for number in numbers],
            }
        )
        with store.open(f"{name}/list/{file:02d}.parquet", "wb") as out:
            pq.write_table(table, out)
    yield name
    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def frozen(url: str, number: int, run: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Wait until so many images are stored, and let nobody store more for the time of a block."""
    end = time.monotonic() + DEADLINE
    with psycopg.connect(url) as conn:
        while conn.execute("SELECT count(*) FROM images").fetchall()[0][0] < number:
            conn.rollback()
            assert run.poll() is None, "it ended early"
            assert time.monotonic() < end, "it does nothing"
            time.sleep(0.05)
        conn.execute("LOCK TABLE images IN SHARE MODE")
        assert conn.execute("SELECT count(*) FROM images").fetchall()[0][0] < FILES * ROWS - len(BAD)
        yield


def test_a_worker_and_a_node_are_killed_while_they_work(bucket: str, tmp_path: Path) -> None:
    """Every image has one outcome, nothing is stored twice, and what is rejected is in the Parquet file."""
    folder, rejected = tmp_path / "gallery", tmp_path / "rejected.parquet"
    words = ["--gallery", str(folder), "--json", "--manifest", f"s3://{bucket}/list/*.parquet"]
    with postgresql.database() as url, ray_engine.cluster() as cluster:
        create_gallery(folder, GallerySettings(("phash",), catalog=url), from_environment())
        head, other = cluster.start_node(), cluster.start_node()
        where = ["--ray", cluster.address, "--workers", "2", "--cores", "1", "--rejected", str(rejected)]
        with subprocess.Popen(
            [*PROGRAM, "ingest", *words, *where],
            env=cluster.environment,
            stdout=(tmp_path / "out").open("wb"),
            stderr=(tmp_path / "err").open("wb"),
        ) as run:
            try:
                with frozen(url, ROWS, run):
                    [worker] = head.workers()
                    worker.kill()
                with frozen(url, FILES * ROWS // 3, run):
                    assert other.workers()
                    other.kill()
                run.wait(DEADLINE)
            finally:
                run.kill()
        assert run.returncode == 1, (tmp_path / "err").read_text()
        again = program("add", *words, environment=cluster.environment)
        with open_gallery(folder) as gallery:
            stored = [(tenant, image.key) for tenant in TENANTS for image in gallery.ls(tenant=tenant, limit=1000)]
            rows = gallery.status().pipelines[0].rows
    expected = {(tenant_of(number), f"images/{number}.jpg") for number in range(FILES * ROWS)}
    good = {(tenant, key) for tenant, key in expected if key not in BAD}
    outcomes = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert Counter((one["tenant"], one["key"]) for one in outcomes) == dict.fromkeys(expected, 1)
    assert {one["key"] for one in outcomes if one["outcome"] == "rejected"} == set(BAD)
    assert {one["outcome"] for one in outcomes} <= {"added", "unchanged", "rejected"}
    assert Counter(stored) == dict.fromkeys(good, 1)
    assert rows == len(good)
    kinds = Counter(line["outcome"] for line in again.lines)
    assert kinds == {"unchanged": len(good), "rejected": len(BAD)}
    assert {row["key"]: row["reason"] for row in pq.read_table(rejected).to_pylist()} == BAD


def test_a_cluster_without_a_token_is_refused(tmp_path: Path) -> None:
    """Also on loopback, for Ray listens on every address of the machine."""
    with postgresql.database() as url, ray_engine.cluster(token=False) as cluster:
        create_gallery(tmp_path / "gallery", GallerySettings(("phash",), catalog=url), from_environment())
        (tmp_path / "list.csv").write_text("uri\n")
        cluster.start_node()
        words = ["ingest", "--gallery", tmp_path / "gallery", "--manifest", tmp_path / "list.csv"]
        ran = program(*words, "--ray", cluster.address, environment=cluster.environment)
    assert ran.code == 2
    assert "takes any caller" in ran.err
    assert "RAY_AUTH_MODE=token ray start" in ran.err
