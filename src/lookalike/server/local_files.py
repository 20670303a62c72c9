"""Access to the files of images: for callers on this machine, or where the operator allows it."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from lookalike.catalog.api_keys import Scope
from lookalike.errors import AccessDenied
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.middleware.authentication import PROXY_HEADERS
from lookalike.server.middleware.origin_check import is_loopback_address

REMEDY = "use the server on its own machine, or have it started with --local-files"


def allows_local_files(request: Request, state: AppState) -> bool:
    """Whether this request may see and change files; by default those from loopback that no proxy forwarded."""
    if state.settings.local_files is not None:
        return state.settings.local_files
    forwarded = any(name in request.headers for name in PROXY_HEADERS)
    return request.client is not None and is_loopback_address(request.client.host) and not forwarded


def require_local_files(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A FastAPI dependency that returns the `Caller`, with this scope and access to files; raises AccessDenied."""

    async def allowed(
        request: Request, state: State, caller: Annotated[Caller, Depends(require_scope(scope))]
    ) -> Caller:
        if not allows_local_files(request, state):
            raise AccessDenied(f"this server does not give access to its files: {REMEDY}", authenticated=True)
        return caller

    return allowed
