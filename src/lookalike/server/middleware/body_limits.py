"""A request's body, bounded in bytes and in the time that the server waits for it."""

import asyncio
from http import HTTPStatus
from time import monotonic

from starlette.types import Message, Receive, Send

from lookalike.errors import ImageRejected
from lookalike.server.problem_responses import HttpError

BODY_TIMEOUT = 20.0
"""Seconds that a server waits for a body that does not come."""
MIN_RATE = 4096.0
"""Bytes a second that a body must come with, over the time that the server waited for it, beyond its patience."""


class BodyLimitMiddleware:
    """The `receive` and `send` of one request, in place of the server's own.

    `receive` raises ImageRejected ("too_many_bytes") as soon as more than `max_bytes` came, HttpError (408) for a body
    that comes too slowly. Only the time spent waiting counts, so that a server that is slow itself does not blame the
    client. A response that begins before its request's body has ended closes the connection: the rest is not waited
    for.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        max_bytes: int | None,
        *,
        timeout: float = BODY_TIMEOUT,
        empty: bool = False,
    ) -> None:
        self._receive, self._send = receive, send
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._waited = 0.0
        self._received = 0
        self._ended = empty  # nobody reads a body that is announced to be none

    async def receive(self) -> Message:
        """The next message, in time."""
        if self._ended:
            return await self._receive()  # waits for the client to leave, as long as the answer takes
        began = monotonic()
        try:
            async with asyncio.timeout(self._timeout + self._received / MIN_RATE - self._waited):
                message = await self._receive()
        except TimeoutError:
            waited = self._waited + monotonic() - began
            raise HttpError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body comes too slowly: {self._received:,} bytes in {waited:.0f} seconds",
            ) from None
        self._waited += monotonic() - began
        self._received += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        check_length(self._received, self._max_bytes)
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start" and not self._ended:
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await self._send(message)


def check_length(nbytes: int, max_bytes: int | None) -> None:
    """Raise ImageRejected for a body of so many bytes, where there is a limit and it is beyond."""
    if max_bytes is not None and nbytes > max_bytes:
        raise ImageRejected("too_many_bytes", f"The request has more than {max_bytes:,} bytes, the most it may have.")
