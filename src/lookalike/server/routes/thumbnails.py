"""Small images."""

import hashlib
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from lookalike.gallery.thumbnails import MAX_SIDE, MIN_SIDE
from lookalike.imaging.thumbnails import SIDE
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.preconditions import key_of
from lookalike.server.schemas import Key, Responses, problems

router = APIRouter(prefix="/v1", tags=["images"])
JPEG: Responses = {
    200: {"description": "A JPEG.", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
CACHE_SECONDS = 300
"""How long a browser shows a thumbnail without asking again."""


@router.get(
    "/images/{key}/thumbnail",
    operation_id="getThumbnail",
    summary="An image, small",
    response_class=Response,
    responses=problems(404, also=JPEG | {304: {"description": "It has not changed."}}),
)
async def get_thumbnail(
    key: Key,
    here: State,
    caller: Annotated[Caller, Depends(require_scope("read"))],
    size: Annotated[int, Query(ge=MIN_SIDE, le=MAX_SIDE, description="Pixels of the longer side, at most.")] = SIDE,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Upright, in sRGB, no larger than the image itself."""
    name = key_of(key)
    data = await here.work.run(lambda: here.service.get_thumbnail(name, tenant=caller.tenant, size=size))
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={CACHE_SECONDS}"}
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(data, headers=headers, media_type="image/jpeg")
