"""Jobs: long work that goes on in the server while nobody waits for it."""

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ConfigDict, Field, RootModel, model_validator

from lookalike import catalog
from lookalike.errors import AccessDenied, UnsupportedQuery
from lookalike.gallery import conditions_of
from lookalike.server.app_state import State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.pagination import decode_cursor, encode_cursor
from lookalike.server.requests.images import small_json, validated
from lookalike.server.schemas import FILTER_EXAMPLE, Json, RequestModel, answer, json_body, problems
from lookalike.wire import Job, JobKind, JobList, JobProgress, rfc3339

router = APIRouter(prefix="/v1", tags=["jobs"])
Reads = Annotated[Caller, Depends(require_scope("read"))]
Writes = Annotated[Caller, Depends(require_scope("write"))]
MAX_URLS = 10_000


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


class DuplicatesJob(RequestModel):
    """Find all clusters of copies."""

    kind: Literal["duplicates"]
    pipelines: list[str] | None = Field(None, max_length=32)


class DeleteJob(RequestModel):
    """Delete all images that match a filter."""

    kind: Literal["delete"]
    filter: Json = Field(min_length=1)


class JobRequest(RootModel[Annotated[ImportJob | RepairJob | DuplicatesJob | DeleteJob, Field(discriminator="kind")]]):
    """A job to queue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "import", "urls": ["https://images.example/1.jpg"], "attributes": {"album": "Alps"}},
                {"kind": "duplicates"},
                {"kind": "delete", "filter": FILTER_EXAMPLE},
                {"kind": "repair"},
            ]
        }
    )


@router.post(
    "/jobs",
    operation_id="createJob",
    summary="Have long work done",
    status_code=202,
    response_model=Job,
    responses=problems(),
    openapi_extra=json_body("JobRequest"),
)
async def create_job(request: Request, here: State, caller: Writes) -> Response:
    """Queued durably; some server process of the gallery does it, and goes on with it after a crash."""
    body = await small_json(request, here)
    wanted = validated(JobRequest, body).root
    from_files = isinstance(wanted, ImportJob) and wanted.paths is not None
    if (from_files or isinstance(wanted, RepairJob)) and not (caller.may("admin") and caller.any_tenant):
        raise AccessDenied("this job requires an API key with the scope admin, bound to no tenant", authenticated=True)
    if isinstance(wanted, ImportJob) and wanted.paths is not None:
        paths = wanted.paths
        await here.work.run(lambda: here.jobs.check_paths(paths))
    if isinstance(wanted, DeleteJob):
        conditions_of(wanted.filter)
    asked = wanted.model_dump(exclude_none=True)
    if caller.limits.pixels is not None:
        asked["max_pixels"] = caller.limits.pixels  # the job runs when its caller has gone
    job = await here.work.run(lambda: here.service.catalog.jobs.add(caller.tenant, wanted.kind, asked))
    here.jobs.wake()
    return answer(job_object(job), 202, {"Location": f"/v1/jobs/{job.id}"})


@router.get("/jobs", operation_id="listJobs", summary="List jobs", response_model=JobList, responses=problems())
async def list_jobs(
    here: State,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """The newest first; a job is kept for 30 days after its end."""
    before = _before(cursor)

    def listed() -> JobList:
        found = here.service.catalog.jobs.list_page(caller.tenant, limit=limit + 1, before=before)
        page = found[:limit]
        goes_on = encode_cursor([page[-1].created, page[-1].id]) if len(found) > limit else None
        return JobList(jobs=[job_object(job) for job in page], next=goes_on)

    return answer(await here.work.run(listed))


@router.get(
    "/jobs/{job_id}",
    operation_id="getJob",
    summary="How a job stands",
    response_model=Job,
    responses=problems(404),
)
async def get_job(job_id: str, here: State, caller: Reads) -> Response:
    """Its progress is about a second old."""
    return answer(job_object(await here.work.run(lambda: here.service.catalog.jobs.get(caller.tenant, job_id))))


@router.post(
    "/jobs/{job_id}:cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    response_model=Job,
    responses=problems(404),
)
async def cancel_job(job_id: str, here: State, caller: Writes) -> Response:
    """What it has done so far stays done; a job that has ended stays as it is."""
    return answer(job_object(await here.work.run(lambda: here.service.catalog.jobs.cancel(caller.tenant, job_id))))


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


def _before(cursor: str | None) -> tuple[float, str] | None:
    match decode_cursor(cursor):
        case None:
            return None
        case [float(at), str(id_)]:
            return at, id_
    raise UnsupportedQuery("invalid cursor for a list of jobs; start again without one")
