"""How the service stands: for callers, for load balancers, and for Prometheus."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from lookalike import __version__, results
from lookalike.catalog import CatalogTotals
from lookalike.results import MAX_RESULTS
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, admin_of_all, require_scope
from lookalike.server.health import Outage
from lookalike.server.metrics import Gauged
from lookalike.server.schemas import answer, problems
from lookalike.wire import Health, PipelineStatus, Ready, Status

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="health", summary="Whether the process lives", response_model=Health)
async def health() -> Response:
    """Asks nothing of anybody."""
    return answer(Health(status="ok"))


@router.get(
    "/readyz",
    operation_id="ready",
    summary="Whether searches can be answered",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Not yet, or not now."}},
)
async def ready(here: State) -> Response:
    """True once every pipeline was opened, and while the catalog and one pipeline at least answer.

    Each is asked every few seconds at most, by as little a search as can be, and waited for briefly.
    """
    told = readiness(here, await here.pulse.silent())
    return answer(told) if told.ready else answer(told, 503, {"Retry-After": "1"})


def readiness(here: AppState, silent: Mapping[str, Outage]) -> Ready:
    """The verdict on what is `silent`, and on what was not opened yet."""
    opening = here.keeper.missing
    missing = {**{name: why.word for name, why in silent.items()}, **opening}
    answering = [name for name in here.service.pipelines if name not in missing]
    return Ready(ready=bool(answering) and not opening and "catalog" not in silent, missing=missing)


@router.get(
    "/v1/status",
    operation_id="getStatus",
    summary="How the service stands",
    response_model=Status,
    responses=problems(),
)
async def status(here: State, caller: Annotated[Caller, Depends(require_scope("read"))]) -> Response:
    """What a page or a client needs to know."""

    def asked() -> Status:
        found = here.status()
        tenant_id = here.service.catalog.tenants.find(caller.tenant)
        own = CatalogTotals(0, 0, {}) if tenant_id is None else here.service.catalog.images.totals(tenant_id)
        return Status(
            images=own.images,
            bytes=own.nbytes,
            formats=dict(own.by_format),
            tenant=caller.tenant,
            sequence=found.sequence,
            pipelines=[_pipeline(one, any_tenant=caller.any_tenant) for one in found.pipelines],
            limits=_limits(here, caller),
            version=__version__,
            features=_features(here),
            scopes=sorted(caller.scopes),
        )

    await here.pulse.silent()
    return answer(await here.work.run(asked))


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Counters for Prometheus",
    response_class=Response,
    responses=problems(also={200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}}),
)
async def metrics(here: State, _: Annotated[Caller, Depends(admin_of_all)]) -> Response:
    """Requests, stages, queue, index size and lag, what answers, refusals by reason."""
    await here.pulse.silent()
    return Response(await here.probe(here.metrics.text), media_type=CONTENT_TYPE_LATEST)


def _pipeline(status: results.PipelineStatus, *, any_tenant: bool) -> PipelineStatus:
    """A pipeline's status; rows of other tenants and the engine's address are not for callers bound to one tenant."""
    described = PipelineStatus.of(status)
    return described if any_tenant else replace(described, rows=None, engine=status.engine.partition(":")[0])


def _limits(here: AppState, caller: Caller) -> dict[str, Any]:
    own = {name: value for name, value in asdict(caller.limits).items() if value is not None}
    limits = asdict(here.service.limits) | {"max_results": MAX_RESULTS} | own
    pixels = own.get("pixels")
    return limits | ({"max_pixels": min(pixels, here.service.limits.max_pixels)} if pixels else {})


def _features(here: AppState) -> list[str]:
    offered = {"search": True, "compare": True, "duplicates": True, "jobs": here.settings.jobs, "url": True}
    offered["import_paths"] = bool(here.settings.import_from)
    return [name for name, there in offered.items() if there]


class _Value(Gauged):
    def __init__(self, ask: Callable[[], Mapping[str, float]], label: str | None = None) -> None:
        self._ask = ask
        self.label = label

    def values(self) -> Mapping[str, float]:
        return self._ask()


def count(here: AppState) -> None:
    """Have the service's own state among its counters."""
    catalog = here.service.catalog

    def lag() -> Mapping[str, float]:
        return {one.name: float(one.behind) for one in here.status().pipelines if one.error is None}

    def rows() -> Mapping[str, float]:
        return {one.name: float(one.rows) for one in here.status().pipelines if one.error is None}

    def up() -> Mapping[str, float]:
        missing = readiness(here, here.pulse.last).missing
        return {name: float(name not in missing) for name in here.pulse.names}

    def is_ready() -> Mapping[str, float]:
        return {"": float(readiness(here, here.pulse.last).ready)}

    gauges = (
        ("waiting", "Requests that wait for a thread.", lambda: {"": float(here.work.waiting)}, None),
        ("working", "Threads at work.", lambda: {"": float(here.work.working)}, None),
        ("held_bytes", "Bytes of request bodies in memory.", lambda: {"": float(here.memory.taken)}, None),
        ("images", "Images in the catalog.", lambda: {"": float(catalog.images.count())}, None),
        ("sequence", "The catalog's last change.", lambda: {"": float(catalog.changes.last_sequence())}, None),
        ("index_rows", "Rows of each index.", rows, "pipeline"),
        ("index_lag", "Changes that a saved index lacks yet.", lag, "pipeline"),
        ("jobs", "Jobs by state.", lambda: {k: float(v) for k, v in catalog.jobs.count_by_state().items()}, "state"),
        ("up", "Whether the catalog and each pipeline answer.", up, "part"),
        ("ready", "Whether searches can be answered.", is_ready, None),
    )
    for name, what, ask, label in gauges:
        here.metrics.gauge(f"lookalike_{name}", what, _Value(ask, label))
