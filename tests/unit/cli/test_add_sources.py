"""`add` with archives, URLs and manifests: counts, exit codes, and combinations that are refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.factory import open_gallery
from tests.support.command import lookalike
from tests.support.drawn_images import drawn, encoded
from tests.support.object_stores import json_bytes, new_bucket, put, tar
from tests.support.waiting import HANG_SECONDS, wait_until


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True).close()
    return tmp_path / "gallery"


def image(seed: int) -> bytes:
    return encoded(drawn(seed), "JPEG", quality=90)


def test_an_archive_of_this_machine_is_added_by_its_path(gallery: Path, tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar({"a.jpg": image(1), "a.json": json_bytes({"n": 1}), "a.txt": b"text"}))
    ran = lookalike("add", tmp_path / "0.tar", "-g", gallery)
    assert (ran.code, "1 added" in ran.text, "1 txt" in ran.text) == (0, True, True)
    assert lookalike("ls", "-g", gallery, "--json").line["attributes"] == {"n": 1}
    assert "1 unchanged" in lookalike("add", tmp_path / "0.tar", "-g", gallery).text
    listed = lookalike("add", tmp_path, "-g", gallery)
    assert "The members of archives are added where the archives themselves are named." in listed.text


def test_a_manifest_counts_what_it_passes_over_and_rejects(gallery: Path, tmp_path: Path) -> None:
    bucket = new_bucket()
    put(bucket, {"1.jpg": image(1), "2.jpg": image(2)})
    rows = [{"uri": f"memory://{bucket}/{n}.jpg", "tenant": "ann" if n == 2 else None} for n in (1, 2, 3)]
    rows += [{"Bucket": "b", "Key": "notes.txt"}, {"Bucket": "b", "Key": "old.jpg", "IsLatest": "false"}, {}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = lookalike("add", "--manifest", tmp_path / "m.jsonl", "-g", gallery)
    assert ran.code == 1
    assert "4 images: 2 added, 2 rejected" in ran.text
    assert "1 txt" in ran.text
    assert "earlier versions: 1" in ran.text
    assert [line["key"] for line in lookalike("ls", "-g", gallery, "--json").lines] == ["1.jpg"]
    assert [line["key"] for line in lookalike("ls", "-g", gallery, "--json", "--tenant", "ann").lines] == ["2.jpg"]
    again = lookalike("add", "--manifest", tmp_path / "m.jsonl", "-g", gallery)
    assert "2 unchanged, 2 rejected" in again.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["add"],
        ["add", "a.jpg", "--manifest", "m.csv", "--shard", "1/2"],
        ["add", "a.jpg", "--shard", "1/2"],
        ["add", "--manifest", "m.csv", "--key", "k"],
        ["add", "--manifest", "m.csv", "--shard", "3/2"],
        ["add", "s3://user:password@bucket/a.jpg"],
        ["add", "nosuchstore://bucket/a.jpg"],
    ],
)
def test_what_makes_no_sense_is_refused(gallery: Path, arguments: list[str]) -> None:
    ran = lookalike(*arguments, "-g", gallery)
    assert ran.code == 2
    assert "user:password" not in ran.err + ran.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_follows_a_folder_until_a_signal_ends_it(gallery: Path, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "1.jpg").write_bytes(image(1))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lookalike", "-g", str(gallery), "--json", "watch", str(tmp_path / "pics")]
    with out.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ)
    try:
        wait_until(lambda: out.read_bytes().count(b"\n") == 1)
        (tmp_path / "pics" / "2.jpg").write_bytes(image(2))
        wait_until(lambda: b"2.jpg" in out.read_bytes())
        process.send_signal(number)
        assert process.wait(HANG_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    outcomes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["key"], line["outcome"]) for line in outcomes] == [("1.jpg", "added"), ("2.jpg", "added")]


def test_watch_needs_a_folder(gallery: Path, tmp_path: Path) -> None:
    assert lookalike("watch", tmp_path / "none", "-g", gallery).code == 4
