"""Keeps other sites' pages from driving a server, and pages of this one from doing more than they should.

A server on loopback trusts whoever sits at the machine, and so, unless this module looks, every page in that person's
browser: by a request across sites, or by a name that is made to point at 127.0.0.1 after the page has been loaded
(DNS rebinding).

The middleware of an application, outermost first: `SecurityHeaders`, `access_log.RequestMiddleware` (handles errors
raised further in), `OriginCheckMiddleware`, `authentication.AuthenticationMiddleware`, the routes. `guarded` puts the
two in the middle around the routes.
"""

from collections.abc import Collection, Iterable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.errors import AccessDenied, BadInput, BadSetting
from lookalike.server.middleware.authentication import AuthenticationMiddleware, Authenticator

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",  # blob: a chosen image, and thumbnails that need an API key
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
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
"""What decides an answer besides its path, as Vary tells caches."""
REMEDY = "make one first: lookalike keys create --scope admin"


def is_loopback(host: str) -> bool:
    """Whether a host, as a name or an address without brackets, is this machine for itself alone."""
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(host: str | None, allowed_hosts: Collection[str], *, keys: bool) -> None:
    """Raise BadSetting for a server that others could reach while no access key was ever made.

    `host` is where it will listen, None for a socket in the file system; `allowed_hosts` are names it is to be known
    by, which means a proxy before it.
    """
    if keys or allows_keyless(host, allowed_hosts):
        return
    if host is not None and not is_loopback(host):
        raise BadSetting(f"without an access key the service listens on loopback only, not on {host}; {REMEDY}")
    raise BadSetting(f"without an access key the service answers to the names of loopback only; {REMEDY}")


def allows_keyless(host: str | None, allowed_hosts: Collection[str]) -> bool:
    """Whether a server so bound may serve callers without a key, as long as none was ever made."""
    return (host is None or is_loopback(host)) and not allowed_hosts


class AllowedHosts:
    """The names that a server answers to.

    Loopback's always; with `bound` on loopback, besides them only `allowed`. A server that listens elsewhere has keys
    and may have many names: it answers to any, unless `allowed` says which.
    """

    def __init__(self, bound: str | None, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(_name(host) for host in allowed)
        self._any = bound is not None and not is_loopback(bound) and not self._allowed

    def check(self, authority: str) -> None:
        """Raise AccessDenied for a Host header that is none of them."""
        host = parse_host(authority)
        if not (self._any or is_loopback(host) or host in self._allowed):
            raise AccessDenied(
                f"this server does not answer to the name {host!r}; allow it: lookalike serve --allow-host {host}",
                authenticated=True,
            )


class OriginCheckMiddleware:
    """ASGI middleware that refuses requests for another host's name, and those that another site's page makes.

    What a browser says of itself decides (Host, Sec-Fetch-Site, Origin); programs do not send the last two. A link on
    another site may open the page, by plain navigation, and nothing else. There is no CORS and there are no WebSockets.
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
            named = headers.getlist("host")
            if len(named) != 1:
                raise BadInput("a request has exactly one Host header")
            self._hosts.check(named[0])
            if not _is_page_navigation(scope, headers):
                _check_site(headers, named[0])
        await self._app(scope, receive, send)


class SecurityHeadersMiddleware:
    """ASGI middleware that adds to every answer the headers of `SECURITY_HEADERS` that it lacks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list(message.get("headers", ()))}
                headers = MutableHeaders(raw=message["headers"])
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/v1/"):
                    headers.add_vary_header(CALLER_HEADERS)
            await send(message)

        await self._app(scope, receive, sending)


def guarded(app: ASGIApp, access: Authenticator, hosts: AllowedHosts) -> ASGIApp:
    """The routes behind origin check and authentication; `RequestMiddleware` must wrap it to answer their errors."""
    return OriginCheckMiddleware(AuthenticationMiddleware(app, access), hosts)


def parse_host(authority: str) -> str:
    """The host of `host:port`, in lower case, without brackets; raises BadInput where there is none."""
    try:
        parts = urlsplit(f"//{authority}")
        host = parts.hostname if parts.port is None or parts.port else None
    except ValueError:
        host = None
    if not host or "@" in authority or "/" in authority:
        raise BadInput("the Host header is not a host with a port")
    return _name(host)


def _name(host: str) -> str:
    bare = host.strip().removeprefix("[").removesuffix("]").lower().removesuffix(".")
    try:
        address = ip_address(bare)
    except ValueError:
        return bare
    return address.compressed if isinstance(address, IPv6Address) else str(address)


def _is_page_navigation(scope: Scope, headers: Headers) -> bool:
    return bool(
        scope["method"] == "GET"
        and scope["path"] in ("/", "/session")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _check_site(headers: Headers, authority: str) -> None:
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        raise AccessDenied(f"a page of another site ({site}) may not use this service", authenticated=True)
    for origin in headers.getlist("origin"):
        if not _same_origin(origin, authority):
            raise AccessDenied(f"a page of {origin[:100]} may not use this service", authenticated=True)


def _same_origin(origin: str, authority: str) -> bool:
    """Whether an Origin names the host and port asked; its scheme may be that of a proxy before this server."""
    try:
        parts = urlsplit(origin)
        asked = urlsplit(f"{parts.scheme}://{authority}")
        ports = parts.port, asked.port
    except ValueError:
        return False
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if default is None or parts.hostname != asked.hostname:
        return False
    return (ports[0] or default) == (ports[1] or default)
