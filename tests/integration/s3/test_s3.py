"""Images in a real S3 server: adding, adding again, manifests, shards, outages, and the server that serves them."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

import lookalike
from lookalike.errors import BadInput, NotFound, Unavailable
from lookalike.factory import open_gallery
from lookalike.gallery import originals
from lookalike.sources import objects, read_url
from lookalike.sources.manifest import Manifest, by_tenant
from lookalike.types import Outcome
from tests.support.command import program
from tests.support.drawn_images import drawn, encoded
from tests.support.engines.s3 import s3_environment, server_of_its_own
from tests.support.object_stores import json_bytes, new_bucket, tar

SIZE = (200, 150)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3fs.S3FileSystem]:
    """A client of the run's server, which the code under test finds in the environment as well."""
    for name, value in s3_environment().items():
        monkeypatch.setenv(name, value)
    fsspec.asyn.reset_lock()
    s3fs.S3FileSystem.clear_instance_cache()
    yield s3fs.S3FileSystem(use_listings_cache=False)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(store: s3fs.S3FileSystem) -> str:
    name = new_bucket()
    store.mkdir(name)
    return name


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True) as opened:
        yield opened


def image(seed: int) -> bytes:
    return encoded(drawn(seed, SIZE), "JPEG", quality=92)


def fill(
    store: s3fs.S3FileSystem, bucket: str, *seeds: int, name: Callable[[int], str] = lambda n: f"pics/{n}.jpg"
) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda seed: store.pipe_file(f"{bucket}/{name(seed)}", image(seed)), seeds))


def kinds(found: list[Outcome]) -> dict[str, str]:
    return {one.key: one.outcome for one in found}


def test_a_bucket_is_added_and_then_recognised_without_being_read(
    store: s3fs.S3FileSystem, bucket: str, gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a b", "ü+%20", "q?x=1", "#hash", "!/x.tar", "deep/er/é"]
    for seed, name in enumerate(names):
        store.pipe_file(f"{bucket}/pics/{name}.jpg", image(seed))
    store.pipe_file(f"{bucket}/pics/notes.txt", b"text")
    store.pipe_file(f"{bucket}/pics2/no.jpg", image(50))
    assert set(kinds(gallery.add(f"s3://{bucket}/pics"))) == {f"{name}.jpg" for name in names}
    assert len(gallery.ls()) == len(names)
    for seed, name in enumerate(names):
        assert gallery.get_original(f"{name}.jpg") == image(seed)
    store.pipe_file(f"{bucket}/pics/{names[0]}.jpg", image(70))
    store.rm_file(f"{bucket}/pics/{names[1]}.jpg")
    read: list[str] = []
    real = read_url.read_object
    monkeypatch.setattr(read_url, "read_object", lambda url, *rest: (read.append(url), real(url, *rest))[1])
    found = kinds(gallery.add(f"s3://{bucket}/pics"))
    assert found[f"{names[0]}.jpg"] == "updated"
    assert found[f"{names[1]}.jpg"] == "missing"
    assert {found[f"{name}.jpg"] for name in names[2:]} == {"unchanged"}
    assert read == [f"s3://{bucket}/pics/{names[0]}.jpg"]
    assert gallery.prune(dry_run=False).keys == (f"{names[1]}.jpg",)


def test_a_listing_comes_page_by_page_in_order(
    store: s3fs.S3FileSystem, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(25):
        store.pipe_file(f"{bucket}/p/{number:02d}/{number}.jpg", b"x" * (number + 1))
    pages: list[int] = []
    real = s3fs.S3FileSystem.call_s3

    def few(self: s3fs.S3FileSystem, method: str, **options: object) -> dict[str, object]:
        page = real(self, method, **options, MaxKeys=4)
        pages.append(len(page.get("Contents", ())))
        return page  # type: ignore[no-any-return]

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", few)
    listed = objects.list_objects(f"s3://{bucket}/p")
    assert next(listed).nbytes == 1
    assert pages == [4]
    rest = list(listed)
    assert [info.nbytes for info in rest] == list(range(2, 26))
    assert len(pages) == 7


def test_shards_and_archives(store: s3fs.S3FileSystem, bucket: str, gallery: lookalike.Gallery) -> None:
    for n in range(3):
        members = {f"{n}-{i}.jpg": image(10 * n + i) for i in range(4)}
        members |= {f"{n}-{i}.json": json_bytes({"shard": n}) for i in range(4)}
        store.pipe_file(f"{bucket}/{n:05d}.tar", tar(dict(sorted(members.items()))))
    assert set(kinds(gallery.add(f"s3://{bucket}/{{00000..00001}}.tar")).values()) == {"added"}
    assert sorted(kinds(gallery.add(f"s3://{bucket}/*.tar")).values()) == ["added"] * 4 + ["unchanged"] * 8
    assert len(gallery.ls(filter={"shard": 1})) == 4
    assert gallery.get_original("2-3.jpg") == image(23)
    hit = gallery.search(encoded(drawn(12, SIZE), "JPEG", quality=40)).hits[0]
    assert (hit.key, hit.verified) == ("1-2.jpg", True)


def run_manifest(gallery: lookalike.Gallery, manifest: Manifest) -> dict[str, str]:
    return kinds(
        [o for tenant, found in by_tenant(manifest.entries(), "default") for o in gallery.add(found, tenant=tenant)]
    )


def test_an_inventory_report_is_a_manifest(store: s3fs.S3FileSystem, bucket: str, gallery: lookalike.Gallery) -> None:
    fill(store, bucket, 0, 1, 2, name=lambda n: f"a b/{n}+é.jpg")
    rows = [
        (bucket, f"a+b/{n}%2B%C3%A9.jpg", len(image(n)), store.info(f"{bucket}/a b/{n}+é.jpg")["ETag"].strip('"'))
        for n in range(3)
    ]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    store.pipe_file(f"{bucket}/inventory/data/1.csv.gz", gzip.compress(text.getvalue().encode()))
    report = {
        "sourceBucket": bucket,
        "destinationBucket": f"arn:aws:s3:::{bucket}",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, ETag",
        "files": [{"key": "inventory/data/1.csv.gz"}],
    }
    store.pipe_file(f"{bucket}/inventory/manifest.json", json.dumps(report).encode())
    source = f"s3://{bucket}/inventory/manifest.json"
    keys = [f"a b/{n}+é.jpg" for n in range(3)]
    assert run_manifest(gallery, Manifest(source)) == dict.fromkeys(keys, "added")
    assert run_manifest(gallery, Manifest(source)) == dict.fromkeys(keys, "unchanged")
    assert kinds(gallery.add(f"s3://{bucket}/a b")) == dict.fromkeys(keys, "unchanged")


def test_shards_of_a_manifest_run_in_processes_and_twice_change_nothing(
    store: s3fs.S3FileSystem, bucket: str, tmp_path: Path
) -> None:
    fill(store, bucket, *range(24))
    for part in range(4):
        rows = [
            {"uri": f"s3://{bucket}/pics/{n}.jpg", "key": f"k{n}", "attributes": json.dumps({"n": n})}
            for n in range(part, 24, 4)
        ]
        out = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), out)
        store.pipe_file(f"{bucket}/parts/{part}.parquet", out.getvalue().to_pybytes())
    environment = {**os.environ, "LOOKALIKE_GALLERY": str(tmp_path / "g")}
    assert program("init", "--pipelines", "phash", environment=environment).code == 0
    for attempt in range(2):
        counts: dict[str, int] = {}
        for shard in ("1/2", "2/2"):
            ran = program(
                "add",
                "--manifest",
                f"s3://{bucket}/parts/*.parquet",
                "--shard",
                shard,
                "--json",
                environment=environment,
            )
            assert ran.code == 0, ran.err
            for line in ran.out.splitlines():
                kind = json.loads(line)["outcome"]
                counts[kind] = counts.get(kind, 0) + 1
        assert counts == {"added" if attempt == 0 else "unchanged": 24}


def test_a_server_that_goes_down_ends_the_run_and_forgets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(objects, "MAX_ATTEMPTS", 2)
    with server_of_its_own() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        store = s3fs.S3FileSystem(use_listings_cache=False)
        bucket = new_bucket()
        store.mkdir(bucket)
        fill(store, bucket, 1, 2, 3)
        with open_gallery(tmp_path / "g", pipelines=("phash",), create=True) as gallery:
            gallery.add(f"s3://{bucket}/pics")
            server.stop()
            with pytest.raises(Unavailable, match="cannot be reached"):
                gallery.add(f"s3://{bucket}/pics")
            assert dict(gallery.prune(dry_run=False).away) == {f"s3://{bucket}/pics": 3}
            assert gallery.search(encoded(drawn(1, SIZE), "JPEG", quality=40)).hits[0].key == "1.jpg"
            server.start()
            monkeypatch.setattr(originals, "DOWN_SECONDS", 0.0)
            gallery._originals._down.clear()
            assert set(kinds(gallery.add(f"s3://{bucket}/pics")).values()) == {"unchanged"}
            assert gallery.get_thumbnail("1.jpg")
    s3fs.S3FileSystem.clear_instance_cache()


def test_wrong_credentials_and_buckets_are_named_and_secrets_are_not(
    store: s3fs.S3FileSystem, bucket: str, gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="no-such-bucket-here"):
        gallery.add("s3://no-such-bucket-here/a")
    fill(store, bucket, 1)
    gallery.add(f"s3://{bucket}/pics")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-value")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises((BadInput, Unavailable)) as raised:
        gallery.add(f"s3://{bucket}/pics")
    assert "wrong-secret-value" not in str(raised.value)
    assert dict(gallery.prune(dry_run=False).away) == {f"s3://{bucket}/pics": 1}


def test_the_catalog_and_the_output_hold_no_credentials(store: s3fs.S3FileSystem, bucket: str, tmp_path: Path) -> None:
    fill(store, bucket, 1)
    environment = {**os.environ, "LOOKALIKE_GALLERY": str(tmp_path / "g")}
    ran = program("add", f"s3://{bucket}", environment=environment)
    assert ran.code == 0, ran.err
    secret = s3_environment()["AWS_SECRET_ACCESS_KEY"].encode()
    written = b"".join(path.read_bytes() for path in (tmp_path / "g").rglob("*") if path.is_file())
    assert bucket.encode() in written
    assert secret not in written + ran.out + ran.err.encode()


def test_serve_reads_from_the_named_prefix_only(store: s3fs.S3FileSystem, bucket: str, tmp_path: Path) -> None:
    fill(store, bucket, 1)
    fill(store, bucket, 2, name=lambda n: f"private/{n}.jpg")
    with open_gallery(tmp_path / "g", pipelines=("phash",), create=True) as gallery:
        gallery.add([f"s3://{bucket}/pics", f"s3://{bucket}/private"])
    command = [sys.executable, "-m", "lookalike", "-g", str(tmp_path / "g"), "--json", "serve", "--port", "0"]
    command += ["--source-prefix", f"s3://{bucket}/pics"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"].rstrip("/")
        shown = httpx.get(f"{url}/v1/images/pics%2F1.jpg/thumbnail", timeout=60)
        assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
        assert httpx.get(f"{url}/v1/images/pics%2F1.jpg/original", timeout=60).content == image(1)
        refused = httpx.get(f"{url}/v1/images/private%2F2.jpg/thumbnail", timeout=60)
        assert refused.status_code == 404
        job = {"kind": "import", "paths": [f"s3://{bucket}/private"]}
        assert httpx.post(f"{url}/v1/jobs", json=job, timeout=60).status_code in (400, 422)
        files = {"file": ("q.jpg", encoded(drawn(1, SIZE), "JPEG", quality=40))}
        hit = httpx.post(f"{url}/v1/search", files=files, timeout=60).json()["hits"][0]
        assert (hit["key"], hit["verified"]) == ("pics/1.jpg", True)
    finally:
        server.terminate()
        server.wait(60)
