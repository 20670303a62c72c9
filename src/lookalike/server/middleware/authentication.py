"""Authentication by API key, and the caller's limits: requests per second, running ones, and bytes of a body."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.catalog.api_keys import SCOPES, KeyLimits, check_name
from lookalike.errors import AccessDenied, BadInput, BadSetting, ImageRejected, TooManyRequests, Unavailable
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.auth import Caller
from lookalike.server.middleware.origin_check import is_loopback_address
from lookalike.server.problem_responses import HttpError

MIB = 1024 * 1024
MAX_BUCKETS = 10_000
SERVER_LIMITS = KeyLimits(rate=200.0, burst=1000, concurrency=32, body_bytes=256 * MIB)
"""Default limits of API keys without limits of their own; the decoder bounds pixels."""
KEYLESS_LIMITS = KeyLimits(concurrency=64, body_bytes=256 * MIB)
"""Limits of callers on loopback without an API key: no rate limit."""
ANONYMOUS_RATE, ANONYMOUS_BURST = 5.0, 50
"""Requests per second and burst without a valid API key, by client address."""
BODY_TIMEOUT = 20.0
"""Seconds that the server waits for a body, besides the time that its bytes allow by `MIN_RATE`."""
MIN_RATE = 4096.0
"""Minimum bytes per second of a body over the time waited for it, beyond the timeout."""
COOKIE = "lookalike_key"
PUBLIC_PATHS = frozenset({"/", "/docs", "/favicon.ico", "/healthz", "/readyz", "/session"})
"""Paths without authentication, besides the files of pages below `PUBLIC_PREFIXES`."""
PUBLIC_PREFIXES = ("/page/", "/docs/")
PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers that proxies add."""
DEFAULT_TENANT = "default"


class TokenBuckets:
    """The `max_buckets` last used token buckets; an evicted one starts full, which takes thousands of API keys."""

    def __init__(self, max_buckets: int = MAX_BUCKETS, clock: Callable[[], float] = monotonic) -> None:
        self._max_buckets = max_buckets
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and the time of that count

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, rate: float, burst: int) -> float:
        """Take a token: 0, or the seconds until one is available; refilled at `rate` per second up to `burst`."""
        now = self._clock()
        tokens, then = self._buckets.pop(name, (float(burst), now))
        tokens = min(float(burst), tokens + (now - then) * rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / rate
        self._buckets[name] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return wait


class RateLimiter:
    """Admits requests or rejects them at once; `capacity` bounds the running requests of the process."""

    def __init__(self, capacity: int = 256, buckets: TokenBuckets | None = None) -> None:
        if capacity < 1:
            raise BadSetting(f"capacity must be at least 1, not {capacity}")
        self._capacity = capacity
        self._buckets = TokenBuckets() if buckets is None else buckets
        self._in_flight: Counter[str] = Counter()
        self.in_flight = 0  # requests

    @contextmanager
    def admit(self, name: str, limits: KeyLimits) -> Iterator[None]:
        """Count a caller's running request; raises TooManyRequests above its limits, Unavailable above the capacity."""
        if self.in_flight >= self._capacity:
            raise Unavailable(f"the server is at its capacity of {self.in_flight} requests", retry_after=1)
        if limits.concurrency is not None and self._in_flight[name] >= limits.concurrency:
            message = f"concurrency limit of this API key reached: {limits.concurrency} requests"
            raise TooManyRequests(message, retry_after=1)
        if limits.rate is not None:
            wait = self._buckets.take(name, limits.rate, limits.burst or max(1, round(limits.rate)))
            if wait:
                message = f"rate limit of this API key exceeded: {limits.rate:g} requests per second"
                raise TooManyRequests(message, retry_after=wait)
        self._in_flight[name] += 1
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._in_flight[name] -= 1
            if not self._in_flight[name]:
                del self._in_flight[name]

    def check_anonymous(self, address: str | None) -> None:
        """Count a request without a valid API key; raises TooManyRequests above the rate limit of its address."""
        wait = self._buckets.take(f"anonymous {_client_group(address)}", ANONYMOUS_RATE, ANONYMOUS_BURST)
        if wait:
            raise TooManyRequests("too many requests without a valid API key", retry_after=wait)


def _client_group(address: str | None) -> str:
    """The bucket of a client address; an IPv6 /64 network is one client, since it controls all its addresses."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "local"
    return str(IPv6Network((int(parsed), 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)


class BodyLimitMiddleware:
    """Wraps the `receive` and `send` of one request.

    `receive` raises ImageRejected ("too_many_bytes") as soon as more than `max_bytes` have been received, HttpError
    (408) for a body that arrives too slowly. Only the time spent waiting counts, so that a slow server does not blame
    the client. A response that starts before the end of the body closes the connection, instead of reading the rest.
    """

    def __init__(
        self, receive: Receive, send: Send, max_bytes: int | None, *, timeout: float = BODY_TIMEOUT, empty: bool = False
    ) -> None:
        self._receive, self._send = receive, send
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._waited = 0.0
        self._received = 0
        self._ended = empty  # without a body, nothing is to be received

    async def receive(self) -> Message:
        """The next message; raises as the class describes."""
        if self._ended:
            return await self._receive()  # waits for the disconnect, without a timeout
        started = monotonic()
        try:
            async with asyncio.timeout(self._timeout + self._received / MIN_RATE - self._waited):
                message = await self._receive()
        except TimeoutError:
            waited = self._waited + monotonic() - started
            raise HttpError(
                HTTPStatus.REQUEST_TIMEOUT, f"request body too slow: {self._received:,} bytes in {waited:.0f} seconds"
            ) from None
        self._waited += monotonic() - started
        self._received += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        check_length(self._received, self._max_bytes)
        return message

    async def send(self, message: Message) -> None:
        """Send a message, with `Connection: close` if the body was not read to its end."""
        if message["type"] == "http.response.start" and not self._ended:
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await self._send(message)


def check_length(nbytes: int, max_bytes: int | None) -> None:
    """Raise ImageRejected for a body of more than `max_bytes` (None: no limit)."""
    if max_bytes is not None and nbytes > max_bytes:
        raise ImageRejected("too_many_bytes", f"The request body exceeds the limit of {max_bytes:,} bytes.")


class Authenticator:
    """Determines the caller of a request by its API key.

    `keyless` grants callers on loopback every scope while no API key was ever created; it must be False for a server
    that listens beyond loopback. `defaults` are the limits of API keys without their own. `body_timeout` is in seconds.
    """

    def __init__(
        self,
        key_cache: ApiKeyCache,
        *,
        keyless: bool,
        limiter: RateLimiter | None = None,
        defaults: KeyLimits = SERVER_LIMITS,
        body_timeout: float = BODY_TIMEOUT,
    ) -> None:
        self.key_cache = key_cache
        self.limiter = limiter or RateLimiter()
        self.body_timeout = body_timeout
        self._keyless = keyless
        self._defaults = defaults

    async def caller(self, headers: Headers, client: str | None) -> Caller:
        """The caller at a client address (None: no network address).

        Raises AccessDenied, BadInput for an invalid tenant, and the catalog's errors if its API keys cannot be read.
        """
        keys = await self.key_cache.current()
        token = read_token(headers)
        if token is not None:
            key = keys.find(token)
            if key is None:
                raise AccessDenied("unknown, revoked or expired API key")
            requested = _requested_tenant(headers)
            if key.tenant is not None and requested not in (None, key.tenant):
                raise AccessDenied("this API key is bound to another tenant", authenticated=True)
            tenant = key.tenant or requested or DEFAULT_TENANT
            limits = key.limits.or_else(self._defaults)
            return Caller(tenant, frozenset(key.scopes), key.id, any_tenant=key.tenant is None, limits=limits)
        if keys.any_created or not self._keyless:
            raise AccessDenied("API key required: send it as `Authorization: Bearer lk_...`")
        _check_loopback(headers, client)
        tenant = _requested_tenant(headers) or DEFAULT_TENANT
        return Caller(tenant, frozenset(SCOPES), None, any_tenant=True, limits=KEYLESS_LIMITS)


class AuthenticationMiddleware:
    """ASGI middleware that sets the request state's `caller`, required on all paths but public ones, and its limits."""

    def __init__(self, app: ASGIApp, access: Authenticator) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["path"] in PUBLIC_PATHS or scope["path"].startswith(PUBLIC_PREFIXES):
            await self._pass(scope, receive, send, 0)
            return
        address = (scope.get("client") or (None,))[0]
        try:
            caller = await self._access.caller(headers, address)
        except AccessDenied:
            self._access.limiter.check_anonymous(address)
            raise
        length = headers.get("content-length", "")
        if length.isascii() and length.isdecimal():  # uvicorn validates the header
            check_length(int(length), caller.limits.body_bytes)
        with self._access.limiter.admit(caller.key_id or "loopback", caller.limits):
            scope.setdefault("state", {})["caller"] = caller
            await self._pass(scope, receive, send, caller.limits.body_bytes)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, max_bytes: int | None) -> None:
        headers = Headers(scope=scope)
        empty = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        body = BodyLimitMiddleware(receive, send, max_bytes, timeout=self._access.body_timeout, empty=empty)
        await self._app(scope, body.receive, body.send)


def read_token(headers: Headers) -> str | None:
    """The API key in a header or the page's cookie, or None; raises AccessDenied for another Authorization scheme."""
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AccessDenied("the Authorization header must be `Bearer lk_...`, with an API key")
        return token.strip()
    return headers.get("x-api-key") or _cookie(headers.getlist("cookie"))


def _cookie(headers: Iterable[str]) -> str | None:
    for text in headers:
        try:
            cookie = SimpleCookie(text).get(COOKIE)
        except CookieError:
            continue
        if cookie is not None and cookie.value:
            return cookie.value
    return None


def _requested_tenant(headers: Headers) -> str | None:
    """The tenant of X-Tenant, percent-encoded UTF-8; raises BadInput for an invalid name."""
    encoded = headers.get("x-tenant")
    if not encoded:
        return None
    try:
        return check_name(unquote(encoded, errors="strict"), "the tenant of X-Tenant")
    except UnicodeDecodeError:
        raise BadInput("X-Tenant must be a name in percent-encoded UTF-8") from None


def _check_loopback(headers: Headers, client: str | None) -> None:
    """Raise AccessDenied for a caller without an API key that may not be on this machine."""
    remedy = "create one: lookalike keys create --scope read"
    if client is not None and not is_loopback_address(client):
        raise AccessDenied(f"only loopback clients are served without an API key; {remedy}")
    if any(name in headers for name in PROXY_HEADERS):
        raise AccessDenied(f"proxied requests require an API key; {remedy}")
