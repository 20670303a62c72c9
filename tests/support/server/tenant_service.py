"""Whole services for tests of tenants: a gallery, its keys, the real application, and what a caller sees of it."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
from fastapi.testclient import TestClient

from lookalike.catalog.api_keys import KeyLimits
from lookalike.config import GallerySettings, from_environment
from lookalike.factory import create_gallery, open_gallery
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.app import create_app
from lookalike.server.app_state import ServeSettings
from lookalike.server.middleware.authentication import Authenticator
from lookalike.server.middleware.origin_check import AllowedHosts
from lookalike.server.url_fetch.fetcher import Fetcher
from tests.support.drawn_images import drawn, encoded
from tests.support.waiting import HANG_SECONDS

TENANTS = ("alice", "bob")
KEYS = ("a", "b/ü", "c d")
IMAGES = (
    encoded(drawn(1)),
    encoded(drawn(1), "JPEG", quality=60),
    encoded(drawn(1, (320, 240))),
    encoded(drawn(2)),
    b"no image",
)
GLOBAL = frozenset({"sequence", "behind", "saved_at"})
"""Members whose values follow all tenants' writes; docs/security.md says so."""
VARYING = GLOBAL | {"created", "updated", "took_ms", "run"}
CURSORS = frozenset({"next"})


class World:
    """One service with one key for each tenant, and one that is bound to none."""

    url = ""

    def __init__(self, folder: Path, fetcher: Fetcher | None = None) -> None:
        create_gallery(folder, GallerySettings(("phash",)), from_environment({}))
        self.service = open_gallery(folder, settings=from_environment({}))
        self.tokens: dict[str, str] = {}
        for tenant in TENANTS:
            self.welcome(tenant)
        self.tokens["reader"] = self.service.catalog.api_keys.create("read", tenant="alice")[1]
        self.tokens["alice's admin"] = self.service.catalog.api_keys.create("admin", tenant="alice")[1]
        self.tokens["root"] = self.service.catalog.api_keys.create("admin")[1]
        ring = ApiKeyCache(self.service.catalog.api_keys.list_all, seconds=0)
        access = Authenticator(ring, keyless=False, defaults=KeyLimits())
        settings = ServeSettings(threads=2, local_files=True)
        self.app = create_app(self.service, access, AllowedHosts("127.0.0.1"), settings=settings, fetcher=fetcher)
        self.client = TestClient(self.app, base_url="http://127.0.0.1")
        self.jobs: dict[str, str] = {}
        self.plans: dict[str, str] = {}
        self.cursors: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__(None, None, None)
        self.service.close()

    def welcome(self, tenant: str) -> None:
        """Give a tenant a key to write with."""
        self.tokens[tenant] = self.service.catalog.api_keys.create("write", tenant=tenant)[1]

    def send(self, who: str | None, method: str, path: str, **given: Any) -> httpx.Response:
        """One request, with somebody's key."""
        headers = dict(given.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        return self.client.request(method, path, headers=headers, **given)

    def finished(self, who: str, id_: str) -> httpx.Response:
        """A job, when it has ended."""
        until = time.monotonic() + HANG_SECONDS
        while True:
            answer = self.send(who, "GET", f"/v1/jobs/{id_}")
            if answer.status_code != 200 or answer.json()["state"] not in ("queued", "running"):
                return answer
            assert time.monotonic() < until
            time.sleep(0.01)


@dataclass(frozen=True)
class Step:
    """One thing that a tenant does; numbers choose what to do it with."""

    who: str
    does: str
    numbers: tuple[int, ...]
    other: str = "nobody"

    def pick(self, place: int, options: tuple[Any, ...]) -> Any:
        """One of the options."""
        return options[self.numbers[place] % len(options)]


@dataclass(frozen=True)
class Seen:
    """What a caller learns from an answer, but for what everybody knows to vary."""

    status: int
    headers: Mapping[str, str]
    body: Any


def path_of(key: str) -> str:
    """The path of an image."""
    return f"/v1/images/{quote(key, safe='')}"


def seen(answer: httpx.Response) -> Seen:
    """An answer without times, sequence numbers and random names."""
    kept = {name: answer.headers[name] for name in ("content-type", "etag", "cache-control") if name in answer.headers}
    if re.fullmatch(r'"\d+"', kept.get("etag", "")):
        kept["etag"] = "a sequence number"
    kind = kept.get("content-type", "")
    if "json" not in kind:
        return Seen(answer.status_code, kept, answer.content)
    if "ndjson" in kind:
        return Seen(answer.status_code, kept, [plain(json.loads(line)) for line in answer.content.splitlines()])
    return Seen(answer.status_code, kept, plain(answer.json()))


def plain(value: Any, name: str = "") -> Any:
    """A JSON value with what varies written as *."""
    if value is not None and (name in VARYING or name in CURSORS or name == "instance"):
        return "*"
    if isinstance(value, dict):
        return {key: plain(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if name == "detail" and isinstance(value, str):
        return re.sub(r"\b\d+\b", "#", re.sub(r"\b[0-9a-f]{32}\b", "H", value))
    if name in ("id", "plan") and re.fullmatch(r"[0-9a-f]{32}", str(value)):
        return "H"
    return value
