"""Connections that nobody can hold for nothing: what uvicorn lacks against clients that send or read too slowly.

`body` bounds a body's time; before a request's header has ended there is no request, and no layer above can act.
"""

import asyncio
import logging
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_TIMEOUT = 10.0
"""From the connection, or the first byte of a further request, to the end of the header."""
WRITE_TIMEOUT = 60.0
"""So long a client may leave an answer unread before the connection is cut."""
UVICORN_SETTINGS: dict[str, Any] = {
    "ws": "none",
    "proxy_headers": False,  # who the client is decides what it may do: nobody else is believed about that
    "server_header": False,
    "access_log": False,  # it would show queries, and the page's link among them; the edge logs
    "timeout_keep_alive": 5,
    "h11_max_incomplete_event_size": 32 * 1024,  # the longest header
    "limit_concurrency": 1000,  # connections, idle ones too; more are answered with 503
}
"""The settings of `uvicorn.Config` that go with it, besides `http=TimeoutH11Protocol`."""
log = logging.getLogger("lookalike.connections")


class TimeoutH11Protocol(H11Protocol):
    """uvicorn's own protocol, with an end to patience."""

    header_timeout = HEADER_TIMEOUT
    write_timeout = WRITE_TIMEOUT
    _header_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets it only where a socket knows its protocol, which those of `socket.create_server` do not: every
        # answer would then wait some 40 ms for the client's delayed acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._start_header_timer()
        else:
            self._cancel_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_header_timer()
        self._cancel_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cancel_write_timer()
        self._write_timer = self.loop.call_later(self.write_timeout, self._abort, "left its answer unread")

    def resume_writing(self) -> None:
        self._cancel_write_timer()
        super().resume_writing()

    def _start_header_timer(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_timeout, self._abort, "did not end its header")

    def _cancel_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _abort(self, why: str) -> None:
        if not self.transport.is_closing() or self.transport.get_write_buffer_size():
            log.info("cut a connection that %s", why)
            self.transport.abort()
