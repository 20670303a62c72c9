"""Lets requests in: who calls is settled, and their limits kept, before anything of a body is read."""

from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lookalike.catalog.api_keys import SCOPES, ApiKey, KeyLimits, check_name
from lookalike.errors import AccessDenied, BadInput
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.auth import Caller
from lookalike.server.middleware.body_limits import BODY_TIMEOUT, BodyLimitMiddleware, check_length
from lookalike.server.rate_limit import KEYLESS_LIMITS, SERVER_LIMITS, RateLimiter

COOKIE = "lookalike_key"
PUBLIC_PATHS = frozenset({"/", "/favicon.ico", "/healthz", "/readyz", "/session"})
"""What anybody may ask for; the page's own files, below `OPEN_FOLDER`, are the same."""
PUBLIC_PREFIX = "/page/"
PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers by which proxies make themselves known."""
DEFAULT_TENANT = "default"


class Authenticator:
    """Who may do what on this server.

    `keyless` allows callers on loopback to do everything while no key was ever made; a server that listens beyond
    loopback must not. `defaults` are the limits of keys that have none of their own. `patience` is how
    many seconds a body may keep the server waiting.
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
        """Who calls from this address, None where it is no network's; raises AccessDenied, BadInput for a bad tenant.

        Raises what reading the keys raises, too: without them nobody is let in.
        """
        keys = await self.key_cache.current()
        token = read_token(headers)
        if token is not None:
            key = keys.find(token)
            if key is None:
                raise AccessDenied("this access key is not known here, or was revoked")
            return self._with_key(key, headers)
        if keys.any_created or not self._keyless:
            raise AccessDenied("this server wants an access key: send it as `Authorization: Bearer lk_...`")
        _check_loopback(headers, client)
        tenant = _requested_tenant(headers) or DEFAULT_TENANT
        return Caller(tenant, frozenset(SCOPES), None, any_tenant=True, limits=KEYLESS_LIMITS)

    def _with_key(self, key: ApiKey, headers: Headers) -> Caller:
        asked = _requested_tenant(headers)
        if key.tenant is not None and asked not in (None, key.tenant):
            raise AccessDenied("this key is bound to another tenant", authenticated=True)
        return Caller(
            key.tenant or asked or DEFAULT_TENANT,
            frozenset(key.scopes),
            key.id,
            any_tenant=key.tenant is None,
            limits=key.limits.or_else(self._defaults),
        )


class AuthenticationMiddleware:
    """ASGI middleware that puts the `Caller` into the request's state, under "caller", and keeps its limits.

    Every path but the open ones needs a caller, whatever its route asks for. Errors are raised, before any of the body
    is read, for the edge to answer.
    """

    def __init__(self, app: ASGIApp, access: Authenticator) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if is_public_path(scope["path"]):
            await self._pass(scope, receive, send, 0)
            return
        caller = await self._authenticate(headers, (scope.get("client") or (None,))[0])
        check_length(_content_length(headers), caller.limits.body_bytes)
        with self._access.limiter.admit(caller.key_id or "at the machine", caller.limits):
            scope.setdefault("state", {})["caller"] = caller
            await self._pass(scope, receive, send, caller.limits.body_bytes)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, max_bytes: int | None) -> None:
        headers = Headers(scope=scope)
        empty = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        body = BodyLimitMiddleware(receive, send, max_bytes, timeout=self._access.body_timeout, empty=empty)
        await self._app(scope, body.receive, body.send)

    async def _authenticate(self, headers: Headers, address: str | None) -> Caller:
        try:
            return await self._access.caller(headers, address)
        except AccessDenied:
            self._access.limiter.check_anonymous(address)
            raise


def is_public_path(path: str) -> bool:
    """Whether anybody may ask for a path."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)


def read_token(headers: Headers) -> str | None:
    """The access key that a request brings, in a header or the page's cookie; None for none.

    Raises AccessDenied for an Authorization header of another kind.
    """
    written = headers.get("authorization")
    if written is not None:
        scheme, _, token = written.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AccessDenied("the Authorization header is `Bearer lk_...`, with an access key")
        return token.strip()
    return headers.get("x-api-key") or _cookie(headers.getlist("cookie"))


def _cookie(written: Iterable[str]) -> str | None:
    for text in written:
        try:
            found = SimpleCookie(text).get(COOKIE)
        except CookieError:
            continue
        if found is not None and found.value:
            return found.value
    return None


def _requested_tenant(headers: Headers) -> str | None:
    """The tenant of X-Tenant, percent-encoded UTF-8; raises BadInput for a name that cannot be one."""
    written = headers.get("x-tenant")
    if not written:
        return None
    try:
        return check_name(unquote(written, errors="strict"), "the tenant of X-Tenant")
    except UnicodeDecodeError:
        raise BadInput("X-Tenant is a name in percent-encoded UTF-8") from None


def _content_length(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdecimal() else 0  # the server below checks the header itself


def _check_loopback(headers: Headers, client: str | None) -> None:
    """Raise AccessDenied for a caller without a key who may not be at this machine."""
    remedy = "make a key for it: lookalike keys create --scope read"
    if client is not None and not _is_loopback(client):
        raise AccessDenied(f"without an access key only this machine itself is served; {remedy}")
    if any(name in headers for name in PROXY_HEADERS):
        raise AccessDenied(f"without an access key nothing is served through a proxy; {remedy}")


def _is_loopback(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return False
