"""The names of folders whose files are uploaded."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field, StringConstraints

from lookalike.server.app_state import State
from lookalike.server.auth import Writes
from lookalike.server.requests.images import read_json_object, validate
from lookalike.server.schemas import RequestModel, documented_responses, example_config, json_body, json_response
from lookalike.wire.folders import Folder

router = APIRouter(prefix="/v1", tags=["images"])
MAX_FOLDER = 4096
"""Characters of a path, as Linux has them in bytes."""
MAX_MACHINE = 255


class FolderRequest(RequestModel):
    """A folder of a machine."""

    model_config = example_config({"machine": "laptop", "folder": "/media/card2", "alone": True})

    machine: Annotated[str, StringConstraints(pattern=r"^[^/]+$", max_length=MAX_MACHINE)] = Field(
        description="The name of the machine; two machines of one name are taken for the same."
    )
    folder: Annotated[str, StringConstraints(min_length=1, max_length=MAX_FOLDER)] = Field(
        description="The folder's absolute path there, with forward slashes, or the URL of a prefix of a store."
    )
    alone: bool = Field(True, description="It is the only folder that is added now: the first one needs no name.")
    remember: bool = Field(
        True, description="Give it a name if it is not known; false for the folder of a file that is added by itself."
    )


@router.post(
    "/folders",
    operation_id="nameFolder",
    summary="Name a folder",
    response_model=Folder,
    responses=documented_responses(),
    openapi_extra=json_body("FolderRequest"),
)
async def name_folder(request: Request, state: State, caller: Writes) -> Response:
    """What the keys of a folder's files begin with, so that files of two folders never have the same key.

    The same as where the folder is added on the server's own machine: nothing for the first folder of an empty gallery,
    else its last name, with a number where that is taken; below a known folder, that folder's and the path below it.
    """
    body = validate(FolderRequest, await read_json_object(request, state))

    def name() -> str:
        return state.gallery.folder_prefix(
            body.folder, machine=body.machine, alone=body.alone, remember=body.remember, tenant=caller.tenant
        )

    return json_response(Folder(await state.executor.run(name)))
