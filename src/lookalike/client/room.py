"""What the rooms of the client stand on: a connection to one service, and whose images are meant."""

import base64
import json
from types import TracebackType
from typing import Self
from urllib.parse import quote

from lookalike.client.responses import Object, parse, record_of
from lookalike.client.transport import Request, RetryPolicy, Transport
from lookalike.errors import BadInput, NotFound
from lookalike.imaging import Limits
from lookalike.results import DEFAULT_TENANT
from lookalike.types import Record

PAGE = 1000
"""Records, and keys to remove, of one request."""


class Room:
    """One service. The rooms of `Client` are subclasses that add methods by subject."""

    def __init__(self, url: str, key: str | None = None, tenant: str | None = None, *, timeout: float = 60.0) -> None:
        self._transport = Transport(url, key, timeout)
        self._tenant = tenant or DEFAULT_TENANT
        self._limits = Limits()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _json(
        self, method: str, path: str, tenant: str, body: Object | None = None, repeat: RetryPolicy = "always"
    ) -> Object:
        sent = {} if body is None else {"json": body}
        return self._transport.json(Request(method, path, repeat, self._headers(tenant), body=lambda: sent))

    def _record(self, told: Object, tenant: str) -> Record:
        return parse(lambda told: record_of(told, self._named(tenant)), told)

    def _named(self, tenant: str) -> str:
        return self._tenant if tenant == DEFAULT_TENANT else tenant

    def _headers(self, tenant: str | None) -> dict[str, str]:
        """Whose images; the service knows which tenant a key belongs to, and what the default is."""
        name = self._named(tenant or DEFAULT_TENANT)
        return {} if name == DEFAULT_TENANT else {"X-Tenant": quote(name, safe="")}


def path_of(key: str) -> str:
    """The address of an image; raises BadInput for a key that no image can have."""
    if not key:
        raise BadInput("an image needs a key that is not empty")
    try:
        quoted = quote(key, safe="")
    except UnicodeEncodeError:
        raise NotFound(f"there is no image {key!r}") from None
    return f"/v1/images/{quoted.replace('.', '%2E') if set(key) == {'.'} else quoted}"


def cursor_of(after: str) -> str:
    """A list's cursor is the last key as JSON, in base64; made here so that any key can be gone on from."""
    return base64.urlsafe_b64encode(json.dumps(after).encode()).rstrip(b"=").decode()
