"""Search by several images in one request: the answers are those of single searches, in the order of the request."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import Client
from lookalike.client import requests
from lookalike.errors import ImageRejected, NotFound
from lookalike.results import StoredImage
from lookalike.server.routes import search_batch
from lookalike.types import Answer
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import live
from tests.support.server.tenant_service import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service with images of two tenants, which no test changes."""
    with World(tmp_path_factory.mktemp("world") / "gallery") as made:
        for n in range(12):
            made.service.put(f"{n}.png", encoded(drawn(n)), tenant="alice")
        made.service.put("secret.png", encoded(drawn(40)), tenant="bob")
        yield made


def as_source(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def search(world: World, who: str = "alice", **body: Any) -> list[dict[str, Any]]:
    answer = world.send(who, "POST", "/v1/search:batch", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["answers"]
    return found


def without_time(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("took_ms", "next")}


def test_the_answers_are_those_of_single_searches(world: World) -> None:
    sources: list[dict[str, str]] = []
    for n in range(11):  # more than one group
        sources += [{"key": f"{n}.png"}, as_source(encoded(drawn(n), "JPEG", quality=50))]
    options = {"k": 3, "filter": {"n": {"exists": False}}, "verify": False}  # verification has a time budget
    found = search(world, images=sources, **options)
    assert len(found) == len(sources)
    for source, got in zip(sources, found, strict=True):
        single = world.send("alice", "POST", "/v1/search", json={"image": source, **options})
        assert got["error"] is None
        assert without_time(got["answer"]) == without_time(single.json())
    assert [got["answer"]["hits"][0]["key"] for got in found[:4]] == ["0.png", "0.png", "1.png", "1.png"]


def test_an_image_that_cannot_be_searched_does_not_affect_others(world: World) -> None:
    sources = [{"key": "none.png"}, as_source(b"no image"), {"base64": "*"}, {"key": "1.png"}, {"key": "secret.png"}]
    found = search(world, images=sources)
    assert [got["error"] and got["error"]["status"] for got in found] == [404, 422, 400, None, 404]
    assert found[3]["answer"]["hits"][0]["key"] == "1.png"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": []},
        {"images": [{"key": "1.png"}] * (search_batch.MAX_QUERIES + 1)},
        {"images": [{"key": "1.png"}], "k": 0},
        {"images": [{"key": "1.png"}], "page": 5, "k": 10_000},
        {"images": [{"key": "1.png"}], "threshhold": 0.1},
        {"images": [{"key": "1.png"}], "cursor": "x"},
        {"images": [{"key": "1.png"}], "pipelines": ["none"]},
        {"images": [{}]},
        {"images": [{"key": "1.png", "base64": "eA=="}]},
    ],
)
def test_what_is_no_batch_is_refused(world: World, body: dict[str, Any]) -> None:
    answer = world.send("alice", "POST", "/v1/search:batch", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_all_tenants_are_for_admins_of_any(world: World) -> None:
    body = {"images": [as_source(encoded(drawn(40)))], "tenants": "all"}
    for who in ("alice", "alice's admin"):
        assert world.send(who, "POST", "/v1/search:batch", json=body).status_code == 403
    [found] = search(world, "root", **body)
    assert (found["answer"]["hits"][0]["key"], found["answer"]["hits"][0]["tenant"]) == ("secret.png", "bob")


def test_the_memory_is_released(world: World) -> None:
    memory = world.app.state.app_state.memory
    search(world, images=[as_source(encoded(drawn(1)))] * 10)
    world.send("alice", "POST", "/v1/search:batch", json={"images": [{"key": "1.png"}], "pipelines": ["none"]})
    assert memory.used == 0


def test_the_client_sends_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_QUERIES", 5)
    files = []
    for n in range(13):
        (tmp_path / f"{n}.png").write_bytes(encoded(drawn(n)))
        files.append(str(tmp_path / f"{n}.png"))
    (tmp_path / "bad.png").write_bytes(b"no image")
    with live(tmp_path / "gallery") as (url, gallery), Client(url) as client:
        gallery.add(files)
        queries = [*files[:7], str(tmp_path / "bad.png"), str(tmp_path / "none.png"), *files[7:]]
        queries.insert(3, StoredImage("12.png"))  # type: ignore[arg-type]
        queries.append(StoredImage("nowhere"))  # type: ignore[arg-type]
        for (query, ours), (asked, theirs) in zip(
            gallery.search_many(queries, k=2), client.search_many(iter(queries), k=2), strict=True
        ):
            assert query == asked
            if isinstance(ours, Answer):
                assert isinstance(theirs, Answer)
                assert [(h.key, h.evidence, h.distance) for h in theirs.hits] == [
                    (h.key, h.evidence, h.distance) for h in ours.hits
                ]
            else:
                assert isinstance(theirs, ImageRejected | NotFound)
                assert type(theirs) is type(ours)
