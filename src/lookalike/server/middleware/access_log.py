"""The outermost layer: request ids, routing by the raw path, a log line and a count each; no error gets past it.

HEAD is answered here for every route at once (RFC 9110, 9.3.2): inside it is a GET, whose body stays here.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

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
"""Where a link works once: who merely looks at it must not spend it, so it is never asked in place of a HEAD."""
CLIENT_CLOSED_REQUEST = 499
"""What the log and the counters say of a request whose sender has gone (nginx's number for it)."""


@dataclass(slots=True)
class RequestLog:
    """One request and its answer, as the log tells of them; `scope` is what the layers within see of it."""

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
        """The route's path with its parameters' names; a key never shows."""
        found = getattr(self.scope.get("route"), "path", None)
        return found if isinstance(found, str) else NO_ROUTE


class RequestMiddleware:
    """ASGI middleware around the whole application; no exception leaves it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        exchange = RequestLog(_request_id(scope), _method(scope), scope)
        scope["state"]["request_id"] = exchange.id
        sending, receiving = self._wrap_send(exchange, send), self._wrap_receive(exchange, receive)
        self._metrics.in_flight.inc()
        try:
            scope["path"] = normalize_path(scope.get("raw_path") or scope["path"].encode())
            if exchange.method == "HEAD" and scope["path"] != SESSION_PATH:
                exchange.scope = {**scope, "method": "GET"}
            await self._app(exchange.scope, receiving, sending)
        except ClientDisconnect:
            exchange.status = CLIENT_CLOSED_REQUEST
        except Exception as error:  # noqa: BLE001 - the last one to catch it: it is told as a problem, and logged
            self._metrics.count_rejection(rejection_reason(error))
            await self._answer(exchange, error, scope, receive, sending)
        except asyncio.CancelledError:
            exchange.status = exchange.status or CLIENT_CLOSED_REQUEST  # or the server is stopping
            raise
        finally:
            self._metrics.in_flight.dec()
            self._log(exchange)

    async def _answer(self, exchange: RequestLog, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        answer = error_response(error, exchange.id)
        if exchange.started:  # left unfinished, the server closes the connection: nobody takes it for whole
            log.warning("an answer broke off", extra={"told": {"id": exchange.id, "error": type(error).__name__}})
            return
        await answer(scope, receive, send)

    def _wrap_receive(self, exchange: RequestLog, receive: Receive) -> Receive:
        async def receiving() -> Message:
            message = await receive()
            nbytes = len(message.get("body", b""))
            exchange.received += nbytes
            self._metrics.received.inc(nbytes)
            return message

        return receiving

    def _wrap_send(self, exchange: RequestLog, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.started = True
                exchange.status = message["status"]
                message = {**message, "headers": _headers(message.get("headers", ()), exchange)}
            else:
                if exchange.method == "HEAD":
                    message = {**message, "body": b""}
                nbytes = len(message.get("body", b""))
                exchange.sent += nbytes
                self._metrics.sent.inc(nbytes)
            await send(message)

        return sending

    def _log(self, exchange: RequestLog) -> None:
        seconds = time.perf_counter() - exchange.began
        status = exchange.status or 500
        self._metrics.observe_request(exchange.method, exchange.route, status, seconds)
        if not log.isEnabledFor(logging.INFO):
            return
        caller = exchange.scope.get("state", {}).get("caller")
        line = {
            "id": exchange.id,
            "method": exchange.method,
            "route": exchange.route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "tenant": getattr(caller, "tenant", None),
            "key": getattr(caller, "key_id", None),
            "received": exchange.received,
            "sent": exchange.sent,
        }
        log.info("request", extra={"told": line})


def normalize_path(raw: bytes) -> str:
    """The path to route by, spelt one way: a slash within a segment stays escaped, all else as RFC 3986 has it.

    So a key may hold anything, and no other spelling of a path reaches past a check of it. Raises BadInput for a path
    that is too long.
    """
    raw = raw.partition(b"?")[0]
    if len(raw) > MAX_PATH_LENGTH:
        raise BadInput(f"the path has more than {MAX_PATH_LENGTH} bytes")
    return "/".join(quote(unquote_to_bytes(segment), safe=_SAFE) for segment in raw.split(b"/"))


def _method(scope: Scope) -> str:
    """The method, those nobody knows under one name."""
    method = str(scope["method"])
    return method if method in _KNOWN_METHODS else "OTHER"


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(given):
                return str(given)
    return uuid.uuid4().hex


def _headers(headers: Iterable[tuple[bytes, bytes]], exchange: RequestLog) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    given.append((b"x-request-id", exchange.id.encode()))
    if b"cache-control" not in names:
        given.append((b"cache-control", b"no-store"))
    return given
