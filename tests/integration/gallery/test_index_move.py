"""Indexes move to engines on servers, to other ones of the same server, and back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import lookalike
from lookalike.config import Settings, from_environment
from lookalike.errors import BadInput
from lookalike.factory import open_gallery
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import elasticsearch, milvus
from tests.support.engines.elasticsearch import name  # noqa: F401 - a fixture
from tests.support.toy_encoders import write_toy_models

NUMBER = 16


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lookalike.Gallery]:
    monkeypatch.setattr("lookalike.gallery.pipeline_pool.REFRESH_SECONDS", -1.0)
    monkeypatch.setattr("lookalike.gallery.index_move.DROP_SECONDS", 0.0)
    settings: Settings = replace(from_environment(), models=write_toy_models(tmp_path), gallery=tmp_path / "gallery")
    with open_gallery(settings=settings, pipelines=["phash", "toy"], create=True) as opened:
        for seed in range(NUMBER):
            opened.put(str(seed), encoded(drawn(seed)), attributes={"even": seed % 2 == 0})
        yield opened


def moved(gallery: lookalike.Gallery, pipeline: str, to: str) -> None:
    """Move, and check that searches answer by the new index as the catalog's features say."""
    found = gallery.move_index(pipeline, to)
    assert (found.moved, found.rows, found.kept) == (True, len(gallery.ls()), True)
    assert found.comparison is not None
    assert (found.comparison.copies_overlap, found.comparison.missing_rows) == (1.0, 0)
    [status] = [status for status in gallery.status().pipelines if status.name == pipeline]
    assert (status.engine, status.rows, status.error) == (found.after, found.rows, None)
    for seed in (1, 9):
        answer = gallery.search(encoded(drawn(seed), "BMP"), pipelines=[pipeline], filter={"even": False}, verify=False)
        assert answer.hits[0].key == str(seed)
        assert not answer.failed


def test_hashes_move_to_elasticsearch_and_back(gallery: lookalike.Gallery) -> None:
    url = elasticsearch.server()
    first, second = f"{url}?mode=exact", f"{url}?mode=exact&shards=2"
    moved(gallery, "phash", first)
    gallery.put("new", encoded(drawn(50)), attributes={"even": True})
    gallery.remove("0")
    moved(gallery, "phash", "mih")
    moved(gallery, "phash", first)
    gallery.drop_index("phash")
    moved(gallery, "phash", second)  # on the same server, with other settings
    assert len(names_on(url, gallery)) == 2
    gallery.drop_index("phash")
    assert len(names_on(url, gallery)) == 1
    moved(gallery, "phash", "flat")
    gallery.drop_index("phash")
    assert not names_on(url, gallery)


def names_on(url: str, gallery: lookalike.Gallery) -> list[str]:
    """The indexes of a gallery on a server."""
    with elasticsearch.raw(url) as client:
        return list(client.indices.get_alias(index=f"lookalike-{gallery.catalog.gallery_id()}*"))


def test_an_index_of_that_name_is_not_taken_over(gallery: lookalike.Gallery, name: str) -> None:  # noqa: F811
    url = f"{elasticsearch.server()}?mode=exact&name={name}"
    moved(gallery, "phash", url)
    gallery.put("new", encoded(drawn(50)), attributes={"even": True})
    with pytest.raises(BadInput, match="another index"):
        gallery.move_index("phash", f"{url}&timeout=9")
    moved(gallery, "phash", "mih")
    gallery.catalog.pipelines.start_index_drop("phash", ())
    gallery.catalog.pipelines.finish_index_drop("phash")  # forgotten, but still there
    with pytest.raises(BadInput, match="with the rows of another one"):
        gallery.move_index("phash", url)


def test_vectors_move_to_milvus_and_back(gallery: lookalike.Gallery) -> None:
    url = f"{milvus.milvus_url()}?index=FLAT"
    moved(gallery, "toy", url)
    gallery.put("new", encoded(drawn(50)), attributes={"even": True})
    gallery.remove("0")
    moved(gallery, "toy", "hnsw")
    moved(gallery, "toy", url)
    moved(gallery, "toy", "hnsw")
    gallery.drop_index("toy")
