"""The FastAPI application: routes and middleware."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI

from lookalike import __version__
from lookalike.gallery import Gallery
from lookalike.server import openapi, problem_responses
from lookalike.server.app_state import AppState, ServeSettings
from lookalike.server.middleware.access_log import RequestMiddleware
from lookalike.server.middleware.authentication import AuthenticationMiddleware, Authenticator
from lookalike.server.middleware.origin_check import AllowedHosts, OriginCheckMiddleware, SecurityHeadersMiddleware
from lookalike.server.requests.query_parameters import check_body_is_read, check_query_parameters
from lookalike.server.routes import (
    bulk_upload,
    changes,
    cleanup,
    compare,
    docs,
    duplicates,
    folders,
    images,
    jobs,
    keys,
    pipelines,
    search,
    search_batch,
    status,
)
from lookalike.server.url_fetch.fetcher import Fetcher

ROUTERS = (
    bulk_upload,
    folders,
    images,
    search,
    search_batch,
    compare,
    duplicates,
    cleanup,
    jobs,
    changes,
    keys,
    pipelines,
    status,
    docs,
)


def create_app(
    gallery: Gallery,
    access: Authenticator,
    hosts: AllowedHosts,
    *,
    settings: ServeSettings | None = None,
    fetcher: Fetcher | None = None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """The application over an open gallery, which the caller closes; `routers` are further ones, such as the page's."""
    state = AppState(gallery, settings or ServeSettings(), fetcher or Fetcher())
    status.register_gauges(state)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.start()
        try:
            yield
        finally:
            await asyncio.to_thread(state.close)

    app = FastAPI(
        title="Lookalike",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # they load scripts from other hosts; routes/docs.py does not
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_query_parameters), Depends(check_body_is_read)],
    )
    app.state.app_state = state
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    all_routers = [*(module.router for module in ROUTERS), *routers]
    for router in all_routers:
        app.include_router(router)
    problem_responses.install_error_handlers(app, all_routers)
    # From the innermost to the outermost; RequestMiddleware responds to errors raised further in.
    app.add_middleware(AuthenticationMiddleware, access=access)
    app.add_middleware(OriginCheckMiddleware, hosts=hosts)
    app.add_middleware(RequestMiddleware, metrics=state.metrics)
    app.add_middleware(SecurityHeadersMiddleware)
    return app
