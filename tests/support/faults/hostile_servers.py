"""Servers that lie, on loopback addresses of their own: a name server, and HTTP servers that answer as told."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from lookalike.errors import NotFound, Unavailable

PUBLIC = "127.0.0.2"
"""Stands for a public address: the tests allow this one, and no other of loopback."""
PRIVATE = "127.0.0.1"

Answering = Callable[[socket.socket, bytes], None]
"""What a server does with a connection, once it has read the header of a request."""


class Names(BaseResolver):  # type: ignore[misc]
    """A zone whose names answer differently each time they are asked; the last answer stays."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: Counter[str] = Counter()
        self.delay = 0.0

    def resolve(self, request: DNSRecord, _: DNSHandler) -> DNSRecord:
        time.sleep(self.delay)
        reply = request.reply()
        name, kind = str(request.q.qname).removesuffix("."), QTYPE[request.q.qtype]
        turns = self.answers.get(name)
        if turns is None:
            reply.header.rcode = RCODE.NXDOMAIN
            return reply
        turn = turns[min(self.asked[f"{name} {kind}"], len(turns) - 1)]
        self.asked[f"{name} {kind}"] += 1
        for text in turn:
            place = ip_address(text)
            if (place.version, kind) in ((4, "A"), (6, "AAAA")):
                reply.add_answer(
                    RR(name, request.q.qtype, rdata=A(text) if place.version == 4 else AAAA(place.exploded), ttl=0)
                )
        return reply


class NameServer:
    """A real name server on a port of its own, and a resolver that asks it and nobody else."""

    def __init__(self) -> None:
        self.names = Names()
        self._server = DNSServer(self.names, address="127.0.0.1", port=0, logger=DNSLogger(logf=lambda _: None))
        self._server.start_thread()
        self._port = self._server.server.server_address[1]

    def resolve(self, host: str, seconds: float) -> Sequence[str]:
        found: list[str] = []
        for kind in ("A", "AAAA"):
            try:
                packet = DNSRecord.question(host, kind).send("127.0.0.1", self._port, timeout=seconds)
            except TimeoutError:
                raise Unavailable(f"the name {host} was not resolved in time") from None
            found += [str(record.rdata) for record in DNSRecord.parse(packet).rr]
        if not found:
            raise NotFound(f"the name {host} has no address")
        return found

    def close(self) -> None:
        self._server.stop()
        self._server.server.server_close()


class Server:
    """An HTTP server that answers each connection as it was told, and counts them."""

    def __init__(self, answering: Answering, address: str = PUBLIC, port: int = 0) -> None:
        self.answering = answering
        self.requests: list[bytes] = []
        self.connections = 0
        self.tls: ssl.SSLContext | None = None
        self.server_names: list[str | None] = []
        self._reserved = contextlib.ExitStack()
        self._listening = (
            self._listen_with_reserve() if (address, port) == (PUBLIC, 0) else socket.create_server((address, port))
        )
        self.port: int = self._listening.getsockname()[1]
        self._links: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _listen_with_reserve(self) -> socket.socket:
        """Listen on a port that another server of the test can have on PRIVATE: it is reserved there."""
        while True:
            listening = socket.create_server((PUBLIC, 0))
            reserved = self._reserved.enter_context(socket.socket())
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                reserved.bind((PRIVATE, listening.getsockname()[1]))
            except OSError:
                listening.close()
            else:
                return listening

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._links.append(link)
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError):
            link.settimeout(20)
            if self.tls is not None:
                link = self.tls.wrap_socket(link, server_side=True)
                self._links.append(link)
            head = b""
            while b"\r\n\r\n" not in head and (data := link.recv(65536)):
                head += data
            self.requests.append(head)
            self.answering(link, head)
            link.shutdown(socket.SHUT_RDWR)
        link.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._reserved.close()
        for link in self._links:
            link.close()


@contextlib.contextmanager
def serving(answering: Answering, address: str = PUBLIC, port: int = 0) -> Iterator[Server]:
    """A server for as long as the block lasts."""
    server = Server(answering, address, port)
    try:
        yield server
    finally:
        server.close()


def image(body: bytes = b"an image", *headers: str, status: str = "200 OK", length: int | None = None) -> Answering:
    """An answer with a body; `length` may lie."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]

    def answer(link: socket.socket, _: bytes) -> None:
        link.sendall("\r\n".join(lines).encode() + body)

    return answer


def moved(location: str, status: str = "302 Found") -> Answering:
    """A redirect."""
    return image(b"", f"Location: {location}", status=status)


def dripping(first: bytes, drop: bytes, every: float, seconds: float = 20.0) -> Answering:
    """Sends `drop` again and again."""

    def answer(link: socket.socket, _: bytes) -> None:
        link.sendall(first)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            link.sendall(drop)
            time.sleep(every)

    return answer


def by_path(**answers: Answering) -> Answering:
    """Another answer for each path, by its first segment."""
    served: dict[str, Answering] = defaultdict(lambda: image(b"", status="404 Not Found"), answers)

    def answer(link: socket.socket, head: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        served[path.strip("/").split("/")[0].split("?")[0]](link, head)

    return answer


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a name, and its key, made by the openssl program."""
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(made), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return made, key
