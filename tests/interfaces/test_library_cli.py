"""The library and the command line give the same answers under the same names."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lookalike as library
from lookalike.problem_details import problem_of
from lookalike.types import Answer, Record
from lookalike.wire.images import thumbnail_url
from lookalike.wire.objects import to_dict
from lookalike.wire.search import Hit
from tests.support.command import lookalike as command
from tests.support.drawn_images import drawn, encoded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images, an edited copy, the same bytes again, a flat one, and what is none."""
    filter = tmp_path_factory.mktemp("photos")
    (filter / "sub").mkdir()
    for seed in range(12):
        drawn(seed).save(filter / ("sub" if seed % 3 == 0 else ".") / f"{seed}.png")
    (filter / "copy of 1.jpg").write_bytes(encoded(drawn(1), "JPEG", quality=50))
    shutil.copy(filter / "2.png", filter / "twin.png")
    drawn(20).resize((1, 1)).resize((50, 50)).save(filter / "flat.png")
    (filter / "empty.jpg").write_bytes(b"")
    (filter / "lying.png").write_bytes(b"GIF89a and no more")
    return filter


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """Filled by the command line."""
    filter = tmp_path_factory.mktemp("cli") / "gallery"
    assert command("init", "--pipelines", "phash", "-g", filter).code == 0
    command("add", folder, "--attr", "year=2020", "-g", filter)
    command("add", folder / "5.png", "--attr", "year=1999", "-g", filter)
    return filter


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[library.Gallery]:
    """Filled by the library."""
    with library.open(tmp_path_factory.mktemp("library") / "gallery", pipelines=["phash"], create=True) as service:
        service.add(folder, attributes={"year": 2020})
        service.add(folder / "5.png", attributes={"year": 1999})
        yield service


def reply(answer: Answer) -> dict[str, Any]:
    """What both say of an answer, times aside."""
    return {
        "hits": [to_dict(Hit.of(hit)) | {"path": hit.path} for hit in answer.hits],
        "exact_within": dict(answer.exact_within),
        "page": answer.page,
        "more": answer.more,
    }


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("hits", "exact_within", "page", "more")}


def same_record(line: dict[str, Any], record: Record) -> None:
    """Every field but the times, which only need be readable."""
    found = asdict(record)
    assert line.pop("sha256") == record.sha256.hex()
    assert line.pop("bytes") == record.nbytes
    assert line.pop("thumbnail") == thumbnail_url(record.key)
    line.pop("sequence")
    for name in ("created", "updated"):
        at = datetime.fromisoformat(line.pop(name))
        assert at.tzinfo is not None
        assert abs((datetime.now(UTC) - at).total_seconds()) < 3600
    for name, value in line.items():
        assert found[name] == value


def test_outcomes(folder: Path, tmp_path: Path) -> None:
    command("init", "--pipelines", "phash", "-g", tmp_path / "a")
    with library.open(tmp_path / "b", pipelines=["phash"], create=True) as service:
        for _ in range(2):
            ran = command("add", folder, "--json", "-g", tmp_path / "a")
            outcomes = [asdict(outcome) for outcome in service.add(folder)]
            assert sorted(ran.lines, key=lambda o: o["key"]) == sorted(outcomes, key=lambda o: o["key"])


OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["-k", "3"], {"k": 3}),
    (["-k", "2", "--page", "2"], {"k": 2, "page": 2}),
    (["--threshold", "0.25"], {"threshold": 0.25}),
    (["--where", "year<2000"], {"filter": {"year": {"lt": 2000}}}),
    (["--where", "year=2020"], {"filter": {"year": 2020}}),
    (["--pipeline", "phash"], {"pipelines": ["phash"]}),
    (["--no-orientations"], {"orientations": False}),
    (["--tenant", "nobody"], {"tenant": "nobody"}),
    (["--all-tenants"], {"tenant": None}),
]


@pytest.mark.parametrize(("arguments", "options"), OPTIONS)
def test_search(
    gallery: Path, opened: library.Gallery, folder: Path, arguments: list[str], options: dict[str, Any]
) -> None:
    for query in ("1.png", "copy of 1.jpg", "5.png", "flat.png", "sub/3.png"):
        ran = command("search", folder / query, *arguments, "--json", "-g", gallery)
        assert ran.code == 0
        assert without_times(ran.line) == reply(opened.search(folder / query, **options))


def test_many_queries_are_as_one(gallery: Path, opened: library.Gallery, folder: Path) -> None:
    ran = command("search", folder, "--json", "-g", gallery)
    queries = [line["query"] for line in ran.lines]
    assert len(queries) == 17
    for line, (query, answer) in zip(ran.lines, opened.search_many(queries), strict=True):
        assert line["query"] == query
        if isinstance(answer, library.Answer):
            assert without_times(line) == reply(answer) == reply(opened.search(query))
        else:
            assert line["error"] == problem_of(answer)


def test_records(gallery: Path, opened: library.Gallery) -> None:
    lines = command("ls", "--json", "-g", gallery).lines
    records = opened.ls()
    assert len(records) == 15
    for line, record in zip(lines, records, strict=True):
        assert command("show", record.key, "--json", "-g", gallery).line == line
        same_record(line, record)
        assert opened.get(record.key) == record


def test_duplicates(gallery: Path, opened: library.Gallery) -> None:
    lines = command("duplicates", "--json", "-g", gallery).lines
    clusters = list(opened.duplicates())
    assert [(line["evidence"], line["distance"], [p["key"] for p in line["images"]]) for line in lines] == [
        (cluster.evidence, cluster.distance, [p.key for p in cluster.images]) for cluster in clusters
    ]
    assert {frozenset(p.key for p in cluster.images) for cluster in clusters} == {
        frozenset({"1.png", "copy of 1.jpg"}),
        frozenset({"2.png", "twin.png"}),
    }


def test_compare(gallery: Path, opened: library.Gallery, folder: Path) -> None:
    for a, b in (("1.png", "copy of 1.jpg"), ("1.png", "2.png"), ("2.png", "twin.png"), ("1.png", "flat.png")):
        line = command("compare", folder / a, folder / b, "--json", "-g", gallery).line
        found = opened.compare(folder / a, folder / b)
        assert (line["evidence"], line["same_bytes"]) == (found.evidence, found.same_bytes)
        assert [m["distance"] for m in line["pipelines"]] == [m.distance for m in found.pipelines]


def test_removing_and_repairing(folder: Path, tmp_path: Path) -> None:
    command("init", "--pipelines", "phash", "-g", tmp_path / "a")
    command("add", folder, "-g", tmp_path / "a")
    with library.open(tmp_path / "b", pipelines=["phash"], create=True) as service:
        service.add(folder)
        ran = command("rm", "1.png", "nothing", "--json", "-g", tmp_path / "a")
        removed = [line["key"] for line in ran.lines if line["outcome"] == "removed"]
        assert removed == service.remove(["1.png", "nothing"])
        report = service.repair()
        assert command("repair", "--json", "-g", tmp_path / "a").line == {
            "images": report.images,
            "rebuilt": dict(report.rebuilt),
            "verification_records": None,
        }
        ours = command("search", folder / "1.png", "--json", "-g", tmp_path / "a").line
        assert without_times(ours) == reply(service.search(folder / "1.png"))
        assert "1.png" not in [hit["key"] for hit in ours["hits"]]
