"""Host and origin checks, and security headers. A server on loopback trusts local clients, and without these checks
every web page in a local browser: by cross-site requests (CSRF), or by a host name that resolves to 127.0.0.1 after the
page has loaded (DNS rebinding).
"""

from collections.abc import Collection, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.errors import AccessDenied, BadInput, BadSetting

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "  # blob: a chosen image, and thumbnails by key
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",  # for browsers without frame-ancestors
}
CALLER_HEADERS = "Authorization, Cookie, X-API-Key, X-Tenant"
"""Request headers that determine a response besides its path, for Vary."""
REMEDY = "create one first: lookalike keys create --scope admin"


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address without brackets, is loopback."""
    return host.lower().removesuffix(".") == "localhost" or is_loopback_address(host)


def is_loopback_address(host: str) -> bool:
    """Whether a host is a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(host: str | None, allowed_hosts: Collection[str], *, keys: bool) -> None:
    """Raise BadSetting for a server that is reachable beyond loopback while no API key was ever created.

    `host` is the bind address, None for a Unix socket; `allowed_hosts` are additional host names, which imply a proxy.
    """
    if keys or allows_keyless(host, allowed_hosts):
        return
    if host is not None and not is_loopback(host):
        raise BadSetting(f"without an API key the server listens on loopback only, not on {host}; {REMEDY}")
    raise BadSetting(f"without an API key the server accepts loopback host names only; {REMEDY}")


def allows_keyless(host: str | None, allowed_hosts: Collection[str]) -> bool:
    """Whether a server with this bind address may serve callers without an API key while none was ever created."""
    return (host is None or is_loopback(host)) and not allowed_hosts


class AllowedHosts:
    """The host names that a server accepts: loopback ones, and those in `allowed`.

    If `allowed` is empty and `bound` is not loopback, any name is accepted; API keys are mandatory then.
    """

    def __init__(self, bound: str | None, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(_name(host) for host in allowed)
        self._any = bound is not None and not is_loopback(bound) and not self._allowed

    def check(self, authority: str) -> None:
        """Raise AccessDenied for a Host header that is not accepted."""
        host = parse_host(authority)
        if not (self._any or is_loopback(host) or host in self._allowed):
            message = f"host name {host!r} is not allowed; allow it: lookalike serve --allow-host {host}"
            raise AccessDenied(message, authenticated=True)


class OriginCheckMiddleware:
    """ASGI middleware that checks Host, Sec-Fetch-Site and Origin; only browsers send the last two.

    The only cross-site request allowed is a navigation to the page. CORS and WebSockets are not supported.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            hosts = headers.getlist("host")
            if len(hosts) != 1:
                raise BadInput("exactly one Host header is required")
            self._hosts.check(hosts[0])
            if not _is_page_navigation(scope, headers):
                _check_site(headers, hosts[0])
        await self._app(scope, receive, send)


class SecurityHeadersMiddleware:
    """ASGI middleware that adds missing `SECURITY_HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list(message.get("headers", ()))}
                headers = MutableHeaders(raw=message["headers"])
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/v1/"):
                    headers.add_vary_header(CALLER_HEADERS)
            await send(message)

        await self._app(scope, receive, wrapped)


def parse_host(authority: str) -> str:
    """The host of `host:port`, in lower case, without brackets; raises BadInput for an invalid Host header."""
    try:
        parts = urlsplit(f"//{authority}")
        host = parts.hostname if parts.port is None or parts.port else None
    except ValueError:
        host = None
    if not host or "@" in authority or "/" in authority:
        raise BadInput("invalid Host header")
    return _name(host)


def _name(host: str) -> str:
    bare = host.strip().removeprefix("[").removesuffix("]").lower().removesuffix(".")
    try:
        return ip_address(bare).compressed
    except ValueError:
        return bare


def _is_page_navigation(scope: Scope, headers: Headers) -> bool:
    return bool(
        scope["method"] == "GET"
        and scope["path"] in ("/", "/docs", "/session")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _check_site(headers: Headers, authority: str) -> None:
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        raise AccessDenied(f"cross-site requests are not allowed (Sec-Fetch-Site: {site})", authenticated=True)
    for origin in headers.getlist("origin"):
        if not _same_origin(origin, authority):
            raise AccessDenied(f"cross-origin requests are not allowed (Origin: {origin[:100]})", authenticated=True)


def _same_origin(origin: str, authority: str) -> bool:
    """Whether an Origin has the requested host and port; the scheme may be that of a proxy."""
    try:
        parts = urlsplit(origin)
        requested = urlsplit(f"{parts.scheme}://{authority}")
        ports = parts.port, requested.port
    except ValueError:
        return False
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if default is None or parts.hostname != requested.hostname:
        return False
    return (ports[0] or default) == (ports[1] or default)
