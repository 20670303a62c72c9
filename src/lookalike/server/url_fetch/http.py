"""One HTTP exchange with an untrusted server: the network backend given to httpcore connects to one checked address,
uses no proxy, and bounds the response in bytes and in time, below HTTP, where every byte passes.
"""

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from time import monotonic

import httpcore

from lookalike.errors import BadInput, BadSetting, ImageRejected, Unavailable
from lookalike.server.url_fetch.addresses import Address

MIB = 1024 * 1024
READ_BYTES = 16 * 1024
"""Bytes of one read; a header that arrives whole may exceed its limit by this much."""
MAX_ADDRESSES = 4
"""Addresses of one host that are tried."""
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of a URL fetch; raises BadSetting for invalid values.

    `max_bytes` of the body, `seconds` for the whole fetch (name resolution, redirects, body), `connect_seconds` per
    address, number of `redirects`, `header_bytes` of a response, `concurrent` fetches of this process.
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
                raise BadSetting(f"the fetch limit {field.name} must be greater than 0, not {value}")


class Deadline:
    """The end of the time allowed for a fetch."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._at = monotonic() + seconds

    def remaining(self) -> float:
        """Remaining seconds, greater than 0; raises Unavailable after the deadline."""
        remaining = self._at - monotonic()
        if remaining <= 0:
            raise self.error()
        return remaining

    def error(self) -> Unavailable:
        """The error for a missed deadline."""
        return Unavailable(f"the fetch took longer than the limit of {self._seconds:g} seconds", retry_after=60)


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL: `host` as certificates name it, `authority` as the Host header does, `path` with its query."""

    secure: bool
    host: str
    authority: str
    port: int
    path: bytes


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect response and its location."""

    location: str


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to one address, whatever host the request names, and bounds what is read from the connection.

    Until `header_received` is called, the limit is that of the header, interim (1xx) responses included; after it, that
    of the body with its chunk headers. `ended` says whether the server has closed the connection.
    """

    def __init__(
        self,
        address: Address,
        limits: FetchLimits,
        max_bytes: int,
        deadline: Deadline,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._address = str(address)
        self._limits = limits
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._network = network or httpcore.SyncBackend()
        self._received = 0
        self._in_header = True
        self.ended = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the address; a numeric address is not looked up."""
        seconds = min(self._limits.connect_seconds, self._deadline.remaining())
        return _BoundedStream(self._network.connect_tcp(self._address, port, seconds), self, self._deadline)

    def header_received(self) -> None:
        """Apply the limit of the body from now on."""
        self._in_header = False
        self._received = 0

    def count(self, nbytes: int) -> None:
        """Count bytes that were read; raises BadInput or ImageRejected above the limit."""
        self.ended = nbytes == 0
        self._received += nbytes
        if self._in_header and self._received > self._limits.header_bytes + READ_BYTES:
            raise httpcore.RemoteProtocolError(f"the header has more than {self._limits.header_bytes:,} bytes")
        if self._received > 2 * self._max_bytes + MIB:
            raise _too_long(self._max_bytes)


class _BoundedStream(httpcore.NetworkStream):
    """A connection whose every operation ends at the deadline, whatever time-out httpcore asks for."""

    def __init__(self, stream: httpcore.NetworkStream, backend: PinnedBackend, deadline: Deadline) -> None:
        self._stream = stream
        self._backend = backend
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(min(max_bytes, READ_BYTES), self._deadline.remaining())
        self._backend.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.remaining())

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._deadline.remaining())
        return _BoundedStream(secure, self._backend, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def get(
    target: Target,
    addresses: Sequence[Address],
    tls: ssl.SSLContext,
    limits: FetchLimits,
    max_bytes: int,
    deadline: Deadline,
    network: httpcore.NetworkBackend | None = None,
) -> bytes | Redirect:
    """Request the target from the first address that accepts a connection; `network` is for tests.

    Raises ImageRejected ("too_many_bytes", "empty") for a body outside the limits, BadInput for an invalid certificate
    or a response that is no image's, Unavailable for one that breaks off, takes too long or may succeed later.
    """
    for address in addresses[:MAX_ADDRESSES]:
        backend = PinnedBackend(address, limits, max_bytes, deadline, network)
        try:
            return _exchange(target, tls, max_bytes, backend)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                reason = error.__cause__.verify_message
                raise BadInput(f"the certificate of {target.host} is not valid: {reason}") from None
        except httpcore.TimeoutException:
            raise deadline.error() from None
        except httpcore.NetworkError as error:
            raise Unavailable(f"the connection to {target.host} broke off: {error}", retry_after=5) from None
        except httpcore.ProtocolError as error:
            if backend.ended:
                raise Unavailable(f"{target.host} broke off in the middle of its response", retry_after=5) from None
            raise BadInput(f"{target.host} does not answer in valid HTTP: {error}") from None
    deadline.remaining()
    raise Unavailable(f"{target.host} does not answer on port {target.port}", retry_after=60)


def _exchange(target: Target, tls: ssl.SSLContext, max_bytes: int, backend: PinnedBackend) -> bytes | Redirect:
    """One request on a connection of its own; raises httpcore's errors, too."""
    url = httpcore.URL(
        scheme=b"https" if target.secure else b"http", host=target.host.encode(), port=target.port, target=target.path
    )
    headers = [
        ("Host", target.authority),
        ("User-Agent", "lookalike"),
        ("Accept", "image/*"),
        ("Accept-Encoding", "identity"),  # nothing is decompressed, so there are no decompression bombs
        ("Connection", "close"),
    ]
    with httpcore.HTTPConnection(url.origin, tls, network_backend=backend) as connection:
        response = connection.handle_request(httpcore.Request("GET", url, headers=headers))
        backend.header_received()
        if response.status in REDIRECT_STATUSES:
            locations = _values(response, b"location")
            if (count := len(locations)) != 1:
                raise BadInput(f"the URL is redirected, and the response has {count} Location headers instead of one")
            return Redirect(locations[0])
        _check_response(response, target, max_bytes)
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > max_bytes:
                raise _too_long(max_bytes)
    if not body:
        raise ImageRejected("empty", "The URL gives an empty file (0 bytes).")
    return bytes(body)


def _too_long(max_bytes: int) -> ImageRejected:
    return ImageRejected("too_many_bytes", f"The URL gives more than the limit of {max_bytes:,} bytes.")


def _values(response: httpcore.Response, name: bytes) -> list[str]:
    return [value.decode("utf-8", "replace") for key, value in response.headers if key.lower() == name]


def _check_response(response: httpcore.Response, target: Target, max_bytes: int) -> None:
    if response.status in RETRYABLE_STATUSES:
        raise Unavailable(f"{target.host} answers with status {response.status}", retry_after=60)
    if response.status not in (200, 203):
        raise BadInput(f"the URL gives no image: {target.host} answers with status {response.status}")
    for encoding in _values(response, b"content-encoding"):
        if encoding.strip().lower() not in ("", "identity"):
            raise BadInput(f"{target.host} sends a compressed response ({encoding[:20]!r}), although not asked to")
    for length in _values(response, b"content-length"):  # h11 has checked that they are numbers, and agree
        if int(length) > max_bytes:
            raise _too_long(max_bytes)
