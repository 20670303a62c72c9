"""A tiny application behind the real layers, for tests of who is let in."""

import asyncio
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from lookalike.catalog import Catalog
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.auth import Caller, require_scope
from lookalike.server.metrics import Metrics
from lookalike.server.middleware.access_log import RequestMiddleware
from lookalike.server.middleware.authentication import AuthenticationMiddleware, Authenticator, RateLimiter
from lookalike.server.middleware.origin_check import AllowedHosts, OriginCheckMiddleware, SecurityHeadersMiddleware
from lookalike.server.problem_responses import install_error_handlers
from lookalike.server.sessions import OneTimeLink, session_router

Reads = Annotated[Caller, Depends(require_scope("read"))]
Writes = Annotated[Caller, Depends(require_scope("write"))]
Admins = Annotated[Caller, Depends(require_scope("admin"))]


def routes() -> FastAPI:
    """An application with a route for each scope, one that forgot to ask for any, and ones that take their time."""
    app = FastAPI(openapi_url=None)
    app.state.app_state = type("Context", (), {"metrics": Metrics()})()
    install_error_handlers(app)

    @app.get("/v1/who")
    async def who(caller: Reads) -> dict[str, Any]:
        return {
            "tenant": caller.tenant,
            "scopes": sorted(caller.scopes),
            "key": caller.key_id,
            "any": caller.any_tenant,
        }

    @app.post("/v1/echo")
    async def echo(request: Request, _: Writes) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.post("/v1/early")
    async def early(_: Writes) -> dict[str, str]:
        return {"read": "nothing"}

    @app.get("/v1/boss")
    async def boss(_: Admins) -> str:
        return "yes"

    @app.get("/v1/forgot")
    async def forgot() -> str:
        return "open to whoever is let in"

    @app.get("/v1/wait")
    async def wait(_: Reads, seconds: float = 0.5) -> str:
        await asyncio.sleep(seconds)
        return "waited"

    @app.get("/v1/big")
    async def big(_: Reads) -> PlainTextResponse:
        return PlainTextResponse("x" * 50_000_000)

    @app.get("/", response_class=PlainTextResponse)
    @app.get("/page/{name:path}", response_class=PlainTextResponse)
    @app.get("/healthz", response_class=PlainTextResponse)
    async def anybody() -> str:
        return "open"

    @app.post("/page/upload")
    async def upload(request: Request) -> int:
        return len(await request.body())

    return app


def layered(access: Authenticator, hosts: AllowedHosts | None = None, link: OneTimeLink | None = None) -> ASGIApp:
    """The tiny application in all its layers."""
    app = routes()
    app.include_router(session_router(access, link))
    inner = OriginCheckMiddleware(AuthenticationMiddleware(app, access), hosts or AllowedHosts("127.0.0.1"))
    return SecurityHeadersMiddleware(RequestMiddleware(inner, Metrics()))


def ring_of(catalog: Catalog, seconds: float = 0.0) -> ApiKeyCache:
    """The keys of a catalog, read again at each request by default."""
    return ApiKeyCache(catalog.api_keys.list_all, seconds=seconds)


def client_of(
    catalog: Catalog,
    *,
    keyless: bool = True,
    hosts: AllowedHosts | None = None,
    limiter: RateLimiter | None = None,
    link: bool = False,
    peer: str = "127.0.0.1",
) -> TestClient:
    """A client of the application, at an address of its choice."""
    ring = ring_of(catalog)
    access = Authenticator(ring, keyless=keyless, limiter=limiter)
    first = OneTimeLink(ring) if link else None
    client = TestClient(layered(access, hosts, first), base_url="http://127.0.0.1:8000", client=(peer, 50_000))
    client.link = first  # type: ignore[attr-defined]
    return client


def bearing(token: str, **others: str) -> dict[str, str]:
    """The headers of a request with a key."""
    return {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in others.items()}}
