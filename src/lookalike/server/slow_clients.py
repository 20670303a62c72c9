"""Slow-client (slowloris) timeouts for uvicorn: before the header is complete there is no request, so only the protocol
can act. `middleware.body_limits` bounds the time of a request body.
"""

import asyncio
import logging
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

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
