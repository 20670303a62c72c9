"""Manifests: formats, columns, S3 Inventory, shards, tenants, and rows that name nothing."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.errors import BadInput, NotFound
from lookalike.sources.manifest import Manifest, by_tenant, parse_shard
from lookalike.types import FoundObject, Outcome
from tests.support.object_stores import new_bucket, put

Rows = Sequence[Mapping[str, Any]]


def as_csv(rows: Rows) -> bytes:
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: json.dumps(v) if isinstance(v, dict) else v for name, v in row.items()})
    return out.getvalue().encode()


def as_jsonl(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(rows: Rows) -> bytes:
    out = pa.BufferOutputStream()
    texts = [{name: json.dumps(v) if isinstance(v, dict) else v for name, v in row.items()} for row in rows]
    pq.write_table(pa.Table.from_pylist(texts), out)
    return out.getvalue().to_pybytes()  # type: ignore[no-any-return]


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    ".csv": as_csv,
    ".csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    ".jsonl": as_jsonl,
    ".parquet": as_parquet,
}
ROWS = [
    {"key": "k1", "uri": "s3://b/a b.jpg", "etag": '"e1"', "size": 5, "tenant": "ann", "attributes": {"n": 1}},
    {"key": "k2", "uri": "s3://b/c.jpg", "etag": "e2", "size": 6, "tenant": "bob", "attributes": {"n": 2}},
]


def found(manifest: Manifest) -> list[FoundObject]:
    entries = [entry.found for entry in manifest.entries()]
    assert all(isinstance(one, FoundObject) for one in entries), entries
    return [one for one in entries if isinstance(one, FoundObject)]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("remote", [False, True])
def test_all_columns_are_read_in_all_formats(suffix: str, remote: bool, tmp_path: Path) -> None:
    data, bucket = FORMATS[suffix](ROWS), new_bucket()
    put(bucket, {f"m{suffix}": data})
    (tmp_path / f"m{suffix}").write_bytes(data)
    source = f"memory://{bucket}/m{suffix}" if remote else str(tmp_path / f"m{suffix}")
    entries = list(Manifest(source).entries())
    assert [entry.tenant for entry in entries] == ["ann", "bob"]
    one, two = (entry.found for entry in entries)
    assert one == FoundObject("s3://b/a b.jpg", None, {"n": 1}, key="k1", etag="e1", nbytes=5, replaces=True)
    assert two == FoundObject("s3://b/c.jpg", None, {"n": 2}, key="k2", etag="e2", nbytes=6, replaces=True)


def test_a_location_alone_is_enough_and_gives_the_key(tmp_path: Path) -> None:
    lines = [{"url": "s3://b/x/1.jpg"}, {"path": "sub/2.jpg"}, {"file": "/abs/3.jpg"}, {"URI": "memory://b/4.jpg"}]
    (tmp_path / "m.jsonl").write_bytes(as_jsonl(lines))
    assert [(one.key, one.url, one.replaces) for one in found(Manifest(str(tmp_path / "m.jsonl")))] == [
        ("x/1.jpg", "s3://b/x/1.jpg", False),
        ("sub/2.jpg", str(tmp_path / "sub/2.jpg"), False),
        ("abs/3.jpg", "/abs/3.jpg", False),
        ("4.jpg", "memory://b/4.jpg", False),
    ]
    bucket = new_bucket()
    put(bucket, {"lists/m.jsonl": as_jsonl([{"path": "2.jpg"}])})
    assert [one.url for one in found(Manifest(f"memory://{bucket}/lists/m.jsonl"))] == [
        f"memory://{bucket}/lists/2.jpg"
    ]


def test_bad_rows_are_outcomes_and_the_others_are_added(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(
        b'{"uri": "s3://b/1.jpg"}\nno json\n[1]\n\n{"key": "no uri"}\n{"uri": "s3://b/1.jpg", "size": "x"}\n'
        b'{"uri": "s3://u:secret@b/1.jpg"}\n{"uri": "s3://b/2.jpg", "attributes": "{"}\n{"uri": "s3://b/3.jpg"}\n'
    )
    entries = [entry.found for entry in Manifest(str(tmp_path / "m.jsonl")).entries()]
    outcomes = [one for one in entries if isinstance(one, Outcome)]
    assert [one.key for one in entries if isinstance(one, FoundObject)] == ["1.jpg", "3.jpg"]
    assert len(outcomes) == 6
    assert {one.outcome for one in outcomes} == {"rejected"}
    assert all(one.key.startswith("row ") and str(tmp_path) in one.key for one in outcomes)
    assert not any("secret" in str(one) for one in outcomes)
    (tmp_path / "m.csv").write_text("uri,size\ns3://b/1.jpg,1\ns3://b/2.jpg\ns3://b/3.jpg,3\n")
    kinds = [type(entry.found) for entry in Manifest(str(tmp_path / "m.csv")).entries()]
    assert kinds == [FoundObject, Outcome, FoundObject]


INVENTORY = [
    {"Bucket": "b", "Key": "a/x+y%20z%2B.jpg", "Size": 3, "ETag": "e", "IsLatest": "true", "IsDeleteMarker": "false"},
    {"Bucket": "b", "Key": "old.jpg", "Size": 3, "ETag": "e", "IsLatest": "false", "IsDeleteMarker": "false"},
    {"Bucket": "b", "Key": "gone.jpg", "Size": "", "ETag": "", "IsLatest": "true", "IsDeleteMarker": "true"},
    {"Bucket": "b", "Key": "folder/", "Size": 0, "ETag": "e", "IsLatest": "true", "IsDeleteMarker": "false"},
    {"Bucket": "b", "Key": "notes.txt", "Size": 3, "ETag": "e", "IsLatest": "true", "IsDeleteMarker": "false"},
]


def test_an_inventory_names_the_images_of_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(as_csv(INVENTORY))
    manifest = Manifest(str(tmp_path / "m.csv"), is_passed_over=lambda key: key.endswith(".txt"))
    [one] = found(manifest)
    assert (one.url, one.key, one.etag, one.nbytes) == ("s3://b/a/x y z+.jpg", "a/x y z+.jpg", "e", 3)
    assert dict(manifest.others) == {"earlier versions": 1, "delete markers": 1, "folder markers": 1}


def test_keys_of_an_inventory_in_parquet_are_not_encoded(tmp_path: Path) -> None:
    rows = [
        {"bucket": "b", "key": "a%20b+c.jpg", "size": 1, "e_tag": "e", "is_latest": True, "is_delete_marker": False}
    ]
    (tmp_path / "m.parquet").write_bytes(as_parquet(rows))
    [one] = found(Manifest(str(tmp_path / "m.parquet")))
    assert (one.url, one.etag) == ("s3://b/a%20b+c.jpg", "e")


@pytest.mark.parametrize("files", [1, 3, 7])
def test_shards_together_are_the_whole(files: int, tmp_path: Path) -> None:
    urls = [f"s3://b/{n}.jpg" for n in range(20)]
    for n in range(files):
        (tmp_path / f"{n}.jsonl").write_bytes(as_jsonl([{"uri": url} for url in urls[n::files]]))
    parts = [[one.url for one in found(Manifest(str(tmp_path / "*.jsonl"), (n, 3)))] for n in (1, 2, 3)]
    assert sorted(url for part in parts for url in part) == sorted(urls)
    assert all(parts)


def test_rows_are_put_in_order_of_their_tenants(tmp_path: Path) -> None:
    rows = [{"uri": f"s3://b/{n}.jpg", "tenant": "ann" if n % 2 else None} for n in range(6)]
    (tmp_path / "m.jsonl").write_bytes(as_jsonl(rows))
    runs = [
        (name, [one.key for one in run if isinstance(one, FoundObject)])
        for name, run in by_tenant(Manifest(str(tmp_path / "m.jsonl")).entries(), "default")
    ]
    assert runs == [("default", ["0.jpg", "2.jpg", "4.jpg"]), ("ann", ["1.jpg", "3.jpg", "5.jpg"])]


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    for name, kind in (("none.csv", NotFound), ("*.csv", NotFound), ("m.txt", BadInput)):
        with pytest.raises(kind):
            list(Manifest(str(tmp_path / name)).entries())
    for name, data in (("m.parquet", b"no parquet"), ("manifest.json", b"{}"), ("manifest.json", b"[")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match="m"):
            list(Manifest(str(tmp_path / name)).entries())


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5"])
def test_shards_are_checked(text: str) -> None:
    assert parse_shard("3/16") == (3, 16)
    with pytest.raises(BadInput, match="3/16"):
        parse_shard(text)
