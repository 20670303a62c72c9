"""The plan: which engine each pipeline gets and why, and what the whole gallery takes."""

import math
from collections.abc import Iterator, Sequence

from lookalike.capacity import catalog, elasticsearch, embedded, milvus
from lookalike.capacity import measurements as c
from lookalike.capacity.models import (
    ENGINE_METRICS,
    SERVER_ENGINE,
    IndexPlan,
    IngestPlan,
    OutgrowPoint,
    PipelineSpec,
    Plan,
    PlanRequest,
    ServingPlan,
)
from lookalike.errors import BadSetting

ENGINES = (*ENGINE_METRICS, *milvus.INDEX_TYPES)
"""The names of engines; one of the last stands for `milvus` with that index type."""
SECONDS_PER_DAY = 86_400


def make_plan(request: PlanRequest) -> Plan:
    """What a gallery takes; raises BadSetting, with the remedy, for an impossible one."""
    indexes = tuple(_choose_index(pipeline, request) for pipeline in request.pipelines)
    pairs = zip(request.pipelines, indexes, strict=True)
    return Plan(
        request,
        indexes,
        catalog.plan_catalog(request, indexes),
        _serving(request, indexes),
        _ingest(request, indexes),
        tuple(_outgrow_point(pipeline, index, request) for pipeline, index in pairs if index.embedded),
        tuple(_notes(request, indexes)),
    )


def _choose_index(pipeline: PipelineSpec, request: PlanRequest) -> IndexPlan:
    """The index of a pipeline: the requested engine, or the smallest that is enough."""
    requested = request.engines.get(pipeline.name)
    if requested is not None:
        return _plan_index(requested, pipeline, request, "as requested")
    server = SERVER_ENGINE[pipeline.metric]
    if request.replicas:
        return _plan_index(server, pipeline, request, "embedded engines have no copies on other machines")
    engine = "hnsw" if pipeline.metric == "cosine" else "mih" if pipeline.dimensions == 64 else "flat"
    exceeded = _exceeded_limit(engine, pipeline, request)
    if exceeded is None:
        return _plan_index(engine, pipeline, request, "one machine is enough, and no server is needed")
    if engine == "flat":
        raise BadSetting(f"{pipeline.name}: {exceeded}, and no engine on a server holds hashes of other than 64 bits")
    return _plan_index(server, pipeline, request, exceeded)


def _plan_index(engine: str, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    name = engine.removeprefix("milvus:")
    if name not in (ENGINES if name == engine else milvus.INDEX_TYPES):
        raise BadSetting(f"no engine is called {engine!r} (for {pipeline.name}); there are {', '.join(ENGINES)}")
    family = "milvus" if name in milvus.INDEX_TYPES else name
    suitable = [known for known, metrics in ENGINE_METRICS.items() if pipeline.metric in metrics]
    if pipeline.metric == "hamming" and pipeline.dimensions != 64:
        suitable = ["flat"]
    if family not in suitable:
        kind = "vectors" if pipeline.metric == "cosine" else f"hashes of {pipeline.dimensions} bits"
        raise BadSetting(f"{engine} cannot store the {kind} of {pipeline.name}: choose {', '.join(suitable)}")
    if family == "milvus":
        return milvus.plan_index(None if name == "milvus" else name, pipeline, request, why)
    if family == "elasticsearch":
        return elasticsearch.plan_index(pipeline, request, why)
    return embedded.plan_index(name, pipeline, request, why)


def _exceeded_limit(engine: str, pipeline: PipelineSpec, request: PlanRequest) -> str | None:
    """Why the embedded engine is not enough on the requested machines; None where it is."""
    if engine != "flat" and request.images > embedded.MAX_ROWS[engine]:
        return f"{engine} holds at most {embedded.MAX_ROWS[engine]:,.0f} rows"
    if request.machines > 1:
        return f"{request.machines:,} machines add, and each would hold all of {engine}"
    need = embedded.footprint(engine, request.images, pipeline, request.tenants)
    if need.adding > embedded.usable_memory(request):
        peak, memory = need.adding / c.GB, request.memory / c.GB
        return f"{engine} would need {peak:,.0f} GB in one process while adding; a machine has {memory:,.0f} GB"
    busy = request.searches * need.seconds
    if busy > request.cores:
        return f"{engine} would keep {busy:,.0f} cores busy; a machine has {request.cores}"
    return None


def _outgrow_point(pipeline: PipelineSpec, index: IndexPlan, request: PlanRequest) -> OutgrowPoint:
    because = f"adding then takes more than {c.USABLE_MEMORY:.0%} of {request.memory / c.GB:,.0f} GB"
    served = pipeline.metric == "cosine" or pipeline.dimensions == 64
    to = SERVER_ENGINE[pipeline.metric] if served else "no other engine yet"
    return OutgrowPoint(pipeline.name, embedded.max_images(index.engine, pipeline, request), to, because)


def _encode_seconds(request: PlanRequest) -> float | None:
    """Core seconds to read an image and encode it for every pipeline; None where one was not measured."""
    seconds = float(c.READ)
    for pipeline in request.pipelines:
        if pipeline.name == "vgg16":
            seconds += c.VGG16[request.precision] / c.ADDING
        elif pipeline.name != "phash":
            return None
    return seconds


def _serving(request: PlanRequest, indexes: Sequence[IndexPlan]) -> ServingPlan:
    """The processes that answer searches, with the indexes that are embedded in them."""
    seconds = _encode_seconds(request)
    cores = None if seconds is None else request.searches * seconds
    networks = any(pipeline.metric == "cosine" for pipeline in request.pipelines)
    busy = (cores or 0) + sum(index.cores for index in indexes if index.embedded)
    min_processes = 1 if all(index.embedded for index in indexes) else 2
    processes = max(min_processes, math.ceil(busy / request.cores))
    return ServingPlan(cores, math.ceil(c.PROCESS + (c.NETWORK if networks else 0)), processes)


def _ingest(request: PlanRequest, indexes: Sequence[IndexPlan]) -> IngestPlan:
    """Adding all images by the requested machines; a graph takes longer a row as the logarithm of its rows."""
    seconds = _encode_seconds(request)
    cores = request.machines * request.cores
    graphs = sum(index.engine == "hnsw" for index in indexes)
    growth = max(0.5, math.log(request.images + 1) / math.log(c.GRAPH_SEARCH_ROWS))
    building = graphs * request.images * c.GRAPH_BUILD * growth / request.cores / SECONDS_PER_DAY
    if seconds is None:
        return IngestPlan(cores, None, None, building)
    rate = cores / seconds
    return IngestPlan(cores, rate, request.images / rate / SECONDS_PER_DAY + building, building)


def _notes(request: PlanRequest, indexes: Sequence[IndexPlan]) -> Iterator[str]:
    unmeasured = [pipeline.name for pipeline in request.pipelines if pipeline.name not in ("phash", "vgg16")]
    if unmeasured:
        yield f"the speed of {', '.join(unmeasured)} was not measured: add a thousand images and time it"
    inside = [index.pipeline for index in indexes if index.embedded]
    if 0 < len(inside) < len(indexes):
        yield f"{', '.join(inside)} is embedded: every server process holds it; a machine shares mapped files"
