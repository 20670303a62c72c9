"""How the client asks: what is repeated and what is not, how long it waits, and what strange answers mean.

Against a real server that breaks off, refuses and dawdles as each test has it.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lookalike import Client
from lookalike.errors import (
    AccessDenied,
    BadInput,
    BadSetting,
    Conflict,
    GalleryBusy,
    LookalikeError,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from lookalike.problem_details import MEDIA_TYPE, problem_of

JOB = {
    "id": "1",
    "kind": "repair",
    "state": "done",
    "progress": {"done": 3, "total": 3, "counts": {"phash": 3}},
    "result": {},
    "error": None,
    "created": "2026-01-31T09:30:00.250000Z",
    "updated": "2026-01-31T09:30:00.250000Z",
}
PUT = {"key": "a", "outcome": "added", "reason": None, "sequence": 1}


@dataclass(frozen=True)
class ScriptedResponse:
    """An answer as bytes; none at all where `status` is 0: the connection is closed. After `seconds`."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def written(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"HTTP/1.1 {self.status} X", *(f"{k}: {v}" for k, v in (headers | self.headers).items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


BROKEN = ScriptedResponse(0)


def problem(error: LookalikeError, **headers: str) -> ScriptedResponse:
    reply = problem_of(error)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ScriptedResponse(reply["status"], reply, {"Content-Type": MEDIA_TYPE, **named})


class Server:
    """Answers one connection after the other as `script` has it, the last of it again and again."""

    def __init__(self) -> None:
        self.script: list[ScriptedResponse] = []
        self.asked: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self.asked.append(_request(connection))
                reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                time.sleep(reply.seconds)
                if reply.status:
                    try:
                        connection.sendall(reply.written())
                    except OSError:
                        continue  # it did not wait for us


def _request(connection: socket.socket) -> bytes:
    """A request with its body, by its length or to its last chunk."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(65536)
    elif b"content-length: " in lower:
        length = int(lower.partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("lookalike.client.transport.BACKOFF", 0.01)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, key="lk_secret", timeout=5) as made:
        yield made


def test_what_may_be_repeated_is(server: Server, client: Client) -> None:
    server.script = [
        BROKEN,
        problem(Unavailable("down")),
        problem(GalleryBusy("busy"), Retry_After="0"),
        ScriptedResponse(body=PUT),
    ]
    data = bytes(range(256)) * 100
    assert client.put("a", data).sequence == 1
    assert len(server.asked) == 4
    assert len(set(server.asked)) == 1
    assert server.asked[0].endswith(data)  # whole each time


def test_a_search_is_repeated_and_its_form_is_whole(server: Server, client: Client) -> None:
    answer = {"hits": [], "page": 1, "page_size": 10, "more": False, "next": None, "exact_within": {}, "failed": {}}
    server.script = [
        BROKEN,
        ScriptedResponse(body=answer | {"sequence": 0, "took_ms": {}, "a later version's": "field"}),
    ]
    assert client.search(b"some bytes", k=3).hits == ()
    assert len(server.asked) == 2
    assert all(b"some bytes" in asked and b'name="k"' in asked for asked in server.asked)


def test_what_must_not_be_repeated_is_not(server: Server, client: Client) -> None:
    for failure in (BROKEN, problem(Unavailable("down")), problem(Unavailable("down"), Retry_After="0")):
        for ask in (
            lambda: client.start_job({"kind": "repair"}),
            lambda: client.remove("a"),
            lambda: client.remove_by_filter({"a": 1}),
            lambda: client.remove("a", expected=1),
        ):
            server.script, server.asked = [failure], []
            with pytest.raises(Unavailable):
                ask()
            assert len(server.asked) == 1


def test_a_refusal_at_the_door_is_no_work_done(server: Server, client: Client) -> None:
    refused = problem(TooManyRequests("slowly"), Retry_After="0")
    server.script = [refused, refused, ScriptedResponse(body=JOB)]
    assert client.start_job({"kind": "repair"}).state == "done"
    assert len(server.asked) == 3


def test_changes_on_condition_are_repeated_only_where_they_were_refused(server: Server, client: Client) -> None:
    server.script = [problem(Unavailable("full"), Retry_After="0"), ScriptedResponse(body=PUT)]
    assert client.put("a", b"x", expected=3).sequence == 1
    server.script, server.asked = [BROKEN], []
    with pytest.raises(Unavailable):
        client.put("a", b"x", expected="absent")
    with pytest.raises(Unavailable):
        client.set_attributes("a", {}, expected=1)
    assert len(server.asked) == 2


def test_attempts_and_waiting_end(server: Server, client: Client) -> None:
    server.script = [problem(Unavailable("down"))]
    with pytest.raises(Unavailable, match="down"):
        client.get("a")
    assert len(server.asked) == 4
    server.asked = []
    server.script = [problem(Unavailable("maintenance"), Retry_After="3600")]
    with pytest.raises(Unavailable) as raised:
        client.get("a")
    assert raised.value.retry_after == 3600
    assert len(server.asked) == 1


def test_retry_after_is_minded(server: Server, client: Client) -> None:
    server.script = [problem(TooManyRequests("slowly"), Retry_After="1"), ScriptedResponse(204, b"")]
    started = time.monotonic()
    client.not_a_match(["a", "b"])
    assert time.monotonic() - started >= 1


def test_a_slow_service_is_not_waited_for(server: Server) -> None:
    server.script = [ScriptedResponse(body=PUT, seconds=1.0)]
    with Client(server.url, timeout=0.2) as client, pytest.raises(Unavailable, match=r"0\.2 seconds"):
        client.start_job({"kind": "repair"})
    assert len(server.asked) == 1


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with Client(url) as client, pytest.raises(Unavailable, match="cannot connect") as raised:
        client.remove("a")
    assert type(raised.value) is Unavailable


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (ScriptedResponse(301, b"", {"Location": "https://elsewhere.example/"}), BadSetting),
        (ScriptedResponse(200, b"<html>", {"Content-Type": "text/html"}), BadSetting),
        (ScriptedResponse(200, [1]), BadSetting),
        (ScriptedResponse(200, {"other": "thing"}), BadSetting),
        (ScriptedResponse(401, b"no", {"Content-Type": "text/plain"}), AccessDenied),
        (ScriptedResponse(404, {}), NotFound),
        (ScriptedResponse(418, b""), BadInput),
        (ScriptedResponse(500, b"Traceback"), LookalikeError),
        (ScriptedResponse(400, b"{", {"Content-Type": MEDIA_TYPE}), BadInput),
        (problem(Conflict("changed", sequence=9)), Conflict),
        (ScriptedResponse(503, {"type": "about:blank", "detail": None}, {"Content-Type": MEDIA_TYPE}), Unavailable),
    ],
)
def test_strange_answers(server: Server, client: Client, reply: ScriptedResponse, kind: type[LookalikeError]) -> None:
    server.script = [reply]
    with pytest.raises(LookalikeError) as raised:
        client.get("a")
    assert type(raised.value) is kind
    assert "lk_secret" not in str(raised.value)


def test_the_key_is_sent_and_never_shown(server: Server, client: Client) -> None:
    server.script = [ScriptedResponse(body=JOB)]
    client.job("1")
    assert b"Authorization: Bearer lk_secret" in server.asked[0]
    assert "lk_secret" not in repr(client)
    assert repr(client) == f"Client({server.url!r})"


def test_whose_images(server: Server) -> None:
    server.script = [ScriptedResponse(body={"deleted": 0, "keys": [], "sequence": 0})]
    with Client(server.url) as plain, Client(server.url, tenant="Jürgen & co") as named:
        plain.remove("a")
        plain.remove("a", tenant="bob")
        named.remove("a")
        named.remove("a", tenant="bob")
    found = [asked.partition(b"X-Tenant: ")[2].split(b"\r\n")[0] for asked in server.asked]
    assert found == [b"", b"bob", b"J%C3%BCrgen%20%26%20co", b"bob"]


def test_a_path_before_the_api_stays(server: Server) -> None:
    server.script = [ScriptedResponse(body=JOB)]
    with Client(server.url + "/images/") as client:
        client.job("1")
    assert server.asked[0].startswith(b"GET /images/v1/jobs/1 ")


@pytest.mark.parametrize(
    "url", ["", "host:8000", "ftp://host", "http://", "http://user:pass@host", "http://host?x=1", "http://[::1", "/v1"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(BadSetting) as raised:
        Client(url)
    assert "pass" not in str(raised.value)


def test_jobs_are_waited_for(server: Server, client: Client) -> None:
    running = JOB | {"state": "running"}
    server.script = [ScriptedResponse(body=running), ScriptedResponse(body=running), ScriptedResponse(body=JOB)]
    assert client.repair() == client.repair()
    failed = {"state": "failed", "error": problem_of(GalleryBusy("another process"))}
    server.script = [ScriptedResponse(body=JOB | failed)]
    with pytest.raises(GalleryBusy, match="another"):
        client.wait_for("1")
    server.script = [ScriptedResponse(body=JOB | {"state": "cancelled"})]
    with pytest.raises(Unavailable, match="cancelled"):
        client.wait_for("1")
    server.script = [ScriptedResponse(body=running)]
    with pytest.raises(Unavailable, match="not done"):
        client.wait_for("1", seconds=0.3)
