"""Running the application with uvicorn until a signal stops it gracefully, and logging."""

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lookalike.errors import BadSetting
from lookalike.gallery import Gallery
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.app import create_app
from lookalike.server.app_state import ServeSettings
from lookalike.server.middleware.authentication import Authenticator
from lookalike.server.middleware.origin_check import AllowedHosts, allows_keyless, check_binding, is_loopback
from lookalike.server.routes.page import page_router
from lookalike.server.sessions import OneTimeLink, session_router
from lookalike.server.url_fetch.fetcher import Fetcher

HEADER_TIMEOUT = 10.0
"""Seconds from the connection, or the first byte of a further request, to the end of the header."""
WRITE_TIMEOUT = 60.0
"""Seconds for which a client may leave a response unread before the connection is closed."""
UVICORN_SETTINGS: dict[str, Any] = {
    "ws": "none",
    "proxy_headers": False,  # the client address decides on access, so forwarded addresses are not trusted
    "server_header": False,
    "access_log": False,  # it would contain query strings, such as the one-time link; RequestMiddleware logs
    "timeout_keep_alive": 5,
    "h11_max_incomplete_event_size": 32 * 1024,  # maximum header size
    "limit_concurrency": 1000,  # connections including idle ones; beyond, 503
}
"""Settings of `uvicorn.Config` to be used with `http=TimeoutH11Protocol`."""
log = logging.getLogger("lookalike.connections")
SHUTDOWN_TIMEOUT = 30
"""Seconds that running requests may take to finish after a signal."""
BACKLOG = 1024
LOGGERS = ("lookalike", "uvicorn.error")


class TimeoutH11Protocol(H11Protocol):
    """uvicorn's h11 protocol with timeouts for headers and for unread responses."""

    header_timeout = HEADER_TIMEOUT
    write_timeout = WRITE_TIMEOUT

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        # asyncio sets TCP_NODELAY only on sockets with an explicit protocol, which `socket.create_server` does not set:
        # every response would wait about 40 ms for the client's delayed acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._start_header_timer()
        else:
            self._cancel_timer("header")

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer("header")
        self._cancel_timer("write")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cancel_timer("write")
        self._timers["write"] = self.loop.call_later(self.write_timeout, self._abort, "did not read its response")

    def resume_writing(self) -> None:
        self._cancel_timer("write")
        super().resume_writing()

    def _start_header_timer(self) -> None:
        if "header" not in self._timers:
            reason = "did not complete its header"
            self._timers["header"] = self.loop.call_later(self.header_timeout, self._abort, reason)

    def _cancel_timer(self, name: str) -> None:
        if name in self._timers:
            self._timers.pop(name).cancel()

    def _abort(self, reason: str) -> None:
        if not self.transport.is_closing() or self.transport.get_write_buffer_size():
            log.info("closed a connection that %s", reason)
            self.transport.abort()


@dataclass(frozen=True, slots=True)
class BindAddress:
    """The address that a server listens on, and additional host names that it answers to."""

    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()


class _Server(uvicorn.Server):
    """uvicorn's server with callbacks when it is ready, and when it begins to stop."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


def run(
    gallery: Gallery,
    bind: BindAddress,
    *,
    settings: ServeSettings | None = None,
    fetcher: Fetcher | None = None,
    on_ready: Callable[[str], None],
) -> None:
    """Serve a gallery and the page until SIGTERM or SIGINT; `on_ready` is called with the page's URL.

    Raises BadSetting for an address that cannot be bound, or that is not loopback while no API key exists.
    """
    keys = bool(gallery.catalog.api_keys.list_all())
    check_binding(bind.host, bind.allowed_hosts, keys=keys)
    key_cache = ApiKeyCache(gallery.catalog.api_keys.list_all)
    access = Authenticator(key_cache, keyless=allows_keyless(bind.host, bind.allowed_hosts))
    link = OneTimeLink(key_cache) if keys and is_loopback(bind.host) else None  # otherwise proxies could log it
    routers = [page_router, session_router(access, link)]
    hosts = AllowedHosts(bind.host, bind.allowed_hosts)
    with _stop_on_signal(), closing(_bind_socket(bind)) as listener:
        app = create_app(gallery, access, hosts, settings=settings, fetcher=fetcher, routers=routers)
        port = listener.getsockname()[1]
        host = f"[{bind.host}]" if ":" in bind.host else bind.host
        root = f"http://{host}:{port}"
        gallery.announce_server(root)
        url = f"{root}{'/' if link is None else link.path}"
        config = uvicorn.Config(
            app,
            http=TimeoutH11Protocol,
            lifespan="on",
            log_config=None,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
            **UVICORN_SETTINGS,
        )
        _Server(config, lambda: on_ready(url), app.state.app_state.changes.stop).run([listener])


def _bind_socket(bind: BindAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    try:
        return socket.create_server((bind.host, bind.port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadSetting(f"cannot listen on {bind.host}, port {bind.port}: {reason}; choose another --port") from error


class _Stopped(BaseException):
    """Raised at a signal; a BaseException, so that no handler catches it."""


@contextmanager
def _stop_on_signal() -> Iterator[None]:
    """Leave the block at SIGTERM or SIGINT, which uvicorn raises again after it has stopped gracefully."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _Stopped:
        return
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object; `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without a newline."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(*, requests: bool) -> None:
    """Log JSON lines, without API keys and image data, to standard error; without `requests`, warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if requests and name == "lookalike" else logging.WARNING)
