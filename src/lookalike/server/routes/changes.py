"""The feed of changes, with long-polling."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from lookalike.errors import AccessDenied
from lookalike.results import CHANGES_PAGE, MAX_CHANGES_PAGE, MAX_CHANGES_WAIT, ChangePage
from lookalike.server.app_state import State
from lookalike.server.auth import Reads
from lookalike.server.schemas import documented_responses, json_response
from lookalike.wire.images import Change, ChangeList
from lookalike.wire.objects import convert

router = APIRouter(prefix="/v1", tags=["changes"])


@router.get(
    "/changes",
    operation_id="listChanges",
    summary="List changes",
    response_model=ChangeList,
    responses=documented_responses(410),
)
async def list_changes(
    request: Request,
    state: State,
    caller: Reads,
    after: Annotated[
        str,
        Query(
            max_length=40,
            description="A sequence number, 0 for everything, or `next` of the page before.",
            examples=["0", "17"],
        ),
    ] = "0",
    limit: Annotated[int, Query(ge=1, le=MAX_CHANGES_PAGE)] = CHANGES_PAGE,
    wait: Annotated[
        float, Query(ge=0, le=MAX_CHANGES_WAIT, description="Seconds to wait for a change if there is none yet.")
    ] = 0,
    tenants: Annotated[Literal["all"] | None, Query(description="The changes of every tenant (admin only).")] = None,
) -> Response:
    """What was added, updated and deleted, in the order of sequence numbers.

    An image is reported once, with its last change. 410: deletions after `after` are no longer in the log; read
    everything again from 0, and forget what is not in it.
    """
    if tenants == "all" and not caller.is_global_admin:
        raise AccessDenied("the changes of all tenants need an admin API key bound to no tenant", authenticated=True)
    tenant = None if tenants == "all" else caller.tenant
    until = time.monotonic() + wait
    position = after

    def read() -> ChangePage:
        return state.gallery.changes(after=position, tenant=tenant, limit=limit)

    page = await state.executor.run(read)
    while not page.changes and await state.changes.wait_beyond(page.sequence, until, request.is_disconnected):
        position = page.next
        page = await state.executor.run(read)
    changes = [Change.of(change, tenant=tenant is None) for change in page.changes]
    return json_response(convert(ChangeList, page, changes=changes))
