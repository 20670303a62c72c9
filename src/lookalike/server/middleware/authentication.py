"""Authentication by API key, and the caller's limits, before the body is read."""

from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lookalike.catalog.api_keys import SCOPES, KeyLimits, check_name
from lookalike.errors import AccessDenied, BadInput
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.auth import Caller
from lookalike.server.middleware.body_limits import BODY_TIMEOUT, BodyLimitMiddleware, check_length
from lookalike.server.middleware.origin_check import is_loopback_address
from lookalike.server.rate_limit import KEYLESS_LIMITS, SERVER_LIMITS, RateLimiter

COOKIE = "lookalike_key"
PUBLIC_PATHS = frozenset({"/", "/docs", "/favicon.ico", "/healthz", "/readyz", "/session"})
"""Paths without authentication, besides the files of pages below `PUBLIC_PREFIXES`."""
PUBLIC_PREFIXES = ("/page/", "/docs/")
PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers that proxies add."""
DEFAULT_TENANT = "default"


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
