"""Whatever a server answers and whatever a URL holds, fetching ends in bytes or in an error of ours."""

import ssl
from collections.abc import Iterator
from ipaddress import ip_address

import httpcore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import LookalikeError
from lookalike.server.url_fetch.fetcher import Fetcher, parse_networks
from lookalike.server.url_fetch.http import Deadline, FetchLimits, Redirect, Target, get
from tests.support.faults.hostile_servers import PUBLIC, Server, image, serving

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LIMITS = FetchLimits(max_bytes=2000, seconds=2)
TARGET = Target(secure=False, host="images.test", authority="images.test", port=80, path=b"/")
LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 302 Found", b"HTTP/1.1 100 Continue", b"HTTP/1.1 99999 Much",
        b"HTTP/2 200", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: " + b"9" * 5000,
        b"Content-Length: 5, 5", b"Content-Length: 0x5",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Location: /there",
        b"Location: \xff", b"Content-Encoding: br", b"Content-Encoding:", b" folded", b"X: \0", b": none", b"\xff: x",
        b"", b"5\r\nhello", b"0\r\n", b"ffffffffffffffffffff", b"5;ext=" + b"e" * 300, b"-5", b"hello", b"Upgrade: h2c",
        b"Connection: upgrade", b"HTTP/1.1 101 Switching Protocols",
    ]
)  # fmt: skip


def answered(data: bytes) -> bytes | Redirect | LookalikeError:
    """What comes of a server that sends this and hangs up."""
    network = httpcore.MockBackend([data])
    try:
        return get(TARGET, [ip_address(PUBLIC)], TLS, LIMITS, LIMITS.max_bytes, Deadline(LIMITS.seconds), network)
    except LookalikeError as error:
        return error


@given(st.lists(LINES, max_size=12).map(b"\r\n".join) | st.binary(max_size=200))
@settings(deadline=None)
def test_any_answer(data: bytes) -> None:
    found = answered(data)
    assert not isinstance(found, bytes) or 0 < len(found) <= LIMITS.max_bytes


@given(st.lists(LINES, max_size=8).map(lambda lines: b"\r\n".join([b"HTTP/1.1 200 OK", *lines])))
@settings(deadline=None)
def test_any_header(data: bytes) -> None:
    found = answered(data)
    assert not isinstance(found, bytes) or 0 < len(found) <= LIMITS.max_bytes


def test_a_plain_one() -> None:
    assert answered(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") == b"hello"
    assert answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n") == b"hello"
    assert answered(b"HTTP/1.0 200 OK\r\n\r\nhello") == b"hello"
    assert answered(b"HTTP/1.1 301 M\r\nLocation: /x\r\n\r\n") == Redirect("/x")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(image(b"image")) as made:
        yield made


@given(end=st.text(max_size=40))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_path(server: Server, end: str) -> None:
    fetcher = Fetcher(allow=parse_networks([PUBLIC]), ports=[server.port], resolver=lambda *_: [PUBLIC], tls=TLS)
    try:
        assert fetcher.fetch(f"http://images.test:{server.port}/{end}") == b"image"
    except LookalikeError:
        return
    line = server.requests[-1].split(b"\r\n", 1)[0]
    assert line.startswith(b"GET /")
    assert line.count(b" ") == 2  # nothing of the path is taken for anything else
