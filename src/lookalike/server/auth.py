"""The authenticated caller, and the FastAPI dependencies that require a scope."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from lookalike.catalog.api_keys import SCOPES, KeyLimits, Scope
from lookalike.errors import AccessDenied

_BEARER = HTTPBearer(auto_error=False, description="An API key, as printed by `lookalike keys create`.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same API key.")


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of a request, determined by the authentication middleware before the body is read.

    `tenant` owns the images of the request. `key_id` is None for a caller on loopback while no API key exists, who has
    every scope. `any_tenant`: the API key is bound to no tenant. `limits` are the key's, or the server's defaults.
    """

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None
    any_tenant: bool
    limits: KeyLimits

    @property
    def is_global_admin(self) -> bool:
        """Whether the caller may do what concerns all tenants."""
        return self.any_tenant and self.has_scope("admin")

    def has_scope(self, scope: Scope) -> bool:
        """Whether the caller has this scope."""
        return scope in self.scopes


def require_scope(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A FastAPI dependency that returns the `Caller` if it has this scope, and raises AccessDenied otherwise."""
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r}")

    async def allowed(
        request: Request,
        _bearer: Annotated[object, Security(_BEARER)] = None,
        _header: Annotated[object, Security(_HEADER)] = None,
    ) -> Caller:
        caller = request.scope.get("state", {}).get("caller")
        if not isinstance(caller, Caller):  # on a public path
            raise AccessDenied("API key required: send it as `Authorization: Bearer lk_...`")
        if not caller.has_scope(scope):
            raise AccessDenied(f"this API key lacks the scope {scope}", authenticated=True)
        return caller

    return allowed


Reads = Annotated[Caller, Depends(require_scope("read"))]
Writes = Annotated[Caller, Depends(require_scope("write"))]
"""Parameters of routes: the caller, who has this scope."""


async def require_global_admin(caller: Annotated[Caller, Depends(require_scope("admin"))]) -> Caller:
    """A FastAPI dependency for operations across tenants; raises AccessDenied for an admin of one tenant."""
    if not caller.any_tenant:
        raise AccessDenied("this needs an admin API key that is bound to no tenant", authenticated=True)
    return caller
