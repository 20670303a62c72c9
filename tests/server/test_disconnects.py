"""Peers that leave in the middle: they are counted, nothing unexpected is logged, and nothing is kept of them."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lookalike.gallery import Gallery
from tests.support.drawn_images import drawn, encoded
from tests.support.logs import logged
from tests.support.server.api import live
from tests.support.waiting import HANG_SECONDS, wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Gallery]]:
    with live(tmp_path / "g") as (url, gallery):
        yield url, gallery


def half(url: str, head: str, body: bytes, *, length: int) -> None:
    """Send a request's head and half of its body, and leave."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as link:
        link.sendall(f"{head} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\n".encode())
        link.sendall(b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + body)
        time.sleep(0.3)


def gone(url: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=HANG_SECONDS).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if 'status="499"' in line and "_total" in line)


def test_a_body_that_breaks_off(server: tuple[str, Gallery]) -> None:
    url, gallery = server
    with logged("lookalike.server") as records:
        half(url, "PUT /v1/images/a", b"--b\r\n", length=1000)
        wait_until(lambda: gone(url) >= 1, "it was not counted")
    assert gone(url) == 1
    assert not any("unexpectedly" in record.getMessage() for record in records)
    assert gallery.ls() == []


def test_a_batch_that_breaks_off_keeps_what_came(server: tuple[str, Gallery]) -> None:
    url, gallery = server
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%d.png"\r\n\r\n%s\r\n'
        % (n, encoded(drawn(n, (64, 48))))
        for n in range(3)
    )
    with logged("lookalike.server") as records:
        half(url, "POST /v1/images:batch", parts + b"--b\r\n", length=10**6)
        wait_until(lambda: len(gallery.ls()) >= 3, "what came is not there")
        assert [record.key for record in gallery.ls()] == ["0.png", "1.png", "2.png"]
        held = "lookalike_held_bytes 0.0"
        wait_until(lambda: held in httpx.get(f"{url}/metrics", timeout=HANG_SECONDS).text, "memory is held")
    answer = httpx.get(f"{url}/metrics", timeout=HANG_SECONDS).text
    assert "lookalike_under_way 1.0" in answer, "the question itself, and nothing else"
    assert not any("unexpectedly" in record.getMessage() for record in records)
