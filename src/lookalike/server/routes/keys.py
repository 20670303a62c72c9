"""API keys: list, create, rotate and revoke them. Admins whose key is bound to a tenant manage that tenant's keys."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from lookalike.catalog.api_keys import MAX_LIFETIME, MAX_NAME_LENGTH, ApiKey, KeyLimits
from lookalike.errors import AccessDenied, NotFound
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.requests.images import read_json_object, validate
from lookalike.server.schemas import RequestModel, documented_responses, example_config, json_body, json_response
from lookalike.wire.keys import ApiKey as ApiKeyObject
from lookalike.wire.keys import ApiKeyList, NewApiKey

router = APIRouter(prefix="/v1", tags=["keys"])
DEFAULT_GRACE = 3600.0
"""Seconds for which a rotated key still works."""

Admins = Annotated[Caller, Depends(require_scope("admin"))]
KeyId = Annotated[str, Path(description="The id of an API key.", min_length=1)]
Limit = Annotated[float | None, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int | None, Field(gt=0, le=2**62)]


class KeyLimitsJson(RequestModel):
    """Limits of an API key; those that are left out are the server's."""

    rate: Limit = Field(None, description="Requests per second, on average.")
    burst: Count = Field(None, description="Requests that may arrive at once.")
    concurrency: Count = Field(None, description="Requests that may be in progress.")
    body_bytes: Count = Field(None, description="Maximum size of a request.")
    pixels: Count = Field(None, description="Maximum width times height of an image.")


class CreateKey(RequestModel):
    """An API key to create."""

    model_config = example_config({"scope": "read", "label": "shop window", "lifetime": 7_776_000})

    scope: Literal["read", "write", "admin"] = "read"
    tenant: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="By default that of the request: `X-Tenant`, or the caller's.",
    )
    any_tenant: bool = Field(
        default=False, description="Let requests choose the tenant; only for admins whose key is bound to none."
    )
    label: str = Field("", max_length=MAX_NAME_LENGTH)
    limits: KeyLimitsJson | None = None
    lifetime: float | None = Field(
        None, gt=0, le=MAX_LIFETIME, description="Seconds until the key expires; by default it does not."
    )


@router.get(
    "/keys",
    operation_id="listKeys",
    summary="List API keys",
    response_model=ApiKeyList,
    responses=documented_responses(),
)
async def list_keys(state: State, caller: Admins) -> Response:
    """Without their secrets; revoked and expired ones included."""
    keys = await state.executor.run(state.gallery.catalog.api_keys.list_all)
    return json_response(ApiKeyList([ApiKeyObject.of(key) for key in keys if _manages(caller, key)]))


@router.post(
    "/keys",
    operation_id="createKey",
    summary="Create an API key",
    status_code=201,
    response_model=NewApiKey,
    responses=documented_responses(),
    openapi_extra=json_body("CreateKey"),
)
async def create_key(request: Request, state: State, caller: Admins) -> Response:
    """The key is shown this once. The first key of a gallery makes keys mandatory, also from this machine."""
    body = validate(CreateKey, await read_json_object(request, state))
    tenant = None if body.any_tenant else body.tenant or caller.tenant
    if not caller.any_tenant and tenant != caller.tenant:
        raise AccessDenied("this API key may create keys of its own tenant only", authenticated=True)
    limits = None if body.limits is None else KeyLimits(**body.limits.model_dump())

    def create() -> tuple[ApiKey, str]:
        return state.gallery.catalog.api_keys.create(
            body.scope, tenant=tenant, label=body.label, limits=limits, lifetime=body.lifetime
        )

    key, token = await state.executor.run(create)
    return json_response(NewApiKey.of_new(key, token), 201)


@router.post(
    "/keys/{key_id}:rotate",
    operation_id="rotateKey",
    summary="Rotate an API key",
    status_code=201,
    response_model=NewApiKey,
    responses=documented_responses(404),
)
async def rotate_key(
    key_id: KeyId,
    state: State,
    caller: Admins,
    grace: Annotated[
        float, Query(ge=0, le=MAX_LIFETIME, description="Seconds for which the old key still works.")
    ] = DEFAULT_GRACE,
) -> Response:
    """Create a key with the same rights and lifetime; the old one expires after the grace period."""

    def rotate() -> tuple[ApiKey, str]:
        _check_manages(state, caller, key_id)
        return state.gallery.catalog.api_keys.rotate(key_id, grace=grace)

    key, token = await state.executor.run(rotate)
    return json_response(NewApiKey.of_new(key, token), 201)


@router.post(
    "/keys/{key_id}:revoke",
    operation_id="revokeKey",
    summary="Revoke an API key",
    response_model=ApiKeyObject,
    responses=documented_responses(404),
)
async def revoke_key(key_id: KeyId, state: State, caller: Admins) -> Response:
    """For good; servers accept it for up to two more seconds."""

    def revoke() -> ApiKey:
        _check_manages(state, caller, key_id)
        return state.gallery.catalog.api_keys.revoke(key_id)

    return json_response(ApiKeyObject.of(await state.executor.run(revoke)))


def _manages(caller: Caller, key: ApiKey) -> bool:
    return caller.any_tenant or key.tenant == caller.tenant


def _check_manages(state: AppState, caller: Caller, key_id: str) -> None:
    """Raise NotFound for a key that a caller may not change, because those of other tenants are not revealed."""
    if not _manages(caller, state.gallery.catalog.api_keys.get(key_id)):
        raise NotFound(f"there is no API key {key_id!r}; `lookalike keys list` shows them")
