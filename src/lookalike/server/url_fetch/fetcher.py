"""Images by URL, fetched so that nobody can send this machine into networks that are not public.

Each hop's host is resolved once, every address is checked, and the connection is made to a checked address itself: a
second look-up, which could answer otherwise, does not happen. One parser's reading of a URL is used for everything.
"""

import logging
import ssl
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import httpx

from lookalike.errors import BadInput, NotFound, Unavailable
from lookalike.server.url_fetch.addresses import (
    Address,
    Network,
    Resolver,
    is_public,
    parse_addresses,
    parse_literal,
    parse_networks,
    system_resolver,
    unwrap,
)
from lookalike.server.url_fetch.http import Deadline, FetchLimits, Redirect, Target, get

__all__ = ["DEFAULT_PORTS", "FetchLimits", "Fetcher", "parse_networks"]

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_LENGTH = 8192
log = logging.getLogger("lookalike.fetch")


class Fetcher:
    """Fetches images by URL; safe to use from several threads.

    `allow` are networks that may be fetched from although they are not public, `deny` further ones that may not;
    `ports` are those allowed besides 80 and 443. `resolver` and `tls` replace the system's own (trusted certificates
    are the system's and certifi's). No proxy, no cookie, no credential, and nothing of the environment is used.
    """

    def __init__(
        self,
        limits: FetchLimits | None = None,
        *,
        allow: Iterable[Network] = (),
        deny: Iterable[Network] = (),
        ports: Iterable[int] = (),
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or FetchLimits()
        self._allow, self._deny = tuple(allow), tuple(deny)
        self._ports = frozenset(ports) | frozenset(DEFAULT_PORTS.values())
        self._resolve = resolver or system_resolver()
        self._tls = tls or _default_tls()
        self._slots = threading.BoundedSemaphore(self._limits.concurrent)

    @property
    def limits(self) -> FetchLimits:
        """What one fetch may take."""
        return self._limits

    def fetch(self, url: str, *, max_bytes: int | None = None) -> bytes:
        """The bytes behind a URL, as they are; `max_bytes` makes the limit stricter for this one.

        Raises BadInput for a URL that is not allowed or gives no image, ImageRejected for a body outside the
        limits, Unavailable for what may work later.
        """
        most = min(max_bytes or self._limits.max_bytes, self._limits.max_bytes)
        deadline = Deadline(self._limits.seconds)
        with self._slot(deadline):
            at = _parse_url(url)
            for _ in range(self._limits.redirects + 1):
                answer = self._fetch_hop(at, most, deadline)
                if not isinstance(answer, Redirect):
                    return answer
                at = _join_url(at, answer.location)
        raise BadInput(f"the URL is redirected more than {self._limits.redirects} times")

    @contextmanager
    def _slot(self, deadline: Deadline) -> Iterator[None]:
        if not self._slots.acquire(timeout=min(1.0, deadline.remaining())):
            raise Unavailable(f"{self._limits.concurrent} images are being fetched already", retry_after=2)
        try:
            yield
        finally:
            self._slots.release()

    def _fetch_hop(self, at: httpx.URL, most: int, deadline: Deadline) -> bytes | Redirect:
        target = self._target(at)
        addresses = self._resolve_host(target.host, deadline)
        return get(target, addresses, self._tls, self._limits, most, deadline)

    def _target(self, at: httpx.URL) -> Target:
        if at.scheme not in DEFAULT_PORTS:
            raise BadInput("an image is fetched by http:// or https://, and by nothing else")
        if at.userinfo:
            raise BadInput("a URL with a name or password in it is not fetched")
        port = DEFAULT_PORTS[at.scheme] if at.port is None else at.port
        if port not in self._ports:
            raise BadInput(f"port {port} is not one that images are fetched from")
        host = at.raw_host.decode("ascii")
        authority = at.netloc.decode("ascii")
        return Target(at.scheme == "https", host.removesuffix("."), authority, port, at.raw_path)

    def _resolve_host(self, host: str, deadline: Deadline) -> Sequence[Address]:
        """Every address of the host, all of them allowed; raises BadInput, saying no more than that, otherwise."""
        spelt = parse_literal(host)
        try:
            found = [spelt] if spelt is not None else parse_addresses(self._resolve(host, deadline.remaining()))
        except NotFound:
            found = []
        refused = [address for address in found if not self._is_allowed(address)]
        if refused:
            log.warning("refused to fetch from %s: its address %s is not allowed", host, refused[0])
        if refused or not found:  # one answer for both: names of a private network are not to be told apart
            raise BadInput(f"{host} is no host that images are fetched from: it has no public address")
        return found

    def _is_allowed(self, address: Address) -> bool:
        plain = unwrap(address)
        if any(place in network for network in self._deny for place in (address, plain)):
            return False
        return any(plain in network for network in self._allow) or is_public(address)


def _default_tls() -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _parse_url(url: str) -> httpx.URL:
    if len(url) > MAX_URL_LENGTH:
        raise BadInput(f"the URL is longer than {MAX_URL_LENGTH:,} characters")
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadInput(f"the URL cannot be read: {_reason(error)}") from None


def _join_url(at: httpx.URL, location: str) -> httpx.URL:
    if len(location) > MAX_URL_LENGTH:
        raise BadInput(f"the URL is redirected to one longer than {MAX_URL_LENGTH:,} characters")
    try:
        return at.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadInput(f"the URL is redirected to one that cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return type(error).__name__ if not isinstance(error, httpx.InvalidURL) else str(error)[:200]
