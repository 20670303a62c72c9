"""Queries by URL: an object of a store or a member of an archive, wherever a path is taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike.errors import ImageRejected
from tests.support.command import lookalike as command
from tests.support.drawn_images import drawn, encoded
from tests.support.object_stores import failing, new_bucket, put, tar
from tests.support.served import served


@pytest.fixture
def bucket() -> str:
    """A bucket with two images, and an archive that holds another one."""
    name = new_bucket()
    members = {"in/c.jpg": encoded(drawn(3), "JPEG")}
    images = {f"{key}.jpg": encoded(drawn(n), "JPEG") for key, n in (("a", 1), ("b", 2))}
    put(name, {**images, "notes.txt": b"no image", "part.tar": tar(members)})
    return name


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as opened:
        for n in (1, 2, 3):
            opened.put(str(n), encoded(drawn(n)))
        yield opened


def test_a_url_is_searched_with_wherever_a_path_is(gallery: lookalike.Gallery, bucket: str) -> None:
    first, member = f"memory://{bucket}/a.jpg", f"memory://{bucket}/part.tar!/in/c.jpg"
    assert gallery.search(first).hits[0].key == "1"
    assert gallery.search(member).hits[0].key == "3"
    assert gallery.compare(first, encoded(drawn(1))).pipelines[0].distance < 0.05
    assert gallery.explain(first, "1").key == "1"
    assert gallery.preview(first)[:2] == b"\xff\xd8"
    [(_, features)] = gallery.encode([first])
    assert isinstance(features, lookalike.ImageFeatures)


def test_one_that_cannot_be_read_stops_no_other(gallery: lookalike.Gallery, bucket: str) -> None:
    wrong = [f"memory://{bucket}/none.jpg", f"memory://{bucket}/notes.txt", "memory://user:secret@host/a.jpg"]
    queries = [f"memory://{bucket}/a.jpg", *wrong, encoded(drawn(2), "JPEG"), *[f"memory://{bucket}/b.jpg"] * 40]
    answers = [answer for _, answer in gallery.search_many(queries)]
    found = [answer.hits[0].key if isinstance(answer, lookalike.Answer) else "error" for answer in answers]
    assert found == ["1", "error", "error", "error", "2", *["2"] * 40]
    assert all(isinstance(answer, ImageRejected) for answer in answers[1:4])
    assert "secret" not in str(answers[3])
    with failing(lambda *_: TimeoutError("slow")), pytest.raises(ImageRejected, match="failing://"):
        gallery.search(f"failing://{bucket}/a.jpg")


def test_a_serving_gallery_reads_only_what_its_operator_has_named(tmp_path: Path, bucket: str) -> None:
    for prefixes, allowed in ((None, False), ([f"memory://{bucket}"], True)):
        opened = lookalike.open(
            tmp_path / "gallery", pipelines=["phash"], create=True, serving=True, source_prefixes=prefixes
        )
        with opened as gallery:
            if allowed:
                gallery.search(f"memory://{bucket}/a.jpg")
            else:
                with pytest.raises(ImageRejected, match="--source-prefix"):
                    gallery.search(f"memory://{bucket}/a.jpg")


def test_the_client_and_the_command_read_it_themselves(tmp_path: Path, bucket: str) -> None:
    with served(tmp_path / "gallery") as (url, _), lookalike.Client(url) as client:
        client.put("1", encoded(drawn(1)))
        assert client.search(f"memory://{bucket}/a.jpg").hits[0].key == "1"
        with pytest.raises(ImageRejected, match=r"none\.jpg"):
            client.search(f"memory://{bucket}/none.jpg")
        for where in (("--server", url), ("-g", tmp_path / "gallery")):
            ran = command("search", f"memory://{bucket}/a.jpg", "--json", *where)
            assert [(line["query"], line["hits"][0]["key"]) for line in ran.lines] == [
                (f"memory://{bucket}/a.jpg", "1")
            ]
