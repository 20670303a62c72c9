"""A key's limits hold on every way in: bodies, forms, JSON, batches and jobs."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.catalog.api_keys import KeyLimits
from lookalike.server.url_fetch.fetcher import Fetcher, parse_networks
from tests.support.drawn_images import drawn, encoded
from tests.support.faults.hostile_servers import PUBLIC, image, serving
from tests.support.server.api import lines as outcomes
from tests.support.server.tenant_service import World

SMALL, LARGE = encoded(drawn(1, (40, 30))), encoded(drawn(1, (160, 120)))
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("limits") / "gallery"
    with serving(image(LARGE)) as server:
        fetcher = Fetcher(allow=parse_networks([PUBLIC]), ports=[server.port])
        with World(folder, fetcher) as made:
            limits = KeyLimits(pixels=40 * 30, body_bytes=200_000)
            made.tokens["small"] = made.service.catalog.api_keys.create("write", tenant="alice", limits=limits)[1]
            made.url = f"http://{PUBLIC}:{server.port}/large.png"
            yield made


def test_pixels_in_single_requests(world: World) -> None:
    assert world.send("small", "PUT", "/v1/images/small", content=SMALL, headers=PNG).status_code == 201
    encoded_ = base64.b64encode(LARGE).decode()
    ways = [
        world.send("small", "PUT", "/v1/images/large", content=LARGE, headers=PNG),
        world.send("small", "PUT", "/v1/images/large", files={"file": ("x", LARGE)}),
        world.send("small", "PUT", "/v1/images/large", json={"image": {"base64": encoded_}}),
        world.send("small", "PUT", "/v1/images/large", json={"image": {"url": world.url}}),
        world.send("small", "POST", "/v1/search", content=LARGE, headers=PNG),
        world.send("small", "POST", "/v1/search", json={"image": {"url": world.url}}),
        world.send("small", "POST", "/v1/compare", files={"a": SMALL, "b": LARGE}),
    ]
    for answer in ways:
        assert (answer.status_code, answer.json()["reason"]) == (422, "too_many_pixels")
    assert world.send("small", "GET", "/v1/images/large").status_code == 404
    assert world.send("alice", "POST", "/v1/search", json={"image": {"url": world.url}}).status_code == 200


def test_pixels_in_batches(world: World) -> None:
    form = world.send("small", "POST", "/v1/images:batch", files=[("file", ("f1", SMALL)), ("file", ("f2", LARGE))])
    lines = [
        {"key": key, "image": {"base64": base64.b64encode(data).decode()}}
        for key, data in (("l1", SMALL), ("l2", LARGE))
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    ndjson = world.send(
        "small", "POST", "/v1/images:batch", content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    for answer, fine, large in ((form, "f1", "f2"), (ndjson, "l1", "l2")):
        reply = {line["key"]: line for line in outcomes(answer)}
        assert reply[fine]["outcome"] in ("added", "duplicate")
        assert reply[large]["outcome"] == "rejected"
        assert reply[large]["reason"].startswith("too_many_pixels")


def test_pixels_in_jobs(world: World) -> None:
    job = world.send("small", "POST", "/v1/jobs", json={"kind": "import", "urls": [world.url]}).json()
    ended = world.finished("small", job["id"]).json()
    assert ended["progress"]["counts"] == {"rejected": 1}
    assert ended["result"]["rejected"][0]["reason"].startswith("too_many_pixels")


def test_bytes(world: World) -> None:
    for method, path in (("PUT", "/v1/images/x"), ("POST", "/v1/search"), ("POST", "/v1/images:batch")):
        answer = world.send("small", method, path, content=b"x" * 200_001, headers=PNG)
        assert answer.status_code == 413
        streamed = world.send("small", method, path, content=(b"x" * 1000 for _ in range(300)), headers=PNG)
        assert streamed.status_code in (413, 415)
