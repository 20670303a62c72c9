"""Request middleware: request ids, path normalization, access log, metrics, HEAD, problem responses for all errors."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.errors import BadInput
from lookalike.server.metrics import NO_ROUTE, Metrics
from lookalike.server.problem_responses import error_response, rejection_reason

log = logging.getLogger("lookalike.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KNOWN_METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())
_SAFE = "!$&'()*+,;=:@~-._"
"""Characters of a path segment that need no escape (RFC 3986, pchar)."""
MAX_PATH_LENGTH = 8192
SESSION_PATH = "/session"
"""Path of the one-time link: HEAD is not mapped to GET, which would redeem it."""
CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client has disconnected, in log and metrics (nginx's code)."""


@dataclass(slots=True)
class RequestLog:
    """One request and its response for the access log; `scope` is that of the inner layers."""

    id: str
    method: str
    scope: Scope
    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    received: int = 0
    sent: int = 0
    started: bool = False

    @property
    def route(self) -> str:
        """The route's path template, which contains no keys."""
        path = getattr(self.scope.get("route"), "path", None)
        return path if isinstance(path, str) else NO_ROUTE


class RequestMiddleware:
    """The outermost ASGI middleware but for the security headers; no exception passes it.

    HEAD is implemented here for every route (RFC 9110, 9.3.2): inner layers see a GET, whose body is discarded.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        method = scope["method"] if scope["method"] in _KNOWN_METHODS else "OTHER"  # for bounded metric labels
        entry = RequestLog(_request_id(scope), method, scope)
        scope["state"]["request_id"] = entry.id
        wrapped_send = self._wrap_send(entry, send)
        self._metrics.in_flight.inc()
        try:
            scope["path"] = normalize_path(scope.get("raw_path") or scope["path"].encode())
            if entry.method == "HEAD" and scope["path"] != SESSION_PATH:
                entry.scope = {**scope, "method": "GET"}
            await self._app(entry.scope, self._wrap_receive(entry, receive), wrapped_send)
        except ClientDisconnect:
            entry.status = CLIENT_CLOSED_REQUEST
        except Exception as error:  # noqa: BLE001 - the last handler: it responds with a problem, and logs
            self._metrics.count_rejection(rejection_reason(error))
            response = error_response(error, entry.id)
            if entry.started:  # uvicorn then closes the connection, so that the client notices the incomplete response
                log.warning("response aborted", extra={"fields": {"id": entry.id, "error": type(error).__name__}})
            else:
                await response(scope, receive, wrapped_send)
        except asyncio.CancelledError:
            entry.status = entry.status or CLIENT_CLOSED_REQUEST  # or the server is stopping
            raise
        finally:
            self._metrics.in_flight.dec()
            self._log(entry)

    def _wrap_receive(self, entry: RequestLog, receive: Receive) -> Receive:
        async def wrapped() -> Message:
            message = await receive()
            nbytes = len(message.get("body", b""))
            entry.received += nbytes
            self._metrics.received.inc(nbytes)
            return message

        return wrapped

    def _wrap_send(self, entry: RequestLog, send: Send) -> Send:
        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.started = True
                entry.status = message["status"]
                message = {**message, "headers": _headers(message.get("headers", ()), entry)}
            else:
                if entry.method == "HEAD":
                    message = {**message, "body": b""}
                nbytes = len(message.get("body", b""))
                entry.sent += nbytes
                self._metrics.sent.inc(nbytes)
            await send(message)

        return wrapped

    def _log(self, entry: RequestLog) -> None:
        seconds = time.perf_counter() - entry.began
        status = entry.status or 500
        self._metrics.observe_request(entry.method, entry.route, status, seconds)
        if not log.isEnabledFor(logging.INFO):
            return
        caller = entry.scope.get("state", {}).get("caller")
        line = {
            "id": entry.id,
            "method": entry.method,
            "route": entry.route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "tenant": getattr(caller, "tenant", None),
            "key": getattr(caller, "key_id", None),
            "received": entry.received,
            "sent": entry.sent,
        }
        log.info("request", extra={"fields": line})


def normalize_path(raw: bytes) -> str:
    """The path for routing, percent-encoded by RFC 3986; raises BadInput for one that is too long.

    A slash in a segment stays escaped: keys may contain any character, and no other encoding bypasses a check.
    """
    raw = raw.partition(b"?")[0]
    if len(raw) > MAX_PATH_LENGTH:
        raise BadInput(f"the path has more than {MAX_PATH_LENGTH} bytes")
    return "/".join(quote(unquote_to_bytes(segment), safe=_SAFE) for segment in raw.split(b"/"))


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).getlist("x-request-id")
    return next((value for value in given if _REQUEST_ID.fullmatch(value)), uuid.uuid4().hex)


def _headers(headers: Iterable[tuple[bytes, bytes]], entry: RequestLog) -> list[tuple[bytes, bytes]]:
    extended = [*headers, (b"x-request-id", entry.id.encode())]
    if all(name.lower() != b"cache-control" for name, _ in extended):
        extended.append((b"cache-control", b"no-store"))
    return extended
