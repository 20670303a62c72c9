"""Several server processes on one PostgreSQL catalog: they work as one, and the death of one costs nothing."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.server.test_serve import TIMEOUT, Served, process, ready
from tests.support.command import lookalike
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import postgresql
from tests.support.server.api import at
from tests.support.waiting import HANG_SECONDS

BYTES = {"Content-Type": "application/octet-stream"}
PUTS = 36
ANOTHER = 1000
"""An image that is none of the `PUTS`."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Three folders with one catalog, as on three hosts."""
    folder = tmp_path_factory.mktemp("hosts")
    with postgresql.database() as catalog:
        for host in ("one", "two", "three"):
            made = lookalike("init", "-g", folder / host, "--pipelines", "phash", "--catalog", catalog)
            assert made.code == 0, made.err
        yield [folder / "one", folder / "two", folder / "three"]


@pytest.fixture(scope="module")
def servers(folders: list[Path]) -> Iterator[tuple[Served, Served]]:
    """Two servers, each with a folder of its own, which no test ends."""
    with process(folders[0]) as one, process(folders[1]) as two:
        ready(one)
        ready(two)
        yield one, two


def put(server: Served, key: str, n: int) -> httpx.Response:
    image = encoded(drawn(n, (64, 48)))
    return httpx.put(server.url + at(key), content=image, headers=BYTES, timeout=TIMEOUT)


def test_each_sees_what_the_other_was_told(servers: tuple[Served, Served]) -> None:
    one, two = servers
    answer = put(one, "a", ANOTHER)
    assert answer.status_code == 201
    asked = {"min_sequence": answer.json()["sequence"]}
    image = encoded(drawn(ANOTHER, (64, 48)))
    found = httpx.post(f"{two.url}/v1/search", content=image, headers=BYTES, params=asked, timeout=TIMEOUT).json()
    assert [(hit["key"], hit["evidence"]) for hit in found["hits"]] == [("a", "exact")]
    etag = httpx.get(two.url + at("a"), timeout=HANG_SECONDS).headers["etag"]
    assert httpx.delete(two.url + at("a"), headers={"If-Match": etag}, timeout=TIMEOUT).status_code == 204
    assert httpx.get(one.url + at("a"), timeout=HANG_SECONDS).status_code == 404
    again = httpx.post(f"{one.url}/v1/search", content=image, headers=BYTES, timeout=TIMEOUT).json()
    assert again["hits"] == []


def test_a_job_given_to_one_is_seen_by_the_other(servers: tuple[Served, Served]) -> None:
    one, two = servers
    assert put(one, "a", ANOTHER).status_code == 201
    job = httpx.post(f"{one.url}/v1/jobs", json={"kind": "repair"}, timeout=TIMEOUT).json()
    until = time.monotonic() + TIMEOUT
    while (state := httpx.get(f"{two.url}/v1/jobs/{job['id']}", timeout=HANG_SECONDS).json()["state"]) in (
        "queued",
        "running",
    ):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert state == "done"


def test_one_dies_while_both_are_written_to(servers: tuple[Served, Served], folders: list[Path]) -> None:
    """Whatever either acknowledged is found in the one that is left; it goes on taking images."""
    two = servers[1]
    with process(folders[2]) as mortal:
        ready(mortal)
        acknowledged = written_until_one_dies((mortal, two))
    assert PUTS // 3 < len(acknowledged) < PUTS
    listed = httpx.get(f"{two.url}/v1/images", params={"limit": 2 * PUTS}, timeout=TIMEOUT).json()["images"]
    assert set(acknowledged) <= {image["key"] for image in listed}
    for key in acknowledged:
        image = encoded(drawn(int(key[1:]), (64, 48)))
        asked = {"content": image, "headers": BYTES, "params": {"verify": False}, "timeout": TIMEOUT}
        hits = httpx.post(f"{two.url}/v1/search", **asked).json()["hits"]  # type: ignore[arg-type]
        assert (hits[0]["key"], hits[0]["evidence"]) == (key, "exact")
    print(f"one of two servers killed: {len(acknowledged)} of {PUTS} images acknowledged, none lost")


def written_until_one_dies(servers: tuple[Served, Served]) -> list[str]:
    """Put images into both, of which the first is killed meanwhile; returns the acknowledged keys."""

    def write(n: int) -> tuple[str, bool]:
        key = f"p{n}"
        try:
            return key, put(servers[n % 2], key, n).status_code in (200, 201)
        except httpx.HTTPError:
            return key, False

    with ThreadPoolExecutor(6) as pool:
        reply = pool.map(write, range(PUTS))
        acknowledged = []
        for place, (key, done) in enumerate(reply):
            if place == PUTS // 3:
                servers[0].process.kill()
            acknowledged += [key] if done else []
    return acknowledged
