"""The whole application over a real gallery, and a client of it."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi.testclient import TestClient
from httpx import Response

from lookalike.config import from_environment
from lookalike.factory import open_gallery
from lookalike.gallery import Gallery
from lookalike.imaging import Limits
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.app import create_app
from lookalike.server.app_state import ServeSettings
from lookalike.server.middleware.authentication import Authenticator
from lookalike.server.middleware.origin_check import AllowedHosts
from lookalike.server.serve import UVICORN_SETTINGS, TimeoutH11Protocol
from lookalike.server.url_fetch.fetcher import Fetcher
from tests.support.drawn_images import drawn, encoded

JPEG = {"Content-Type": "image/jpeg"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def application(gallery: Gallery, settings: ServeSettings | None = None, fetcher: Fetcher | None = None) -> Any:
    """The application as `serve` makes it, on loopback."""
    ring = ApiKeyCache(gallery.catalog.api_keys.list_all, seconds=0.0)
    access = Authenticator(ring, keyless=True)
    return create_app(gallery, access, AllowedHosts("127.0.0.1"), settings=settings, fetcher=fetcher)


@contextmanager
def serving(
    folder: Path,
    settings: ServeSettings | None = None,
    fetcher: Fetcher | None = None,
    limits: Limits | None = None,
) -> Iterator[tuple[TestClient, Gallery]]:
    """A client of a fresh gallery of hashes in this folder."""
    own = replace(from_environment({}), limits=limits or Limits(), workers=1)
    with open_gallery(folder, pipelines=["phash"], serving=True, settings=own, create=True) as gallery:
        app = application(gallery, settings, fetcher)
        with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as client:
            yield client, gallery


def at(key: str) -> str:
    """The path of an image."""
    return f"/v1/images/{quote(key, safe='')}"


def put(client: TestClient, key: str, seed: int, **attributes: Any) -> Response:
    """Put a drawn image."""
    params = {"attributes": json.dumps(attributes)} if attributes else {}
    answer = client.put(at(key), content=encoded(drawn(seed)), params=params)
    assert answer.status_code in (200, 201), answer.text
    return answer


def problem(answer: Response, status: int, kind: str) -> dict[str, Any]:
    """The problem in an answer, which must be one of this status and kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    reply: dict[str, Any] = answer.json()
    assert reply["type"] == f"urn:lookalike:error:{kind}", reply
    assert reply["status"] == status
    assert reply["instance"] == answer.headers["x-request-id"]
    assert reply["title"]
    assert reply["detail"]
    return reply


def lines(answer: Response) -> list[dict[str, Any]]:
    """The outcomes of an answer, of lines or in one object, and at last an error of the whole, as lines have it."""
    if answer.headers["content-type"].startswith("application/x-ndjson"):
        return [json.loads(line) for line in answer.text.splitlines()]
    reply = answer.json()
    assert set(reply) == {"outcomes", "error"}
    outcomes: list[dict[str, Any]] = reply["outcomes"]
    return outcomes if reply["error"] is None else [*outcomes, {"error": reply["error"]}]


@contextmanager
def live(folder: Path, settings: ServeSettings | None = None) -> Iterator[tuple[str, Gallery]]:
    """The URL of a server on a real socket, in a thread of this process, over a fresh gallery of hashes."""
    own = replace(from_environment({}), workers=1)
    with open_gallery(folder, pipelines=["phash"], serving=True, settings=own, create=True) as gallery:
        listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        config = uvicorn.Config(
            application(gallery, settings), http=TimeoutH11Protocol, lifespan="on", log_config=None, **UVICORN_SETTINGS
        )
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", gallery
        finally:
            server.should_exit = True
            thread.join(60)
            listening.close()
