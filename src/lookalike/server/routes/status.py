"""Health, readiness, status and Prometheus metrics."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from lookalike import __version__, results
from lookalike.catalog import CatalogTotals
from lookalike.results import MAX_RESULTS
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, Reads, require_global_admin
from lookalike.server.health import Outage
from lookalike.server.local_files import allows_local_files
from lookalike.server.metrics import Values
from lookalike.server.schemas import documented_responses, json_response
from lookalike.wire.objects import convert
from lookalike.wire.status import Health, MeasuredRecall, PipelineStatus, Ready, Status, StoredRecords

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="health", summary="Liveness", response_model=Health)
async def health() -> Response:
    """Checks no dependencies."""
    return json_response(Health(status="ok"))


@router.get(
    "/readyz",
    operation_id="ready",
    summary="Readiness",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Not ready."}},
)
async def ready(state: State) -> Response:
    """Ready once every pipeline is open, and while the catalog and at least one pipeline are available.

    Each is probed at most every few seconds, by a minimal search, with a short timeout.
    """
    result = readiness(state, await state.health.check())
    return json_response(result) if result.ready else json_response(result, 503, {"Retry-After": "1"})


def readiness(state: AppState, outages: Mapping[str, Outage]) -> Ready:
    """The readiness, given the outages and the pipelines that are not open yet."""
    unopened = state.background_sync.unopened
    missing = {**{name: outage.summary for name, outage in outages.items()}, **unopened}
    available = [name for name in state.background_sync.names if name not in missing]
    return Ready(ready=bool(available) and not unopened and "catalog" not in outages, missing=missing)


@router.get(
    "/v1/status",
    operation_id="getStatus",
    summary="Status of the gallery and the server",
    response_model=Status,
    responses=documented_responses(),
)
async def status(request: Request, state: State, caller: Reads) -> Response:
    """Counts, pipelines, limits, features, and the scopes of the caller."""

    def build() -> Status:
        status = state.status()
        tenant_id = state.gallery.catalog.tenants.find(caller.tenant)
        own = CatalogTotals(0, 0, {}) if tenant_id is None else state.gallery.catalog.images.totals(tenant_id)
        return Status(
            images=own.images,
            bytes=own.nbytes,
            formats=dict(own.by_format),
            tenant=caller.tenant,
            sequence=status.sequence,
            pipelines=[_pipeline(pipeline, any_tenant=caller.any_tenant) for pipeline in status.pipelines],
            recall=[
                convert(MeasuredRecall, measured) for measured in status.recall if measured.tenant == caller.tenant
            ],
            verification_records=StoredRecords.of(status.verification_records, any_tenant=caller.any_tenant),
            limits=_limits(state, caller),
            version=__version__,
            features=_features(request, state),
            scopes=sorted(caller.scopes),
        )

    await state.health.check()
    return json_response(await state.executor.run(build))


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses=documented_responses(
        also={200: {"description": "Prometheus text format.", "content": {"text/plain": {}}}}
    ),
)
async def metrics(state: State, _: Annotated[Caller, Depends(require_global_admin)]) -> Response:
    """Requests, search stages, queue, index size and lag, availability, rejections by reason."""
    await state.health.check()
    return Response(await state.probe(state.metrics.text), media_type=CONTENT_TYPE_LATEST)


def _pipeline(status: results.PipelineStatus, *, any_tenant: bool) -> PipelineStatus:
    """A pipeline's status; rows of other tenants and the engine's address are not for callers bound to one tenant."""
    described = convert(PipelineStatus, status)
    return described if any_tenant else replace(described, rows=None, engine=status.engine.partition(":")[0])


def _limits(state: AppState, caller: Caller) -> dict[str, Any]:
    own = {name: value for name, value in asdict(caller.limits).items() if value is not None}
    limits = asdict(state.gallery.limits) | {"max_results": MAX_RESULTS} | own
    pixels = own.get("pixels")
    return limits | ({"max_pixels": min(pixels, state.gallery.limits.max_pixels)} if pixels else {})


def _features(request: Request, state: AppState) -> list[str]:
    offered = {"search": True, "compare": True, "duplicates": True, "jobs": state.settings.jobs, "url": True}
    offered["import_paths"] = bool(state.settings.import_from)
    offered["local_files"] = allows_local_files(request, state)
    return [name for name, available in offered.items() if available]


def register_gauges(state: AppState) -> None:
    """Register gauges of the application's state."""
    catalog = state.gallery.catalog

    def lag() -> Mapping[str, float]:
        return {p.name: p.behind for p in state.status().pipelines if p.error is None}

    def rows() -> Mapping[str, float]:
        return {p.name: p.rows for p in state.status().pipelines if p.error is None}

    def up() -> Mapping[str, float]:
        missing = readiness(state, state.health.last).missing
        return {name: name not in missing for name in state.health.names}

    def recall() -> Mapping[tuple[str, ...], float]:
        return {(m.tenant or "", m.pipeline): m.recall for m in state.status().recall}

    def recall_queries() -> Mapping[tuple[str, ...], float]:
        return {(m.tenant or "", m.pipeline): m.queries for m in state.status().recall}

    by_tenant = ("tenant", "pipeline")
    gauges: tuple[tuple[str, str, Values, tuple[str, ...]], ...] = (
        ("waiting", "Requests waiting for a thread.", lambda: state.executor.waiting, ()),
        ("working", "Busy threads.", lambda: state.executor.working, ()),
        ("held_bytes", "Bytes of request bodies in memory.", lambda: state.memory.used, ()),
        ("images", "Images in the catalog.", catalog.images.count, ()),
        ("sequence", "Sequence of the catalog's last change.", catalog.changes.last_sequence, ()),
        ("index_rows", "Rows of each index.", rows, ("pipeline",)),
        ("index_lag", "Changes that are not in the saved index yet.", lag, ("pipeline",)),
        ("jobs", "Jobs by state.", catalog.jobs.count_by_state, ("state",)),
        ("up", "Whether the catalog and each pipeline are available.", up, ("part",)),
        ("ready", "Readiness.", lambda: readiness(state, state.health.last).ready, ()),
        ("recall", "Measured recall of live searches; tenant is empty for searches in all.", recall, by_tenant),
        ("recall_queries", "Live searches that were repeated exactly.", recall_queries, by_tenant),
    )
    for name, description, values, labels in gauges:
        state.metrics.register_gauge(f"lookalike_{name}", description, values, *labels)
