"""Clean-up of duplicates: plan, apply and undo. Files of the server's machine are touched."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from lookalike.cleanup import CleanupOptions, apply_cleanup, plan_chosen, plan_cleanup, revise_plan, undo_cleanup
from lookalike.cleanup.rules import DEFAULT_RULES
from lookalike.server.app_state import State
from lookalike.server.auth import Caller
from lookalike.server.local_files import require_local_files
from lookalike.server.requests.images import read_json_object, validate
from lookalike.server.schemas import (
    FILTER_EXAMPLE,
    Json,
    RequestModel,
    documented_responses,
    example_config,
    json_body,
    json_response,
)
from lookalike.wire.duplicates import CleanupGroup, CleanupPlan, CleanupReport, UndoReport
from lookalike.wire.objects import convert

router = APIRouter(prefix="/v1", tags=["duplicates"])
MAX_NAMES = 64
"""Rules, folders or pipelines in one request."""
MAX_GROUPS = 20_000
"""Groups in one request."""
MAX_KEPT = 1000
"""Images to keep of one group."""
Cleaner = Annotated[Caller, Depends(require_local_files("admin"))]
Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_NAMES)]


class GroupChoice(RequestModel):
    """A group to plan or to apply."""

    id: str
    keep: list[str] | None = Field(
        None,
        min_length=1,
        max_length=MAX_KEPT,
        description="Keys of the images to keep; by default those that the rules choose.",
    )


class PlanRequest(RequestModel):
    """Which images to keep, and what is to happen to the files of the others."""

    model_config = example_config(
        {"keep": ["pixels", "oldest"], "to": "trash", "exact_only": True}, {"filter": FILTER_EXAMPLE}, {}
    )

    keep: Names = Field(
        list(DEFAULT_RULES),
        description="In order: pixels, exif, quality, oldest, format, format=heif/jpeg, folder=/absolute/path.",
    )
    to: Literal["trash", "hardlink", "reflink", "delete"] = Field(
        "trash", description="`hardlink` and `reflink` replace files with the same bytes only."
    )
    references: Names = Field([], description="Absolute paths of folders whose files are never touched.")
    exact_only: bool = Field(default=False, description="Only images with the same bytes or pixels.")
    across_folders: bool = Field(default=False, description="Only copies in another folder than the kept image.")
    min_bytes: int = Field(0, ge=0, description="Only files of at least this size.")
    max_distance: float | None = Field(None, ge=0, le=1, description="Only copies up to this distance.")
    filter: Json | None = Field(None, min_length=1, description="Only images with these attributes take part.")
    pipelines: Names | None = Field(None, description="Use these pipelines only.")
    groups: list[GroupChoice] | None = Field(
        None,
        max_length=MAX_GROUPS,
        description="Only these clusters, listed by GET /v1/duplicates before; `keep` goes before the rules.",
    )


class ApplyRequest(RequestModel):
    """A plan to apply, or some groups of it."""

    model_config = example_config({"plan": "0f8fad5bd9cb469fa16570867728950e"})

    plan: str
    groups: list[GroupChoice] | None = Field(None, max_length=MAX_GROUPS, description="By default all, as planned.")


class UndoRequest(RequestModel):
    """A clean-up to undo."""

    model_config = example_config({"run": "20260131-093000-000000-0f8fad"}, {})

    run: str | None = Field(None, description="By default the last one that is not undone.")


@router.post(
    "/duplicates:plan",
    operation_id="planCleanup",
    summary="Plan a clean-up of duplicates",
    response_model=CleanupPlan,
    responses=documented_responses(404),
    openapi_extra=json_body("PlanRequest"),
)
async def plan(request: Request, state: State, caller: Cleaner) -> Response:
    """A mark and a reason for every image of every cluster. Finds all clusters, which takes time; changes nothing."""
    body = validate(PlanRequest, await read_json_object(request, state))
    options = CleanupOptions(**body.model_dump(exclude={"groups"}), tenant=caller.tenant)
    chosen = None
    if body.groups is not None:
        chosen = [(state.cleanup_plans.cluster(caller.tenant, group.id), group.keep) for group in body.groups]

    def make() -> CleanupPlan:
        if chosen is None:
            planned = plan_cleanup(state.gallery, options)
        else:
            planned = plan_chosen(state.gallery, options, chosen)
        return CleanupPlan(
            plan=state.cleanup_plans.add(planned),
            to=body.to,
            groups=[CleanupGroup.of(group) for group in planned.groups],
            removed=planned.removed,
            frees=planned.frees,
            skipped=dict(planned.skipped),
            out_of_scope=planned.out_of_scope,
        )

    return json_response(await state.executor.run(make))


@router.post(
    "/duplicates:apply",
    operation_id="applyCleanup",
    summary="Apply a plan",
    response_model=CleanupReport,
    responses=documented_responses(404),
    openapi_extra=json_body("ApplyRequest"),
)
async def apply(request: Request, state: State, caller: Cleaner) -> Response:
    """Each file is checked before it is touched. Responds when all are done; what failed is reported, with the reason.

    The server keeps the latest plans; after a restart it has none, and responds with 404.
    """
    body = validate(ApplyRequest, await read_json_object(request, state))
    planned = state.cleanup_plans.get(caller.tenant, body.plan)
    choices: dict[str, list[str] | None] = {group.id: None for group in planned.groups}
    if body.groups is not None:
        choices = {group.id: group.keep for group in body.groups}

    def work() -> CleanupReport:
        return convert(CleanupReport, apply_cleanup(state.gallery, revise_plan(state.gallery, planned, choices)))

    return json_response(await state.executor.run(work))


@router.post(
    "/duplicates:undo",
    operation_id="undoCleanup",
    summary="Undo a clean-up",
    response_model=UndoReport,
    responses=documented_responses(404),
    openapi_extra=json_body("UndoRequest"),
)
async def undo(request: Request, state: State, caller: Cleaner) -> Response:
    """Files go back to their paths, and their images into the gallery. Nothing is replaced."""
    body = validate(UndoRequest, await read_json_object(request, state))
    report = await state.executor.run(lambda: undo_cleanup(state.gallery, body.run, tenant=caller.tenant))
    return json_response(convert(UndoReport, report))
