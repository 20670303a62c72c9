"""Serving an application on a socket, until a signal says stop; then what is under way is finished first."""

import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

import uvicorn
from fastapi import FastAPI

from lookalike.errors import BadSetting
from lookalike.gallery import Gallery
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.app import create_app
from lookalike.server.app_state import ServeSettings
from lookalike.server.middleware.authentication import Authenticator
from lookalike.server.middleware.origin_check import AllowedHosts, check_binding, is_loopback, may_be_keyless
from lookalike.server.routes.page import page_router
from lookalike.server.sessions import OneTimeLink, session_router
from lookalike.server.slow_clients import UVICORN, TimeoutH11Protocol
from lookalike.server.url_fetch.fetcher import Fetcher

SHUTDOWN_TIMEOUT = 30
"""How long requests under way may take to end after a signal."""
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class BindAddress:
    """Where a server listens, and the further names by which it is known."""

    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()


class _Server(uvicorn.Server):
    """uvicorn's server, telling when it is up."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._up()


def run(
    service: Gallery,
    where: BindAddress,
    *,
    settings: ServeSettings | None = None,
    fetcher: Fetcher | None = None,
    up: Callable[[str], None],
) -> None:
    """Serve a gallery and the page until SIGTERM or SIGINT; `up` is given the page's URL once it can be opened.

    Raises BadSetting for a place that cannot be listened at, or that others could reach while there is no access key.
    """
    keys = bool(service.catalog.api_keys.list_all())
    check_binding(where.host, where.allowed_hosts, keys=keys)
    ring = ApiKeyCache(service.catalog.api_keys.list_all)
    access = Authenticator(ring, keyless=may_be_keyless(where.host, where.allowed_hosts))
    link = OneTimeLink(ring) if keys and is_loopback(where.host) else None  # elsewhere, logs would carry it about
    routers = [page_router, session_router(access, link)]
    hosts = AllowedHosts(where.host, where.allowed_hosts)
    with _stopping(), closing(_listening(where)) as listening:
        app = create_app(service, access, hosts, settings=settings, fetcher=fetcher, routers=routers)
        port = listening.getsockname()[1]
        host = f"[{where.host}]" if ":" in where.host else where.host
        url = f"http://{host}:{port}{'/' if link is None else link.path}"
        _serve(app, [listening], lambda: up(url))


def _serve(app: FastAPI, sockets: Sequence[socket.socket], up: Callable[[], None]) -> None:
    config = uvicorn.Config(
        app,
        http=TimeoutH11Protocol,
        lifespan="on",
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
        **UVICORN,
    )
    _Server(config, up).run(list(sockets))


def _listening(where: BindAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    try:
        return socket.create_server((where.host, where.port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadSetting(f"cannot listen on {where.host}, port {where.port}: {why}; choose another --port") from error


@contextmanager
def _stopping() -> Iterator[None]:
    """Leave this block when SIGTERM or SIGINT comes, so that what is open is closed.

    uvicorn ends gracefully at either and then raises it again, for whoever was there before.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _Stopped:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stopped(BaseException):
    """A signal has come; nothing on the way catches it."""
