"""One HTTP exchange with a server that nobody trusts: everything it sends is bounded in bytes and in time."""

import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from time import monotonic

import h11

from lookalike.errors import BadInput, BadSetting, ImageRejected, Unavailable
from lookalike.server.url_fetch.addresses import Address

MIB = 1024 * 1024
AT_ONCE = 16 * 1024
"""Bytes read at once; a header that comes whole may be longer than its limit by so much."""
MAX_ADDRESSES = 4
"""Addresses of one host that are tried."""
MAX_INTERIM = 4
"""Interim (1xx) answers before the real one."""
MOVED = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a server that may answer better later."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What fetching one image may take; raises BadSetting for a limit that makes no sense.

    `max_bytes` of the body, `seconds` for everything together (names, redirects, body), `connect_seconds` for one
    address, `redirects` followed, `header_bytes` of one answer's header or of one chunk's, `concurrent` fetches of
    this process at once.
    """

    max_bytes: int = 50 * MIB
    seconds: float = 15.0
    connect_seconds: float = 5.0
    redirects: int = 5
    header_bytes: int = 32 * 1024
    concurrent: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "redirects"):
                raise BadSetting(f"the limit {field.name} of fetching must be greater than 0, not {value}")


class Deadline:
    """The moment by which all must be done."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._at = monotonic() + seconds

    def left(self) -> float:
        """Seconds left, more than 0; raises Unavailable when there are none."""
        left = self._at - monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> Unavailable:
        """The error that says so."""
        return Unavailable(f"fetching took longer than the limit of {self._seconds:g} seconds", retry_after=60)


@dataclass(frozen=True, slots=True)
class Target:
    """What to ask for: `host` as certificates name it, `authority` as the Host header does, `path` with its query."""

    secure: bool
    host: str
    authority: str
    port: int
    path: bytes


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that names another place."""

    location: str


def connected(
    target: Target, addresses: Sequence[Address], tls: ssl.SSLContext, deadline: Deadline, each: float
) -> socket.socket:
    """A connection to the first of these very addresses that takes one; nothing is looked up here.

    Raises Unavailable where none does, BadInput for a certificate that is not the host's.
    """
    for address in addresses[:MAX_ADDRESSES]:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(min(each, deadline.left()))
            link.connect((str(address), target.port))
            return _secured(link, target, tls, deadline) if target.secure else link
        except ssl.SSLCertVerificationError as error:
            link.close()
            raise BadInput(f"the certificate of {target.host} is not valid: {error.verify_message}") from None
        except OSError:
            link.close()  # the next address may answer
        except BaseException:
            link.close()
            raise
    deadline.left()
    raise Unavailable(f"{target.host} does not answer on port {target.port}", retry_after=60)


def _secured(link: socket.socket, target: Target, tls: ssl.SSLContext, deadline: Deadline) -> socket.socket:
    link.settimeout(deadline.left())
    return tls.wrap_socket(link, server_hostname=target.host)  # verifies the name against the certificate


def get(
    link: socket.socket, target: Target, limits: FetchLimits, max_bytes: int, deadline: Deadline
) -> bytes | Redirect:
    """Ask for the target and read the whole answer.

    Raises ImageRejected ("too_many_bytes", "empty") for a body outside the limits, BadInput for an answer that is no
    image's, Unavailable for one that breaks off, takes too long or may be better later.
    """
    talk = _HttpExchange(link, limits, max_bytes, deadline)
    try:
        talk.ask(target)
        answer = talk.answer()
        if answer.status_code in MOVED:
            return Redirect(_location(answer))
        _check_answer(answer, target, max_bytes)
        return talk.body()
    except TimeoutError:
        raise deadline.passed() from None
    except OSError as error:
        raise Unavailable(f"the connection to {target.host} broke off: {error.strerror}", retry_after=5) from None
    except h11.RemoteProtocolError as error:
        if talk.ended:
            raise Unavailable(f"{target.host} broke off in the middle of its answer", retry_after=5) from None
        raise BadInput(f"{target.host} does not answer in HTTP as it should: {error}") from None


class _HttpExchange:
    """One request and its answer, on a connection that is not used again."""

    def __init__(self, link: socket.socket, limits: FetchLimits, max_bytes: int, deadline: Deadline) -> None:
        self._link = link
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._room = 2 * max_bytes + MIB  # all that may come, chunk headers included
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.header_bytes)
        self.ended = False

    def ask(self, target: Target) -> None:
        headers = [
            ("Host", target.authority),
            ("User-Agent", "lookalike"),
            ("Accept", "image/*"),
            ("Accept-Encoding", "identity"),  # nothing is unpacked here, so that nothing can burst
            ("Connection", "close"),
        ]
        request = h11.Request(method="GET", target=target.path, headers=headers)
        self._link.settimeout(self._deadline.left())
        self._link.sendall((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))

    def answer(self) -> h11.Response:
        for _ in range(MAX_INTERIM + 1):
            event = self._next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
        raise h11.RemoteProtocolError("too many interim answers")

    def body(self) -> bytes:
        body = bytearray()
        while isinstance(event := self._next(), h11.Data):
            body += event.data
            if len(body) > self._max_bytes:
                raise _too_long(self._max_bytes)
        if not body:
            raise ImageRejected("empty", "The URL gives an empty file (0 bytes).")
        return bytes(body)

    def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._link.settimeout(self._deadline.left())
            data = self._link.recv(AT_ONCE)
            self.ended = not data
            self._room -= len(data)
            if self._room < 0:
                raise _too_long(self._max_bytes)
            self._http.receive_data(data)
        return event


def _too_long(max_bytes: int) -> ImageRejected:
    return ImageRejected("too_many_bytes", f"The URL gives more than the limit of {max_bytes:,} bytes.")


def _location(answer: h11.Response) -> str:
    places = _values(answer, b"location")
    if len(places) != 1:
        raise BadInput("the URL is redirected, and the answer does not name one place where to")
    return places[0]


def _values(answer: h11.Response, name: bytes) -> list[str]:
    return [value.decode("utf-8", "replace") for key, value in _pairs(answer.headers) if key == name]


def _pairs(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    return ((bytes(key), bytes(value)) for key, value in headers)


def _check_answer(answer: h11.Response, target: Target, max_bytes: int) -> None:
    if answer.status_code in PASSING:
        raise Unavailable(f"{target.host} answers with status {answer.status_code}", retry_after=60)
    if answer.status_code not in (200, 203):
        raise BadInput(f"the URL gives no image: {target.host} answers with status {answer.status_code}")
    for encoding in _values(answer, b"content-encoding"):
        if encoding.strip().lower() not in ("", "identity"):
            raise BadInput(f"{target.host} sends its answer packed ({encoding[:20]!r}), although not asked to")
    for length in _values(answer, b"content-length"):  # h11 has made sure that they are numbers, and agree
        if int(length) > max_bytes:
            raise _too_long(max_bytes)
