"""What a run over a Ray cluster is made of, without Ray: units, workers, the job, the addresses, rejected images."""

import csv
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lookalike
from lookalike.config import GallerySettings, from_environment
from lookalike.errors import BadInput, BadSetting, FeatureMismatch, LookalikeError, Unavailable
from lookalike.factory import create_gallery, open_gallery
from lookalike.ray_ingest import cluster, units
from lookalike.ray_ingest import job as job_module
from lookalike.ray_ingest.cluster import Workers, parse_workers
from lookalike.ray_ingest.job import IngestJob, IngestWorker, check_catalog, prepare_job
from lookalike.ray_ingest.rejected import RejectedWriter
from lookalike.ray_ingest.run import IndexUpdates
from lookalike.ray_ingest.units import Unit, UnitReader, UnitResult
from lookalike.types import Outcome
from tests.support.command import lookalike as run
from tests.support.drawn_images import drawn


def manifest(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_units_are_bounded_and_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_ROWS", 7)
    rows = [{"uri": f"{n}.jpg", "key": f"k{n}", "tenant": "anna" if n % 2 else ""} for n in range(20)]
    file = manifest(tmp_path / "list.csv", [*rows, {"uri": "", "key": "", "tenant": ""}])
    reader = UnitReader("default", {"source": "list"})
    read = list(reader.units(str(file)))
    assert [len(unit.rows) for unit in read] == [7, 7, 7]
    assert {tenant for unit in read for tenant, _ in unit.rows} == {"default", "anna"}
    found = [one for unit in read for _, one in unit.rows]
    assert {one.attributes["source"] for one in found if not isinstance(one, Outcome) and one.attributes} == {"list"}
    assert [one.outcome for one in found if isinstance(one, Outcome)] == ["rejected"]
    batches = list(pickle.loads(pickle.dumps(reader))({"file": [str(file)]}))
    assert [pickle.loads(batch["unit"][0]) for batch in batches] == read


def test_what_an_inventory_passes_over_comes_after_its_units(tmp_path: Path) -> None:
    rows = [
        {"Bucket": "b", "Key": "a.jpg", "IsLatest": "true"},
        {"Bucket": "b", "Key": "a.jpg", "IsLatest": "false"},
        {"Bucket": "b", "Key": "notes.txt", "IsLatest": "true"},
    ]
    *some, last = UnitReader("default").units(str(manifest(tmp_path / "list.csv", rows)))
    assert [len(unit.rows) for unit in some] == [1]
    assert (last.rows, last.passed_over, last.others) == ((), {"txt": 1}, {"earlier versions": 1})


@pytest.mark.parametrize(
    ("text", "workers"), [("4", Workers(4, 4)), ("2-16", Workers(2, 16)), ("2-", Workers(2)), ("1-1", Workers(1, 1))]
)
def test_numbers_of_workers(text: str, workers: Workers) -> None:
    assert parse_workers(text) == workers


@pytest.mark.parametrize("text", ["0", "", "-4", "5-2", "many", "1-2-3", "0-"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="--workers must be"):
        parse_workers(text)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True) as opened:
        yield opened


@pytest.fixture
def job(tmp_path: Path, gallery: lookalike.Gallery) -> IngestJob:
    """Its catalog is a file here, which the worker of the test opens after the gallery has been closed."""
    made = prepare_job(gallery.folder, from_environment(), gallery, cores=1)
    gallery.close()
    return replace(made, gallery=replace(made.gallery, catalog=f"sqlite:///{tmp_path}/gallery/catalog.sqlite"))


def test_a_worker_adds_units_again_without_adding_twice(tmp_path: Path, job: IngestJob) -> None:
    for n in range(3):
        drawn(n, (40, 30)).save(tmp_path / f"{n}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    rows = [{"uri": name, "key": name, "tenant": t} for name, t in (("0.png", "a"), ("1.png", "b"), ("bad.png", "b"))]
    [unit] = UnitReader("default").units(str(manifest(tmp_path / "list.csv", rows)))
    for kind in ("added", "unchanged"):
        actor = IngestWorker(pickle.loads(pickle.dumps(job)))
        result = pickle.loads(actor({"unit": [pickle.dumps(unit)]})["result"][0])
        assert sorted((t, one.key, one.outcome) for t, one in result.outcomes) == [
            ("a", "0.png", kind),
            ("b", "1.png", kind),
            ("b", "bad.png", "rejected"),
        ]
        actor._opened().close()


def test_a_worker_waits_for_a_catalog_that_is_away(job: IngestJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "RETRY_SECONDS", (0.0, 0.0))
    actor = IngestWorker(job)
    failures: list[LookalikeError] = [Unavailable("down"), Unavailable("down")]

    def outcomes(unit: Unit) -> list[tuple[str, Outcome]]:
        if failures:
            raise failures.pop()
        return []

    monkeypatch.setattr(actor, "_outcomes", outcomes)
    assert actor.add(Unit(())) == UnitResult([])
    failures += [Unavailable("down")] * 3
    assert str(actor.add(Unit(()))) == "down"
    failures[:] = [BadInput("no such manifest")]
    assert isinstance(actor.add(Unit(())), BadInput)


def test_machines_that_differ_are_refused(tmp_path: Path, job: IngestJob) -> None:
    with pytest.raises(BadSetting, match="install the same version on all"):
        replace(job, version="0.0.1").open(tmp_path / "one")
    with pytest.raises(FeatureMismatch, match="the features of phash differ"):
        replace(job, fingerprints={"phash": "other"}).open(tmp_path / "two")


def test_no_address_with_a_password_is_written_to_a_machine(tmp_path: Path, job: IngestJob) -> None:
    indexed = replace(job.gallery, index={"phash": "elasticsearch://user:hidden-word@127.0.0.1:9"})
    with replace(job, gallery=indexed).open(tmp_path / "worker") as opened:
        assert opened.status().pipelines[0].engine.startswith("elasticsearch")
    assert not [p for p in (tmp_path / "worker").rglob("*") if p.is_file() and b"hidden-word" in p.read_bytes()]
    assert "hidden-word" not in repr(job)


def test_a_catalog_in_a_file_is_refused_with_the_remedy(tmp_path: Path, gallery: lookalike.Gallery) -> None:
    gallery.close()
    (tmp_path / "list.csv").write_text("uri\n")
    words = ["--gallery", gallery.folder, "--manifest", tmp_path / "list.csv", "--ray", "local"]
    ran = run("ingest", *words)
    assert ran.code == 2
    assert "lookalike init --catalog postgresql://" in ran.err
    assert "lookalike add --manifest" in ran.err


def test_a_catalog_on_a_server_is_accepted(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    create_gallery(folder, GallerySettings(("phash",)), from_environment())
    check_catalog(folder, replace(from_environment(), catalog="postgresql://127.0.0.1:9/x"))


@pytest.mark.parametrize("address", ["auto", "ray://10.0.0.1:10001", "10.0.0.1", "http://h:1", ":6379", ""])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(BadSetting, match="--ray must be local, or the host:port"), cluster.connected(address):
        pass


def test_an_address_where_nothing_listens_is_found_out_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unavailable, match=f"no Ray cluster answers at {address}"), cluster.connected(address):
        pass
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_rejected_images_become_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "rejected.parquet"
    with RejectedWriter(path) as writer:
        writer.add("anna", Outcome("a.jpg", "s3://b/a.jpg", "rejected", "not_an_image: it is text: really"))
        writer.add("ben", Outcome("b\udcff.jpg", None, "rejected", "the key is taken"))
        assert not path.exists()
    assert pq.read_table(path).to_pylist() == [
        {
            "tenant": "anna",
            "key": "a.jpg",
            "uri": "s3://b/a.jpg",
            "reason": "not_an_image",
            "message": "it is text: really",
        },
        {"tenant": "ben", "key": "b\\udcff.jpg", "uri": None, "reason": "other", "message": "the key is taken"},
    ]
    with pytest.raises(BadInput, match="exists"):
        RejectedWriter(path)
    with pytest.raises(BadInput, match="cannot be written"):
        RejectedWriter(tmp_path / "none" / "rejected.parquet")


def test_indexes_are_up_to_date_after_others_have_added(tmp_path: Path, gallery: lookalike.Gallery) -> None:
    drawn(1).save(tmp_path / "1.png")
    with IndexUpdates(gallery):
        [outcome] = gallery.add_to_catalog([lookalike.Item("1.png", tmp_path / "1.png")])
        assert gallery._pipelines.now_open()[0].sync.applied < (outcome.sequence or 0)
    assert gallery._pipelines.now_open()[0].sync.applied == outcome.sequence


def test_ray_is_imported_by_ingest_alone() -> None:
    code = "import sys, lookalike, lookalike.cli.main, lookalike.ray_ingest; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
