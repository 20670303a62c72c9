"""Who calls: the value that every route gets, and the dependency that asks for a scope."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from lookalike.catalog.api_keys import SCOPES, KeyLimits, Scope
from lookalike.errors import AccessDenied

_BEARER = HTTPBearer(auto_error=False, description="An access key, as `lookalike keys create` shows it once.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same access key.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what for: made by `admission` before anything of the body is read.

    `tenant` is whose images the call is about. `key_id` is None for a caller on loopback while no key exists, who
    may do everything. `any_tenant` callers chose the tenant themselves. `limits` are the key's, or the server's where
    the key has none.
    """

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None
    any_tenant: bool
    limits: KeyLimits

    def has_scope(self, scope: Scope) -> bool:
        """Whether the caller has this scope."""
        return scope in self.scopes


def caller_from(request: Request) -> Caller | None:
    """The caller that the middleware recognised; None on paths that are open to everybody."""
    found = request.scope.get("state", {}).get("caller")
    return found if isinstance(found, Caller) else None


def require_scope(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A FastAPI dependency that gives the `Caller`, if it has this scope; raises AccessDenied otherwise."""
    if scope not in SCOPES:
        raise ValueError(f"no scope is called {scope!r}")

    async def allowed(
        request: Request,
        _bearer: Annotated[object, Security(_BEARER)] = None,
        _header: Annotated[object, Security(_HEADER)] = None,
    ) -> Caller:
        caller = caller_from(request)
        if caller is None:
            raise AccessDenied("this needs an access key: send it as `Authorization: Bearer lk_...`")
        if not caller.has_scope(scope):
            raise AccessDenied(f"this key may not {scope}; use one with the scope {scope}", authenticated=True)
        return caller

    return allowed


async def require_global_admin(caller: Annotated[Caller, Depends(require_scope("admin"))]) -> Caller:
    """A FastAPI dependency for what concerns all tenants together; raises AccessDenied for an admin of one."""
    if not caller.any_tenant:
        raise AccessDenied("this needs an admin's key that is bound to no tenant", authenticated=True)
    return caller
