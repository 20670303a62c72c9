"""Background jobs: import, repair, duplicates, delete, backfill, move_index, compare_pipelines."""

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field, RootModel, model_validator

from lookalike import __version__, catalog
from lookalike.errors import AccessDenied, BadInput, Conflict, LookalikeError, NotFound, UnsupportedQuery
from lookalike.evaluation.edits import find
from lookalike.evaluation.pipeline_report import pipeline_report
from lookalike.gallery import conditions_of
from lookalike.pipeline_change import PipelineChange
from lookalike.server.app_state import State
from lookalike.server.auth import Reads, Writes
from lookalike.server.pagination import decode_cursor, encode_cursor
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
from lookalike.wire.jobs import Job, JobKind, JobList, JobProgress
from lookalike.wire.objects import rfc3339

router = APIRouter(prefix="/v1", tags=["jobs"])
MAX_URLS = 10_000
MAX_COMPARED = 1000
"""Images of a comparison of pipelines, whose result is stored with the job."""
REPORT_IMAGE_SIDE = 160
REPORT_HEADERS = {
    "Content-Disposition": 'attachment; filename="pipelines.html"',
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
}
"""A report shows keys of images, which anybody may have chosen: it is escaped, and saved rather than shown."""


class ImportJob(RequestModel):
    """Add images by URL, each under its URL as its key; or from files of the server (admin only)."""

    kind: Literal["import"]
    urls: list[Annotated[str, Field(min_length=1, max_length=8192)]] | None = Field(
        None, min_length=1, max_length=MAX_URLS
    )
    paths: list[Annotated[str, Field(min_length=1, max_length=4096)]] | None = Field(
        None, min_length=1, max_length=1000, description="Below folders given by `serve --import-from`."
    )
    attributes: Json | None = None

    @model_validator(mode="after")
    def _one(self) -> "ImportJob":
        if (self.urls is None) == (self.paths is None):
            raise ValueError("give exactly one of urls and paths")
        return self


class RepairJob(RequestModel):
    """Check the catalog, and rebuild every index from it (admin only)."""

    kind: Literal["repair"]
    verification_records: bool = Field(
        False, description="Also make missing and damaged verification records, which reads the images' files."
    )


class DuplicatesJob(RequestModel):
    """Find all clusters of copies."""

    kind: Literal["duplicates"]
    pipelines: list[str] | None = Field(None, max_length=32)


class DeleteJob(RequestModel):
    """Delete all images that match a filter."""

    kind: Literal["delete"]
    filter: Json = Field(min_length=1)


class BackfillJob(RequestModel):
    """Encode the images that lack the features of a pipeline, from their originals (admin only)."""

    kind: Literal["backfill"]
    pipeline: str = Field(min_length=1, max_length=256)
    retry: bool = Field(False, description="Also try the images that an earlier one could not encode.")


class MoveIndexJob(RequestModel):
    """Move the index of a pipeline to another engine, or back, while it serves (admin only)."""

    kind: Literal["move_index"]
    pipeline: str = Field(min_length=1, max_length=256)
    to: str = Field(
        min_length=1,
        max_length=1024,
        description="An index in the server's process, such as `mih?m=5`; the URL of an engine, without a password, "
        "only where the server's own settings name it, or the pipeline has an index there.",
    )
    force: bool = Field(False, description="Switch whatever the comparison of the two finds.")


class ComparePipelinesJob(RequestModel):
    """Search for images of the gallery by two of its pipelines, and compare what they find (admin only)."""

    kind: Literal["compare_pipelines"]
    pipeline: str = Field(min_length=1, max_length=256)
    old: str | None = Field(None, min_length=1, max_length=256, description="By default the one that ranks.")
    sample: int = Field(200, ge=1, le=MAX_COMPARED, description="Images to search for.")
    edits: list[str] = Field([], max_length=10, description="Also search for copies edited so, such as `jpeg15`.")
    live: bool = Field(False, description="Also search by the features of users' queries that the server has kept.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the choice of images and of the edits.")


AnyJob = ImportJob | RepairJob | DuplicatesJob | DeleteJob | BackfillJob | MoveIndexJob | ComparePipelinesJob
AdminJob = RepairJob | BackfillJob | MoveIndexJob | ComparePipelinesJob


class JobRequest(RootModel[Annotated[AnyJob, Field(discriminator="kind")]]):
    """A job to queue."""

    model_config = example_config(
        {"kind": "import", "urls": ["https://images.example/1.jpg"], "attributes": {"album": "Alps"}},
        {"kind": "duplicates"},
        {"kind": "delete", "filter": FILTER_EXAMPLE},
        {"kind": "repair"},
        {"kind": "backfill", "pipeline": "vgg16-copy"},
        {"kind": "move_index", "pipeline": "phash", "to": "mih"},
        {"kind": "compare_pipelines", "pipeline": "vgg16-copy", "sample": 100},
    )


@router.post(
    "/jobs",
    operation_id="createJob",
    summary="Create a job",
    status_code=202,
    response_model=Job,
    responses=documented_responses(),
    openapi_extra=json_body("JobRequest"),
)
async def create_job(request: Request, state: State, caller: Writes) -> Response:
    """Queued durably; a server process of the gallery runs it, and another takes over after a crash."""
    job_request = validate(JobRequest, await read_json_object(request, state)).root
    from_files = isinstance(job_request, ImportJob) and job_request.paths is not None
    if (from_files or isinstance(job_request, AdminJob)) and not caller.is_global_admin:
        raise AccessDenied("this job needs an admin API key that is bound to no tenant", authenticated=True)
    if isinstance(job_request, ImportJob) and job_request.paths is not None:
        paths = job_request.paths
        await state.executor.run(lambda: state.jobs.check_paths(paths))
    if isinstance(job_request, MoveIndexJob) and "://" in job_request.to:
        pipeline, to = job_request.pipeline, job_request.to
        if not await state.executor.run(lambda: state.gallery.is_index_named(pipeline, to)):
            raise BadInput(
                "a server connects to an engine that its own settings name only: set LOOKALIKE_INDEX_..._NEXT, or use "
                "`lookalike index move` on the gallery's machine"
            )
    if isinstance(job_request, ComparePipelinesJob):
        for edit in job_request.edits:
            find(edit)
    if isinstance(job_request, DeleteJob):
        conditions_of(job_request.filter)
    parameters = job_request.model_dump(exclude_none=True)
    if caller.limits.pixels is not None:
        parameters["max_pixels"] = caller.limits.pixels  # stored, since the job runs without its caller
    job = await state.executor.run(lambda: state.gallery.catalog.jobs.add(caller.tenant, job_request.kind, parameters))
    state.jobs.wake()
    return json_response(job_object(job), 202, {"Location": f"/v1/jobs/{job.id}"})


@router.get(
    "/jobs", operation_id="listJobs", summary="List jobs", response_model=JobList, responses=documented_responses()
)
async def list_jobs(
    state: State,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
) -> Response:
    """Newest first; a job is kept for 30 days after its end."""
    before = _decode_position(cursor)

    def list_page() -> JobList:
        jobs = state.gallery.catalog.jobs.list_page(caller.tenant, limit=limit + 1, before=before)
        page = jobs[:limit]
        next_cursor = encode_cursor([page[-1].created, page[-1].id]) if len(jobs) > limit else None
        return JobList(jobs=[job_object(job) for job in page], next=next_cursor)

    return json_response(await state.executor.run(list_page))


@router.get(
    "/jobs/{job_id}",
    operation_id="getJob",
    summary="Get a job",
    response_model=Job,
    responses=documented_responses(404),
)
async def get_job(job_id: str, state: State, caller: Reads) -> Response:
    """The progress is about a second old."""
    job = await state.executor.run(lambda: state.gallery.catalog.jobs.get(caller.tenant, job_id))
    return json_response(job_object(job))


@router.get(
    "/jobs/{job_id}/report",
    operation_id="getJobReport",
    summary="Get the report of a comparison of pipelines",
    response_class=HTMLResponse,
    responses=documented_responses(404, 409),
)
async def get_report(job_id: str, state: State, caller: Reads) -> Response:
    """Of a job `compare_pipelines` that is done: a page with charts and what has changed, which loads nothing."""

    def image_of(key: str) -> bytes | None:
        try:
            return state.gallery.get_thumbnail(key, tenant=caller.tenant, size=REPORT_IMAGE_SIDE)
        except LookalikeError:  # shown as missing
            return None

    def render() -> str:
        job = state.gallery.catalog.jobs.get(caller.tenant, job_id)
        if job.kind != "compare_pipelines":
            raise NotFound(f"a job {job.kind} has no report")
        if job.state != "done":
            raise Conflict(f"the job {job_id} is {job.state}: its report is there when it is done")
        change = PipelineChange.of_json(job.progress["result"]["comparison"])
        return pipeline_report(change, [f"{change.images:,} images. Lookalike {__version__}."], image_of)

    return HTMLResponse(await state.executor.run(render), headers=REPORT_HEADERS)


@router.post(
    "/jobs/{job_id}:cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    response_model=Job,
    responses=documented_responses(404),
)
async def cancel_job(job_id: str, state: State, caller: Writes) -> Response:
    """Work done so far is kept; a finished job does not change."""
    job = await state.executor.run(lambda: state.gallery.catalog.jobs.cancel(caller.tenant, job_id))
    return json_response(job_object(job))


def job_object(job: catalog.Job) -> Job:
    """The JSON object of the catalog's job."""
    progress = job.progress
    return Job(
        id=job.id,
        kind=cast(JobKind, job.kind),
        state=job.state,
        progress=JobProgress(progress.get("done", 0), progress.get("total"), progress.get("counts", {})),
        result=progress.get("result", {}),
        error=progress.get("error"),
        created=rfc3339(job.created),
        updated=rfc3339(job.updated),
    )


def _decode_position(cursor: str | None) -> tuple[float, str] | None:
    match decode_cursor(cursor):
        case None:
            return None
        case [float(created), str(id_)]:
            return created, id_
    raise UnsupportedQuery("invalid cursor of a job list: start again without one")
