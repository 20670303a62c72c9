"""Fetching images by URL, protected against server-side request forgery (SSRF): each hop's URL is parsed once, its host
resolved once, and the connection made to a checked address. A second look-up could return another (DNS rebinding).
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
    """Fetches images by URL; thread-safe. No proxy, cookie, credential or setting of the environment is used.

    `allow` are networks that may be fetched from although they are not public, `deny` further ones that may not;
    `ports` are those allowed besides 80 and 443. `resolver` and `tls` replace the system's own (trusted certificates
    are the system's and certifi's).
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

    def fetch(self, url: str, *, max_bytes: int | None = None) -> bytes:
        """The body of a URL, of at most `max_bytes`. Raises BadInput for a URL that is not allowed or yields no image,
        ImageRejected for a body outside the limits, Unavailable for errors that may be temporary.
        """
        limit = min(max_bytes or self._limits.max_bytes, self._limits.max_bytes)
        deadline = Deadline(self._limits.seconds)
        with self._slot(deadline):
            hop = _parse_url(url)
            for _ in range(self._limits.redirects + 1):
                target = self._target(hop)
                addresses = self._resolve_host(target.host, deadline)
                result = get(target, addresses, self._tls, self._limits, limit, deadline)
                if not isinstance(result, Redirect):
                    return result
                hop = _parse_url(result.location, hop)
        raise BadInput(f"the URL redirects more than {self._limits.redirects} times")

    @contextmanager
    def _slot(self, deadline: Deadline) -> Iterator[None]:
        if not self._slots.acquire(timeout=min(1.0, deadline.remaining())):
            raise Unavailable(f"{self._limits.concurrent} images are being fetched already", retry_after=2)
        try:
            yield
        finally:
            self._slots.release()

    def _target(self, url: httpx.URL) -> Target:
        if url.scheme not in DEFAULT_PORTS:
            raise BadInput("only http:// and https:// URLs are fetched")
        if url.userinfo:
            raise BadInput("URLs with a user name or password are not fetched")
        port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
        if port not in self._ports:
            allowed = ", ".join(str(port) for port in sorted(self._ports))
            raise BadInput(f"port {port} is not allowed; images are fetched from the ports {allowed}")
        host = url.raw_host.decode("ascii")
        authority = url.netloc.decode("ascii")
        return Target(url.scheme == "https", host.removesuffix("."), authority, port, url.raw_path)

    def _resolve_host(self, host: str, deadline: Deadline) -> Sequence[Address]:
        """Every address of the host; raises BadInput, without the reason, if one of them is not allowed."""
        address = parse_literal(host)
        try:
            addresses = [address] if address is not None else parse_addresses(self._resolve(host, deadline.remaining()))
        except NotFound:
            addresses = []
        rejected = [address for address in addresses if not self._is_allowed(address)]
        if rejected:
            log.warning("rejected a fetch from %s: its address %s is not allowed", host, rejected[0])
        if rejected or not addresses:  # one message for both, so that names of a private network cannot be probed
            raise BadInput(f"{host} is not allowed as a source of images: it has no public address")
        return addresses

    def _is_allowed(self, address: Address) -> bool:
        plain = unwrap(address)
        if any(form in network for network in self._deny for form in (address, plain)):
            return False
        return any(plain in network for network in self._allow) or is_public(address)


def _default_tls() -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _parse_url(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parse a URL, or (with `base`) the location of a redirect from there; raises BadInput."""
    if len(url) > MAX_URL_LENGTH:
        raise BadInput(f"the URL {'redirects to one' if base else 'is'} longer than {MAX_URL_LENGTH:,} characters")
    try:
        return httpx.URL(url) if base is None else base.join(url)
    except (httpx.InvalidURL, ValueError) as error:
        reason = str(error)[:200] if isinstance(error, httpx.InvalidURL) else type(error).__name__
        raise BadInput(f"{'the URL redirects to an invalid one' if base else 'invalid URL'}: {reason}") from None
