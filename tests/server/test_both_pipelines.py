"""Both generations over HTTP: many at once, whose images the network takes together."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from lookalike.factory import open_gallery
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import application, put


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("gallery") / "g"
    with open_gallery(folder, pipelines=["phash", "vgg16-copy"], serving=True, create=True) as gallery:
        app = application(gallery)
        with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as client:
            for n in range(6):
                put(client, f"{n}", n)
            yield client


def test_crops_are_found_by_many_at_once(client: TestClient) -> None:
    crops = [encoded(drawn(n).crop((12, 10, 150, 112)), "JPEG") for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda crop: client.post("/v1/search", content=crop, params={"k": 3}), crops * 2))
    for n, answer in enumerate(answers):
        reply = answer.json()
        assert reply["hits"][0]["key"] == str(n % 6)
        assert reply["hits"][0]["pipeline"] == "vgg16-copy"
        assert {"phash", "vgg16-copy"} <= reply["took_ms"].keys()
        assert set(reply["exact_within"]) == {"phash", "vgg16-copy"}


def test_one_pipeline_alone(client: TestClient) -> None:
    answer = client.post("/v1/search", content=encoded(drawn(2), "JPEG"), params={"pipelines": "phash"})
    assert {hit["pipeline"] for hit in answer.json()["hits"]} <= {"phash", "pixels", "sha256"}
    assert list(answer.json()["exact_within"]) == ["phash"]


def test_compare_tells_of_each(client: TestClient) -> None:
    answer = client.post("/v1/compare", json={"a": {"key": "1"}, "b": {"key": "2"}}).json()
    assert [measured["name"] for measured in answer["pipelines"]] == ["phash", "vgg16-copy"]
