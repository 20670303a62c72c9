"""Limits of a request body: bytes, and the time spent waiting for it."""

import asyncio
from http import HTTPStatus
from time import monotonic

from starlette.types import Message, Receive, Send

from lookalike.errors import ImageRejected
from lookalike.server.problem_responses import HttpError

BODY_TIMEOUT = 20.0
"""Seconds that the server waits for a body, besides the time that its bytes allow by `MIN_RATE`."""
MIN_RATE = 4096.0
"""Minimum bytes per second of a body over the time waited for it, beyond the timeout."""


class BodyLimitMiddleware:
    """Wraps the `receive` and `send` of one request.

    `receive` raises ImageRejected ("too_many_bytes") as soon as more than `max_bytes` have been received, HttpError
    (408) for a body that arrives too slowly. Only the time spent waiting counts, so that a slow server does not blame
    the client. A response that starts before the end of the body closes the connection, instead of reading the rest.
    """

    def __init__(
        self, receive: Receive, send: Send, max_bytes: int | None, *, timeout: float = BODY_TIMEOUT, empty: bool = False
    ) -> None:
        self._receive, self._send = receive, send
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._waited = 0.0
        self._received = 0
        self._ended = empty  # without a body, nothing is to be received

    async def receive(self) -> Message:
        """The next message; raises as the class describes."""
        if self._ended:
            return await self._receive()  # waits for the disconnect, without a timeout
        started = monotonic()
        try:
            async with asyncio.timeout(self._timeout + self._received / MIN_RATE - self._waited):
                message = await self._receive()
        except TimeoutError:
            waited = self._waited + monotonic() - started
            raise HttpError(
                HTTPStatus.REQUEST_TIMEOUT, f"request body too slow: {self._received:,} bytes in {waited:.0f} seconds"
            ) from None
        self._waited += monotonic() - started
        self._received += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        check_length(self._received, self._max_bytes)
        return message

    async def send(self, message: Message) -> None:
        """Send a message, with `Connection: close` if the body was not read to its end."""
        if message["type"] == "http.response.start" and not self._ended:
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await self._send(message)


def check_length(nbytes: int, max_bytes: int | None) -> None:
    """Raise ImageRejected for a body of more than `max_bytes` (None: no limit)."""
    if max_bytes is not None and nbytes > max_bytes:
        raise ImageRejected("too_many_bytes", f"The request body exceeds the limit of {max_bytes:,} bytes.")
