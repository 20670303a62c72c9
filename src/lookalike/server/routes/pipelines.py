"""Pipelines of the gallery: list, add, promote and drop them while it serves. Changes need an admin of all tenants."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import Field

from lookalike.errors import BadInput
from lookalike.results import GalleryPipeline
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, Reads, require_global_admin
from lookalike.server.requests.images import read_json_object, validate
from lookalike.server.schemas import RequestModel, documented_responses, example_config, json_body, json_response
from lookalike.wire.pipelines import DroppedIndex, Pipeline, PipelineList

router = APIRouter(prefix="/v1", tags=["pipelines"])
Admins = Annotated[Caller, Depends(require_global_admin)]
Name = Annotated[str, Path(description="The name of a pipeline.", min_length=1, max_length=256)]


class AddPipeline(RequestModel):
    """A pipeline to add."""

    model_config = example_config({"name": "vgg16-copy"})

    name: str = Field(min_length=1, max_length=256, description="Name of an encoder.")
    index: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="Its index in the server's process, such as `mih?m=5`; by default that of the gallery's settings. "
        "The URL of an engine is given on the gallery's own machine only.",
    )


class PromotePipeline(RequestModel):
    """How to promote a pipeline."""

    model_config = example_config({"replace": True})

    replace: bool = Field(False, description="Let the one that ranked before become shadow.")
    incomplete: bool = Field(False, description="Promote it although images lack its features.")


class DropIndex(RequestModel):
    """How to delete the index that does not answer."""

    model_config = example_config({"forget": False})

    forget: bool = Field(False, description="Do not delete it: its server is gone for good.")


@router.get(
    "/pipelines",
    operation_id="listPipelines",
    summary="List pipelines",
    response_model=PipelineList,
    responses=documented_responses(),
)
async def list_pipelines(state: State, caller: Reads) -> Response:
    """In order of precedence, with the number of images without their features, which takes long in large galleries."""
    found = await state.executor.run(lambda: state.gallery.pipeline_states(count=caller.any_tenant))
    return json_response(_listed(found, any_tenant=caller.any_tenant))


@router.post(
    "/pipelines",
    operation_id="addPipeline",
    summary="Add a pipeline",
    status_code=201,
    response_model=Pipeline,
    responses=documented_responses(),
    openapi_extra=json_body("AddPipeline"),
)
async def add_pipeline(request: Request, state: State, _: Admins) -> Response:
    """New images get its features from now on, and no search uses it. A job `backfill` encodes the images there are."""
    body = validate(AddPipeline, await read_json_object(request, state))
    if body.index is not None and "://" in body.index:
        raise BadInput("a server does not connect to an address that a caller names: `lookalike pipelines add --index`")
    added = await state.executor.run(lambda: state.gallery.add_pipeline(body.name, index=body.index))
    return json_response(Pipeline.of(added), 201)


@router.post(
    "/pipelines/{name}:promote",
    operation_id="promotePipeline",
    summary="Let a pipeline rank",
    response_model=PipelineList,
    responses=documented_responses(404),
    openapi_extra=json_body("PromotePipeline"),
)
async def promote_pipeline(name: Name, request: Request, state: State, _: Admins) -> Response:
    """In one step for all processes. Those after it become shadow, so that promoting an earlier one takes it back."""
    how = validate(PromotePipeline, await read_json_object(request, state))
    found = await state.executor.run(
        lambda: state.gallery.promote_pipeline(name, replace=how.replace, incomplete=how.incomplete)
    )
    return json_response(_listed(found, any_tenant=True))


@router.post(
    "/pipelines/{name}:drop",
    operation_id="dropPipeline",
    summary="Drop a pipeline",
    response_model=PipelineList,
    responses=documented_responses(404),
)
async def drop_pipeline(name: Name, state: State, _: Admins) -> Response:
    """Delete it with its index and features, once no process uses it any more; takes some seconds."""

    def drop() -> list[GalleryPipeline]:
        state.gallery.drop_pipeline(name)
        return state.gallery.pipeline_states()

    return json_response(_listed(await state.executor.run(drop), any_tenant=True))


@router.post(
    "/pipelines/{name}:drop-index",
    operation_id="dropIndex",
    summary="Delete the index that a move has left",
    response_model=DroppedIndex,
    responses=documented_responses(404),
    openapi_extra=json_body("DropIndex"),
)
async def drop_index(name: Name, request: Request, state: State, _: Admins) -> Response:
    """The one that the pipeline was moved from, or an unfinished new one; takes seconds. A job `move_index` moves."""
    how = validate(DropIndex, await read_json_object(request, state))
    dropped = await state.executor.run(lambda: state.gallery.drop_index(name, forget=how.forget))
    return json_response(DroppedIndex(dropped))


def _listed(found: list[GalleryPipeline], *, any_tenant: bool) -> PipelineList:
    return PipelineList([Pipeline.of(pipeline, any_tenant=any_tenant) for pipeline in found])
