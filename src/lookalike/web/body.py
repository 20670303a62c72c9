"""A request's body, bounded in bytes; how long it may take is settled at the edge."""

from starlette.types import Message, Receive, Send

from lookalike.errors import ImageRejected


class Body:
    """The `receive` and `send` of one request, in place of the server's own.

    `receive` raises ImageRejected ("too_many_bytes") as soon as more than `max_bytes` came. A response that begins
    before its request's body has ended closes the connection: the rest is not waited for.
    """

    def __init__(self, receive: Receive, send: Send, max_bytes: int | None) -> None:
        self._receive, self._send = receive, send
        self._max_bytes = max_bytes
        self._came = 0
        self._ended = False

    async def receive(self) -> Message:
        """The next message, counted."""
        message = await self._receive()
        self._came += len(message.get("body", b""))
        self._ended = self._ended or message["type"] != "http.request" or not message.get("more_body", False)
        check_length(self._came, self._max_bytes)
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
