"""How the service stands: for callers, for load balancers, and for Prometheus."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ConfigDict, Field

from lookalike import __version__
from lookalike.catalog import CatalogTotals
from lookalike.results import MAX_RESULTS, PipelineStatus
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, admin_of_all, require_scope
from lookalike.server.health import Outage
from lookalike.server.metrics import Gauged
from lookalike.server.schemas import Json, ResponseModel, answer, problems

router = APIRouter(tags=["operations"])


class Health(ResponseModel):
    """Whether the process lives."""

    status: str = Field(examples=["ok"])


class Ready(ResponseModel):
    """Whether searches can be answered."""

    ready: bool = Field(description="By one pipeline at least; answers without the others name them in `failed`.")
    missing: dict[str, str] = Field(
        description="By name, why: the pipelines, and the `catalog`, that do not answer.",
        examples=[{}, {"vgg16": "Unavailable"}],
    )


class PipelineModel(ResponseModel):
    """A pipeline and its index."""

    name: str
    fingerprint: str | None = Field(description="Of its features: weights and preprocessing.")
    metric: str | None
    threshold: float | None = Field(description="The distance up to which a match counts as a copy.")
    rows: int | None = Field(description="Rows of its index, of all tenants; told to callers bound to none.")
    saved_at: int = Field(description="The change up to which its index is saved.")
    behind: int = Field(description="Changes that its saved index lacks yet; searches see them nevertheless.")
    engine: str = Field(description="What its index runs on.")
    shared: bool = Field(description="Whether that is a server.")
    error: str | None = Field(description="Why it cannot be asked.")


class StatusModel(ResponseModel):
    """What there is, and what this service allows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "images": 1710,
                    "bytes": 3419211776,
                    "formats": {"JPEG": 1700, "PNG": 10},
                    "tenant": "default",
                    "sequence": 1822,
                    "pipelines": [
                        {
                            "name": "phash",
                            "fingerprint": "1f6d3a90c2",
                            "metric": "hamming",
                            "threshold": 0.125,
                            "rows": 1710,
                            "saved_at": 1822,
                            "behind": 0,
                            "engine": "mih",
                            "shared": False,
                            "error": None,
                        }
                    ],
                    "limits": {"max_bytes": 209715200, "max_pixels": 200000000, "max_results": 10000},
                    "version": "0.1.0",
                    "features": ["search", "jobs"],
                    "scopes": ["read", "write"],
                }
            ]
        }
    )

    images: int = Field(description="The caller's.")
    bytes: int = Field(description="Of their files.")
    formats: dict[str, int] = Field(description="Images by format.")
    tenant: str
    sequence: int = Field(description="The catalog's last change.")
    pipelines: list[PipelineModel]
    limits: Json
    version: str
    features: list[str] = Field(description="What this service offers.")
    scopes: list[str] = Field(description="What the caller may do.")


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
    response_model=StatusModel,
    responses=problems(),
)
async def status(here: State, caller: Annotated[Caller, Depends(require_scope("read"))]) -> Response:
    """What a page or a client needs to know."""

    def asked() -> StatusModel:
        found = here.status()
        tenant_id = here.service.catalog.tenant_id(caller.tenant)
        own = CatalogTotals(0, 0, {}) if tenant_id is None else here.service.catalog.totals(tenant_id)
        return StatusModel(
            images=own.images,
            bytes=own.nbytes,
            formats=dict(own.by_format),
            tenant=caller.tenant,
            sequence=found.sequence,
            pipelines=[_pipeline(one, told=caller.any_tenant) for one in found.pipelines],
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


def _pipeline(one: PipelineStatus, *, told: bool) -> PipelineModel:
    return PipelineModel(
        name=one.name,
        fingerprint=one.fingerprint,
        metric=one.metric,
        threshold=one.threshold,
        rows=one.rows if told else None,
        saved_at=one.saved_at,
        behind=one.behind,
        engine=one.engine if told else one.engine.partition(":")[0],
        shared=one.shared,
        error=one.error,
    )


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
        ("images", "Images in the catalog.", lambda: {"": float(catalog.count())}, None),
        ("sequence", "The catalog's last change.", lambda: {"": float(catalog.sequence())}, None),
        ("index_rows", "Rows of each index.", rows, "pipeline"),
        ("index_lag", "Changes that a saved index lacks yet.", lag, "pipeline"),
        ("jobs", "Jobs by state.", lambda: {k: float(v) for k, v in catalog.count_jobs().items()}, "state"),
        ("up", "Whether the catalog and each pipeline answer.", up, "part"),
        ("ready", "Whether searches can be answered.", is_ready, None),
    )
    for name, what, ask, label in gauges:
        here.metrics.gauge(f"lookalike_{name}", what, _Value(ask, label))
