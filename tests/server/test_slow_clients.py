"""Clients that take their time, against a real server process and over real sockets."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from lookalike.server.serve import UVICORN_SETTINGS, TimeoutH11Protocol
from tests.support.waiting import HANG_SECONDS, wait_until

HEADER, BODY, STALL, KEEP = 1.0, 1.0, 1.5, 1
SERVER = f"""
import sys
from pathlib import Path
import uvicorn
from fastapi import FastAPI
from lookalike.catalog import Catalog
from lookalike.server.middleware.authentication import Authenticator
from lookalike.server.serve import UVICORN_SETTINGS, TimeoutH11Protocol
from tests.support.server.minimal_app import layered, ring_of

TimeoutH11Protocol.header_timeout = {HEADER}
TimeoutH11Protocol.write_timeout = {STALL}
catalog = Catalog.open(Path(sys.argv[1]), create=True)
app = layered(Authenticator(ring_of(catalog), keyless=True, body_timeout={BODY}))
settings = UVICORN_SETTINGS | {{"timeout_keep_alive": {KEEP}, "limit_concurrency": 60}}
config = uvicorn.Config(app, port=0, http=TimeoutH11Protocol, log_level="warning", **settings)
class AnnouncingServer(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
AnnouncingServer(config).run()
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    catalog = tmp_path_factory.mktemp("server") / "catalog.sqlite"
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(catalog)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


@pytest.fixture
def link(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as made:
        yield made


def test_answers_leave_at_once() -> None:
    """Not when the client acknowledges what came before, some 40 ms later (Nagle's algorithm)."""

    async def connect() -> int:
        config = uvicorn.Config(FastAPI(), **UVICORN_SETTINGS)
        protocol = TimeoutH11Protocol(config, ServerState(), {})
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = await asyncio.get_running_loop().create_server(lambda: protocol, sock=listening)
            _, writer = await asyncio.open_connection(*listening.getsockname())
            while getattr(protocol, "transport", None) is None:
                await asyncio.sleep(0.01)
            no_delay: int = protocol.transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY
            )
            writer.close()
            serving.close()
            await asyncio.sleep(0.05)
        return no_delay

    assert asyncio.run(connect()) == 1


GET = b"GET /v1/who HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"


def drip(link: socket.socket, first: bytes, drop: bytes, every: float = 0.05) -> bytes:
    """Send slowly until the server ends the connection; gives what it said."""
    began = time.monotonic()
    said = b""
    link.settimeout(every)
    with contextlib.suppress(ConnectionError):
        link.sendall(first)
        while True:
            assert time.monotonic() - began < HANG_SECONDS, "the server does not end the connection"
            try:
                data = link.recv(65536)
                if not data:
                    break
                said += data
            except TimeoutError:
                link.sendall(drop)
    return said


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", b""), (b"", b"G"), (GET, b""), (GET, b"X-A: b\r\n"), (GET + b"X: ", b"y")],
    ids=["silent", "dripping a method", "half a header", "header after header", "an endless header"],
)
def test_a_header_has_to_end(link: socket.socket, first: bytes, drop: bytes) -> None:
    said = drip(link, first, drop)
    assert not said.startswith(b"HTTP/1.1 200")


def test_a_further_header_has_to_end_too(link: socket.socket) -> None:
    link.sendall(GET + b"\r\n")
    assert link.recv(65536).startswith(b"HTTP/1.1 200")
    said = drip(link, GET, b"X-A: b\r\n")
    assert b" 200 " not in said


def test_an_idle_connection_ends(link: socket.socket) -> None:
    link.sendall(GET + b"\r\n")
    while link.recv(65536):
        pass  # the server closes it after its time of keeping alive


@pytest.mark.parametrize("drop", [b"", b"x"], ids=["silent", "dripping"])
def test_a_body_has_to_come(link: socket.socket, drop: bytes) -> None:
    said = drip(link, POST.replace(b"100", b"1000000"), drop)
    assert said.startswith(b"HTTP/1.1 408")
    assert b"too slow" in said
    assert b"connection: close" in said.lower()


def test_a_body_that_is_not_wanted_is_not_waited_for(link: socket.socket) -> None:
    said = drip(link, POST.replace(b"echo", b"early").replace(b"100", b"1000000"), b"x")
    assert said.startswith(b"HTTP/1.1 200")


def test_a_steady_body_takes_as_long_as_it_takes(link: socket.socket) -> None:
    total = 60_000
    link.sendall(POST.replace(b"100", str(total).encode()))
    for _ in range(30):  # 3 seconds in all, faster than the least rate
        link.sendall(b"x" * (total // 30))
        time.sleep(0.1)
    assert link.recv(65536).startswith(b"HTTP/1.1 200")


def is_held(port: int, client: int) -> bool:
    """Whether a process still has the server's end of this connection open."""
    return any(
        found.laddr.port == port and found.raddr and found.raddr.port == client and found.pid is not None
        for found in psutil.net_connections("tcp4")
    )


def test_an_answer_has_to_be_read(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as link:
        link.sendall(GET.replace(b"who", b"big") + b"\r\n")
        wait_until(lambda: not is_held(port, link.getsockname()[1]), "the connection is held")
        came = 0
        with contextlib.suppress(ConnectionError):
            while data := link.recv(1 << 20):
                came += len(data)
        assert came < 50_000_000  # it was cut, not sent to the end


def test_long_headers_are_refused(link: socket.socket) -> None:
    link.sendall(GET + b"X: " + b"y" * 100_000)
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := link.recv(65536):
            said += data
    assert not said or said.startswith(b"HTTP/1.1 4")


def test_others_are_served_meanwhile(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(40)]
    try:
        for n, link in enumerate(held):
            link.sendall(GET if n % 2 else POST)  # none of them ends
        slowest = 0.0
        with httpx.Client(base_url=f"http://localhost:{port}", timeout=HANG_SECONDS) as client:
            for _ in range(20):
                began = time.monotonic()
                assert client.get("/v1/who").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
        assert slowest < HANG_SECONDS
    finally:
        for link in held:
            link.close()


def test_too_many_connections_are_told_so(port: int) -> None:
    def is_refused_beside_others() -> bool:
        held = [socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) for _ in range(70)]
        try:
            return httpx.get(f"http://localhost:{port}/v1/who", timeout=HANG_SECONDS).status_code == 503
        finally:
            for link in held:
                link.close()

    wait_until(is_refused_beside_others)  # a slow machine may have ended the first before the last came
    wait_until(lambda: httpx.get(f"http://localhost:{port}/v1/who", timeout=HANG_SECONDS).status_code == 200)


def test_ten_times_too_many_requests_are_answered_quickly(port: int) -> None:
    statuses: list[int] = []
    times: list[float] = []

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=HANG_SECONDS, verify=False) as client:
            for _ in range(10):
                began = time.monotonic()
                statuses.append(client.get("/v1/wait?seconds=0.05").status_code)
                times.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 500
    assert set(statuses) <= {200, 429, 503}
    assert statuses.count(200) > 100
    assert max(times) < HANG_SECONDS
    assert httpx.get(f"http://localhost:{port}/v1/who", timeout=HANG_SECONDS).status_code == 200
