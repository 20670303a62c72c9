"""The files of images as they are, for comparing copies at full size."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Response

from lookalike.server.app_state import State
from lookalike.server.auth import Caller
from lookalike.server.local_files import require_local_files
from lookalike.server.requests.conditional import not_modified
from lookalike.server.requests.images import decode_key
from lookalike.server.schemas import BINARY, Key, Responses, documented_responses

router = APIRouter(prefix="/v1", tags=["images"])
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
"""By Pillow's name of the format; browsers show all but TIFF and, most of them, HEIC."""
OTHER_TYPE = "application/octet-stream"
IMAGE: Responses = {200: {"description": "The file.", "content": {"image/*": {"schema": BINARY}}}}


@router.get(
    "/images/{key}/original",
    operation_id="getOriginal",
    summary="Get an image's file",
    response_class=Response,
    responses=documented_responses(404, also=IMAGE | {304: {"description": "Not modified."}}),
)
async def get_original(
    key: Key,
    state: State,
    caller: Annotated[Caller, Depends(require_local_files("read"))],
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The file that the image was added from, unchanged. On the server's own machine, or where the operator allows."""
    name = decode_key(key)
    record = await state.executor.run(lambda: state.gallery.get(name, tenant=caller.tenant))
    headers = {"ETag": f'"{record.sha256.hex()}"', "Cache-Control": "private, no-cache"}
    if (known := not_modified(if_none_match, headers)) is not None:
        return known
    data = await state.executor.run(lambda: state.gallery.get_original(name, tenant=caller.tenant))
    file_name = quote(record.key.rsplit("/", 1)[-1], safe="")
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{file_name}"
    return Response(data, headers=headers, media_type=MEDIA_TYPES.get(record.format, OTHER_TYPE))
