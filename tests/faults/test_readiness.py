"""What a service tells a load balancer and Prometheus while its engines and its catalog come and go."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from scripts.elasticsearch import Node

from lookalike.config import GallerySettings, from_environment
from lookalike.factory import create_gallery, open_gallery
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import elasticsearch, postgresql
from tests.support.served import listening
from tests.support.server.api import application
from tests.support.waiting import HANG_SECONDS


@contextmanager
def service(folder: Path) -> Iterator[httpx.Client]:
    """A client of a service over this gallery."""
    settings = from_environment({})
    with (
        open_gallery(folder, serving=True, settings=settings) as gallery,
        listening(application(gallery)) as url,
        httpx.Client(base_url=url, timeout=2 * HANG_SECONDS) as client,
    ):
        yield client


def asked(client: httpx.Client) -> tuple[int, dict[str, Any]]:
    """The verdict, which comes within its bound."""
    began = time.monotonic()
    answer = client.get("/readyz")
    assert time.monotonic() - began < HANG_SECONDS
    reply: dict[str, Any] = answer.json()
    assert reply["ready"] == (answer.status_code == 200)
    return answer.status_code, reply["missing"]


def until(client: httpx.Client, wanted: Callable[[int, dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until the verdict is this; gives what is missing."""
    ends = time.monotonic() + HANG_SECONDS
    while not wanted(*(seen := asked(client))):
        assert time.monotonic() < ends, seen
        time.sleep(0.2)
    return seen[1]


def metrics(client: httpx.Client) -> dict[str, float]:
    """What Prometheus is told of it: `ready`, and what is up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(client.get("/metrics").raise_for_status().text):
        for sample in family.samples:
            if sample.name in ("lookalike_ready", "lookalike_up"):
                found[sample.labels.get("part", "ready")] = sample.value
    return found


def ready(status: int, missing: dict[str, Any]) -> bool:
    return status == 200 and not missing


def made(folder: Path, node: Node, *pipelines: str) -> Path:
    index = f"{elasticsearch.url_of(node)}?mode=exact&timeout=3"
    create_gallery(folder, GallerySettings(pipelines, {"phash": index}), from_environment({}))
    return folder


def test_one_engine_of_two_is_missed_and_the_service_stays_ready(node: Node, tmp_path: Path) -> None:
    with service(made(tmp_path / "g", node, "phash", "vgg16-copy")) as client:
        until(client, ready)
        client.put("/v1/images/a", content=encoded(drawn(1))).raise_for_status()
        assert metrics(client) == {"ready": 1, "catalog": 1, "phash": 1, "vgg16-copy": 1}
        node.freeze()  # killed in the test below
        missing = until(client, lambda status, missing: bool(missing))
        assert missing.keys() == {"phash"}
        assert asked(client)[0] == 200, "answers without one pipeline are given"
        assert metrics(client) == {"ready": 1, "catalog": 1, "phash": 0, "vgg16-copy": 1}
        found = client.post("/v1/search", content=encoded(drawn(1), "JPEG")).raise_for_status().json()
        assert (found["hits"][0]["key"], list(found["failed"])) == ("a", ["phash"])
        node.thaw()
        until(client, ready)
        assert metrics(client) == {"ready": 1, "catalog": 1, "phash": 1, "vgg16-copy": 1}


def test_without_its_only_engine_it_is_not_ready(node: Node, tmp_path: Path) -> None:
    folder = made(tmp_path / "g", node, "phash")
    node.kill()
    with service(folder) as client:
        assert until(client, lambda status, missing: missing == {"phash": "Unavailable"})
        assert asked(client)[0] == 503
        node.start()
        until(client, ready)
        node.freeze()
        missing = until(client, lambda status, missing: status == 503)
        assert missing.keys() == {"phash"}
        assert metrics(client)["ready"] == 0
        assert client.head("/readyz").status_code == 503
        for _ in range(20):  # many ask, and nobody waits for long
            assert asked(client)[0] == 503
        [pipeline] = client.get("/v1/status").raise_for_status().json()["pipelines"]
        assert pipeline["error"]
        node.thaw()
        until(client, ready)


def test_without_the_catalog_it_is_not_ready(tmp_path: Path) -> None:
    with postgresql.cluster(fast=False) as (server, url), postgresql.database(url) as catalog:  # it is stopped at once
        create_gallery(tmp_path / "g", GallerySettings(("phash",), catalog=catalog), from_environment({}))
        with service(tmp_path / "g") as client:
            until(client, ready)
            postgresql.script("stop", str(server))
            assert until(client, lambda status, missing: status == 503) == {"catalog": "Unavailable"}
            postgresql.script("start", str(server))
            until(client, ready)
