"""The application: routes, and the layers around them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from lookalike import __version__
from lookalike.gallery import Gallery
from lookalike.server import openapi, problem_responses
from lookalike.server.app_state import AppState, ServeSettings
from lookalike.server.middleware.access_log import RequestMiddleware
from lookalike.server.middleware.authentication import AuthenticationMiddleware, Authenticator
from lookalike.server.middleware.origin_check import AllowedHosts, OriginCheckMiddleware, SecurityHeadersMiddleware
from lookalike.server.routes import bulk_upload, compare, duplicates, images, jobs, search, status
from lookalike.server.url_fetch.fetcher import Fetcher

ROUTERS = (bulk_upload, images, search, compare, duplicates, jobs, status)


def create_app(
    gallery: Gallery,
    access: Authenticator,
    hosts: AllowedHosts,
    *,
    settings: ServeSettings | None = None,
    fetcher: Fetcher | None = None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """The application over an open gallery, which its maker closes; `routers` are further ones, as the page's.

    It is started and stopped by the lifespan protocol; stopping waits for what is under way.
    """
    context = AppState(gallery, settings or ServeSettings(), fetcher or Fetcher())
    status.register_gauges(context)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        context.start()
        try:
            yield
        finally:
            await asyncio.to_thread(context.close)

    app = FastAPI(
        title="Lookalike",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # they would load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    every = [*(module.router for module in ROUTERS), *routers]
    for router in every:
        app.include_router(router)
    problem_responses.install_error_handlers(app, every)
    # From the inside to the outside.
    app.add_middleware(AuthenticationMiddleware, access=access)
    app.add_middleware(OriginCheckMiddleware, hosts=hosts)
    app.add_middleware(RequestMiddleware, metrics=context.metrics)
    app.add_middleware(SecurityHeadersMiddleware)
    return app
