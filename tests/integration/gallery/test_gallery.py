"""A whole gallery on real engines, from the command line: the same answers as the embedded one gives."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lookalike.factory import open_gallery
from tests.support.command import lookalike
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import elasticsearch, milvus, postgresql

IMAGES = 24


@dataclass(frozen=True)
class Galleries:
    """The same images twice: on engines, and embedded."""

    served: Path
    embedded: Path


@pytest.fixture(scope="module")
def photos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for n in range(IMAGES):
        (folder / f"{n:02}.jpg").write_bytes(encoded(drawn(n, (320, 240)), "JPEG", quality=90))
    return folder


@pytest.fixture(scope="module")
def galleries(photos_folder: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Galleries]:
    """Made and filled by the commands that the README names; a password need not stand in the gallery's file."""
    filter = tmp_path_factory.mktemp("galleries")
    found = Galleries(filter / "served", filter / "embedded")
    hashes, vectors = elasticsearch.server(), milvus.milvus_url()
    with postgresql.database() as catalog, mock.patch.dict(os.environ, {"LOOKALIKE_CACHE": str(cache)}):
        made = lookalike(
            *("init", "-g", found.served, "--catalog", catalog, "--json"),
            *("--index", f"phash={hashes}?mode=exact", "--index", f"vgg16-copy={vectors}?index=FLAT"),
        )
        assert made.code == 0, made.err
        assert lookalike("init", "-g", found.embedded).code == 0
        for gallery in (found.served, found.embedded):
            ran = lookalike("add", photos_folder, "-g", gallery, "--attr", "album=drawn", "--json")
            assert ran.code == 0, ran.err
            assert [line["outcome"] for line in ran.lines] == ["added"] * IMAGES
        yield found


def edited(n: int, filter: Path) -> Path:
    """A small, hard JPEG of an image."""
    filter.write_bytes(encoded(drawn(n, (320, 240)).resize((160, 120)), "JPEG", quality=40))
    return filter


def hits(gallery: Path, *arguments: object) -> list[list[tuple[str, str, float]]]:
    """By query, key, evidence and distance of each hit."""
    ran = lookalike("search", *arguments, "-g", gallery, "--json")
    assert ran.code == 0, ran.err
    assert [line["failed"] for line in ran.lines] == [{}] * len(ran.lines)
    return [[(hit["key"], hit["evidence"], hit["distance"]) for hit in line["hits"]] for line in ran.lines]


@pytest.mark.parametrize("options", [[], ["--pipeline", "phash"], ["--where", "album=drawn"], ["--threshold", "0.1"]])
def test_searches_answer_as_the_embedded_gallery(galleries: Galleries, tmp_path: Path, options: list[str]) -> None:
    queries = [edited(n, tmp_path / f"{n:02}.jpg") for n in (0, 7, 21)]
    expected, found = (hits(gallery, *queries, *options) for gallery in (galleries.embedded, galleries.served))
    assert [of_one[0][0] for of_one in expected] == [query.name for query in queries]
    for ours, theirs in zip(expected, found, strict=True):
        assert [hit[:2] for hit in theirs] == [hit[:2] for hit in ours]
        assert [hit[2] for hit in theirs] == pytest.approx([hit[2] for hit in ours], abs=0.002)


def test_a_filter_in_the_engines_own_words(galleries: Galleries, photos_folder: Path) -> None:
    """The hash of an image is found by Elasticsearch alone; a filter that nothing passes hides it, digest or not."""
    query = photos_folder / "03.jpg"
    asked = ("--pipeline", "phash", "--engine-filter")
    [all_] = hits(galleries.served, query, *asked, 'elasticsearch={"match_all": {}}')
    assert all_[0][:2] == ("03.jpg", "exact")
    assert hits(galleries.served, query, *asked, 'elasticsearch={"match_none": {}}') == [[]]
    refused = lookalike("search", query, *asked, 'milvus="id > 0"', "-g", galleries.served, "--json")
    assert refused.code == 2


def test_changes_reach_the_engines(galleries: Galleries, tmp_path: Path) -> None:
    """Added, changed and removed images, read back at once by the number of the change."""
    new = tmp_path / "new.jpg"
    new.write_bytes(encoded(drawn(900, (320, 240)), "JPEG"))
    with open_gallery(galleries.served) as gallery:
        gallery.add(new, key="new.jpg", attributes={"album": "later"})
        sequence = gallery.get("new.jpg").sequence
        answer = gallery.search(new, min_sequence=sequence, filter={"album": "later"})
        assert [hit.key for hit in answer.hits] == ["new.jpg"]
        assert answer.sequence >= sequence
        gallery.set_attributes("new.jpg", {"album": "last"})
        sequence = gallery.get("new.jpg").sequence
        assert not gallery.search(new, min_sequence=sequence, filter={"album": "later"}).hits
        assert gallery.remove("new.jpg") == ["new.jpg"]
        gallery.sync_indexes()
        assert [p.rows for p in gallery.status().pipelines] == [IMAGES, IMAGES]


def test_status_doctor_and_repair(galleries: Galleries) -> None:
    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = lookalike("status", "-g", galleries.served, "--json").line["pipelines"]
        return found

    assert [(row["shared"], row["rows"], row["behind"]) for row in rows()] == [(True, IMAGES, 0)] * 2
    repaired = lookalike("repair", "-g", galleries.served, "--json")
    rebuilt = {"phash": IMAGES, "vgg16-copy": IMAGES}
    assert repaired.line == {"images": IMAGES, "rebuilt": rebuilt, "verification_records": None}
    assert [(row["rows"], row["behind"]) for row in rows()] == [(IMAGES, 0)] * 2
    checks = {line["name"]: line for line in lookalike("doctor", "-g", galleries.served, "--json").lines}
    for scheme in ("postgresql", "elasticsearch", "milvus"):
        [check] = [check for name, check in checks.items() if name.startswith(f"{scheme}://")]
        assert check["status"] == "ok", check
