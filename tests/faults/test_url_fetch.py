"""Fetching from servers and a name server that mean harm: real ones, on this machine."""

import contextlib
import gzip
import logging
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.errors import BadInput, ImageRejected, Unavailable
from lookalike.server.url_fetch.fetcher import Fetcher, FetchLimits, parse_networks
from tests.support.faults.hostile_servers import (
    PRIVATE,
    PUBLIC,
    NameServer,
    Server,
    by_path,
    certificate,
    dripping,
    image,
    moved,
    serving,
)
from tests.support.requirements import skip_or_fail
from tests.support.waiting import HANG_SECONDS

ALLOWED = parse_networks([f"{PUBLIC}/32"])
LIMITS = FetchLimits(max_bytes=100_000, seconds=HANG_SECONDS, connect_seconds=HANG_SECONDS, redirects=3)
QUICK = FetchLimits(max_bytes=100_000, seconds=1.5, connect_seconds=1.5, redirects=3)
"""For what never ends."""


@pytest.fixture(scope="module")
def name_server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def dns(name_server: NameServer) -> NameServer:
    name_server.names.forget()
    return name_server


def fetcher(
    dns: NameServer, *servers: Server, limits: FetchLimits = LIMITS, tls: ssl.SSLContext | None = None
) -> Fetcher:
    return Fetcher(limits, allow=ALLOWED, ports={s.port for s in servers}, resolver=dns.resolve, tls=tls)


@contextlib.contextmanager
def pair(public: Server) -> Iterator[Server]:
    """A server that must never be reached, on the same port of the address that is not allowed."""
    with serving(image(b"secret"), PRIVATE, public.port) as private:
        yield private
        assert private.connections == 0


# -- names and addresses ----------------------------------------------------------------------------------------------


def test_an_image_comes_as_it_is(dns: NameServer) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    body = bytes(range(256)) * 300
    with serving(image(body)) as server:
        assert fetcher(dns, server).fetch(f"http://images.test:{server.port}/a%20b?c=d#e") == body
        head = server.requests[0].decode()
    assert head.startswith("GET /a%20b?c=d HTTP/1.1\r\n")
    assert f"host: images.test:{server.port}\r\n" in head.lower()
    assert "accept-encoding: identity" in head.lower()
    assert not any(word in head.lower() for word in ("cookie", "authorization", "referer"))


@pytest.mark.parametrize(
    "answer",
    [
        [PRIVATE],
        [PUBLIC, PRIVATE],
        [PRIVATE, PUBLIC],
        [PUBLIC, "10.0.0.1"],
        [PUBLIC, "169.254.169.254"],
        [PUBLIC, "::1"],
        [PUBLIC, "::ffff:127.0.0.1"],
        [PUBLIC, "::ffff:10.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["fe80::1"],
        ["fd00:ec2::254"],
        ["0.0.0.0"],
        ["::"],
        ["100.64.0.1"],
        ["224.0.0.1"],
    ],
)
def test_one_bad_address_is_enough(dns: NameServer, answer: list[str], caplog: pytest.LogCaptureFixture) -> None:
    dns.names.answers["mixed.test"] = [answer]
    with serving(image()) as public, pair(public), caplog.at_level(logging.WARNING, "lookalike.fetch"):
        with pytest.raises(BadInput, match=r"mixed\.test .* no public address") as raised:
            fetcher(dns, public).fetch(f"http://mixed.test:{public.port}/")
        assert public.connections == 0
    bad = next(text for text in answer if text != PUBLIC)
    assert bad not in str(raised.value)  # a caller learns nothing of networks that are not public
    assert "mixed.test" in caplog.text  # the operator does


def test_unknown_names_look_like_private_ones(dns: NameServer) -> None:
    dns.names.answers["inside.test"] = [["10.0.0.1"]]
    reply = set()
    for host in ("inside.test", "nosuch.test"):
        with pytest.raises(BadInput) as raised:
            fetcher(dns).fetch(f"http://{host}/")
        reply.add((type(raised.value), str(raised.value).replace(host, "HOST")))
    assert len(reply) == 1


def test_rebinding_gets_no_second_look_up(dns: NameServer) -> None:
    dns.names.answers["rebind.test"] = [[PUBLIC], [PRIVATE]]
    with serving(image(b"the image")) as public, pair(public):
        fetch = fetcher(dns, public).fetch
        assert fetch(f"http://rebind.test:{public.port}/") == b"the image"
        assert dns.names.asked == {"rebind.test A": 1, "rebind.test AAAA": 1}
        with pytest.raises(BadInput, match="no public address"):
            fetch(f"http://rebind.test:{public.port}/")


def test_rebinding_between_hops(dns: NameServer) -> None:
    dns.names.answers["rebind.test"] = [[PUBLIC], [PRIVATE]]
    with serving(moved("/again")) as public, pair(public):
        with pytest.raises(BadInput, match="no public address"):
            fetcher(dns, public).fetch(f"http://rebind.test:{public.port}/")
        assert public.connections == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "//127.0.0.1:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://127。0。0。1:{port}/",
        "http://inside.test:{port}/",
        "http://user:word@images.test:{port}/",
        "http://images.test:22/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "data:image/png;base64,AAAA",
        "http://exa mple/",
        "http:///",
        "",
        "http://",
    ],
)
def test_redirects_lead_nowhere_private(dns: NameServer, location: str) -> None:
    dns.names.answers |= {"images.test": [[PUBLIC]], "inside.test": [[PRIVATE]], "localhost": [[PRIVATE]]}
    with serving(moved("-")) as public, pair(public):
        public.answering = moved(location.format(port=public.port))
        if location not in ("", "http://", "http:///"):
            with pytest.raises(BadInput):
                fetcher(dns, public).fetch(f"http://images.test:{public.port}/")
            assert public.connections == 1
        else:  # a reference without a host is the same place again, until the hops are used up
            with pytest.raises(BadInput, match="more than 3 times"):
                fetcher(dns, public).fetch(f"http://images.test:{public.port}/")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_followed_and_counted(dns: NameServer, status: str) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    hops = {f"h{n}": moved(f"../h{n + 1}", status) for n in range(4)}
    with serving(by_path(**hops, h4=image(b"end"))) as server:
        fetch = fetcher(dns, server).fetch
        assert fetch(f"http://images.test:{server.port}/h1") == b"end"
        with pytest.raises(BadInput, match="more than 3 times"):
            fetch(f"http://images.test:{server.port}/h0")


def test_the_next_address_is_tried(dns: NameServer) -> None:
    dns.names.answers["images.test"] = [["127.0.0.3", PUBLIC]]  # nothing listens at the first
    with serving(image(b"here")) as server:
        allow = parse_networks(["127.0.0.2/31"])
        one = Fetcher(QUICK, allow=allow, ports={server.port}, resolver=dns.resolve)
        assert one.fetch(f"http://images.test:{server.port}/") == b"here"
        closed = Fetcher(QUICK, allow=allow, deny=ALLOWED, ports={server.port}, resolver=dns.resolve)
        with pytest.raises(BadInput, match="no public address"):
            closed.fetch(f"http://images.test:{server.port}/")
    with pytest.raises(Unavailable, match="does not answer"):
        one.fetch(f"http://images.test:{server.port}/")


def test_proxies_of_the_environment_are_ignored(dns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    with serving(image(b"direct")) as server, serving(image(b"by proxy"), PRIVATE) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{PRIVATE}:{proxy.port}")
        assert fetcher(dns, server).fetch(f"http://images.test:{server.port}/") == b"direct"
        assert proxy.connections == 0


# -- bodies -----------------------------------------------------------------------------------------------------------


def chunks(*sizes: int) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    ("answering", "error", "message"),
    [
        (image(b"x" * 100_001), ImageRejected, "limit of 100,000 bytes"),
        (image(b"x", length=10**12), ImageRejected, "limit of 100,000 bytes"),
        (dripping(CHUNKED, chunks(65536), 0), ImageRejected, "limit of 100,000 bytes"),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, 0), ImageRejected, "limit of 100,000 bytes"),
        (dripping(CHUNKED, b"1;" + b"e" * 30_000 + b"\r\nx\r\n", 0), ImageRejected, "limit of 100,000 bytes"),
        (image(b""), ImageRejected, "empty"),
        (image(b"", status="204 No Content"), BadInput, "status 204"),
        (image(b"half", length=100), Unavailable, "broke off"),
        (image(b"x", status="206 Partial Content"), BadInput, "status 206"),
        (image(b"x", status="404 Not Found"), BadInput, "status 404"),
        (image(b"x", status="503 Busy"), Unavailable, "status 503"),
        (image(gzip.compress(b"x" * 10**7), "Content-Encoding: gzip"), BadInput, "compressed"),
        (image(b"x", "Content-Encoding: identity, br"), BadInput, "compressed"),
        (image(b"x", "Content-Length: 5"), BadInput, "not answer in valid HTTP"),
        (image(b"x", "Transfer-Encoding: gzip"), BadInput, "not answer in valid HTTP"),
        (image(b"x", *[f"X-{n}: {'y' * 1000}" for n in range(60)]), BadInput, "not answer in valid HTTP"),
        (image(b"", status="302 Found"), BadInput, "Location headers"),
        (image(b"", "Location: /a", "Location: /b", status="302 Found"), BadInput, "Location headers"),
        (lambda link, _: link.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), Unavailable, "broke off"),
        (lambda link, _: link.sendall(b"\x15\x03\x01\x00\x02\x02\x16"), BadInput, "not answer in valid HTTP"),
        (lambda link, _: None, Unavailable, "broke off"),
        (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0), BadInput, "not answer in valid HTTP"),
        (dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000, 0), BadInput, "not answer in valid HTTP"),
        (dripping(PLAIN, b"x", 0.05), Unavailable, "longer than the limit of 1.5 seconds"),
        (dripping(CHUNKED, chunks(1), 0.05), Unavailable, "longer than the limit of 1.5 seconds"),
        (dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y", 0.05), Unavailable, "longer than the limit of 1.5 seconds"),
        (dripping(b"", b"", 0.05), Unavailable, "longer than the limit of 1.5 seconds"),
    ],
)
def test_bad_bodies(dns: NameServer, answering: object, error: type[Exception], message: str) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    began = time.monotonic()
    limits = QUICK if "1.5 seconds" in message else LIMITS
    with serving(answering) as server, pytest.raises(error, match=message) as raised:  # type: ignore[arg-type]
        fetcher(dns, server, limits=limits).fetch(f"http://images.test:{server.port}/")
    assert type(raised.value) is error
    assert time.monotonic() - began < HANG_SECONDS


def test_the_time_is_for_all_hops_together(dns: NameServer) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]

    def slowly_moved(link: socket.socket, _: bytes) -> None:
        time.sleep(0.6)
        moved("/next")(link, b"")

    began = time.monotonic()
    with serving(slowly_moved) as server, pytest.raises(Unavailable, match="longer than the limit"):
        fetcher(dns, server, limits=QUICK).fetch(f"http://images.test:{server.port}/")
    assert time.monotonic() - began < HANG_SECONDS


def test_a_slow_name_server(dns: NameServer) -> None:
    dns.names.delay = 5
    began = time.monotonic()
    with pytest.raises(Unavailable, match="in time"):
        fetcher(dns, limits=QUICK).fetch("http://slow.test/")
    assert time.monotonic() - began < HANG_SECONDS


def test_bytes_behind_the_said_length_are_left(dns: NameServer) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    with serving(image(b"image and more", length=5)) as server:
        assert fetcher(dns, server).fetch(f"http://images.test:{server.port}/") == b"image"


def test_a_caller_may_be_stricter_and_never_laxer(dns: NameServer) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    with serving(image(b"x" * 2000)) as server:
        fetch = fetcher(dns, server).fetch
        with pytest.raises(ImageRejected, match="1,000"):
            fetch(f"http://images.test:{server.port}/", max_bytes=1000)
        server.answering = image(b"x" * 100_001)
        with pytest.raises(ImageRejected, match="100,000"):
            fetch(f"http://images.test:{server.port}/", max_bytes=10**9)


def test_only_so_many_at_once(dns: NameServer) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    limits = FetchLimits(seconds=2 * HANG_SECONDS, concurrent=2)
    go = threading.Event()

    def waiting(link: socket.socket, head: bytes) -> None:
        go.wait(HANG_SECONDS)
        image(b"late")(link, head)

    with serving(waiting) as server:
        one = fetcher(dns, server, limits=limits)
        got: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: got.append(one.fetch(f"http://images.test:{server.port}/")))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        while server.connections < 2:
            time.sleep(0.01)
        with pytest.raises(Unavailable, match="2 images are being fetched"):
            one.fetch(f"http://images.test:{server.port}/")
        go.set()
        for thread in threads:
            thread.join()
        assert got == [b"late"] * 2


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    if shutil.which("openssl") is None:
        skip_or_fail("no openssl program to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    return {name: certificate(folder, name) for name in ("images.test", "other.test")}


def test_certificates_are_checked_by_name(dns: NameServer, certificates: dict[str, tuple[Path, Path]]) -> None:
    dns.names.answers |= {"images.test": [[PUBLIC]], "other.test": [[PUBLIC]]}
    made, key = certificates["images.test"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    named: list[str | None] = []
    context.sni_callback = lambda _link, name, _context: named.append(name)  # type: ignore[assignment]
    trusting = ssl.create_default_context(cafile=str(made))
    with serving(image(b"over TLS")) as server:
        server.tls = context
        one = fetcher(dns, server, tls=trusting)
        assert one.fetch(f"https://images.test:{server.port}/") == b"over TLS"
        assert named == ["images.test"]
        assert one.fetch(f"https://IMAGES.test.:{server.port}/") == b"over TLS"
        for url in (f"https://other.test:{server.port}/", f"https://{PUBLIC}:{server.port}/"):
            with pytest.raises(BadInput, match="certificate"):
                one.fetch(url)
        with pytest.raises(BadInput, match="certificate"):  # nobody trusts it by default
            fetcher(dns, server).fetch(f"https://images.test:{server.port}/")


def test_a_handshake_that_never_ends(dns: NameServer) -> None:
    dns.names.answers["images.test"] = [[PUBLIC]]
    with socket.create_server((PUBLIC, 0)) as silent:
        port = silent.getsockname()[1]
        one = Fetcher(QUICK, allow=ALLOWED, ports={port}, resolver=dns.resolve)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            one.fetch(f"https://images.test:{port}/")
        assert time.monotonic() - began < HANG_SECONDS
