"""The plan: which engine each pipeline gets and why, and what the whole gallery takes."""

import math
from collections.abc import Iterator, Sequence

from lookalike.capacity import catalog, elasticsearch, embedded, milvus
from lookalike.capacity import measurements as c
from lookalike.capacity.models import (
    ENGINES,
    MILVUS_TYPES,
    SERVER_ENGINE,
    CatalogPlan,
    IndexPlan,
    PipelineSpec,
    Plan,
    PlanRequest,
)
from lookalike.errors import BadSetting

ENCODE = {"vgg16": c.VGG16, "vgg16-copy": c.VGG16_COPY}
"""Core seconds of each network whose speed was measured, by precision."""


def make_plan(request: PlanRequest) -> Plan:
    """What a gallery takes; raises BadSetting, with the remedy, for an impossible one."""
    indexes = tuple(_choose_index(pipeline, request) for pipeline in request.pipelines)
    stored = catalog.plan_catalog(request, *catalog.choose_database(request.images, indexes))
    inside = [index for index in indexes if index.embedded]
    seconds = _encode_seconds(request)
    query_cores = None if seconds is None else request.searches * seconds
    # servers are searched from two processes, so that one may fail
    busy = (query_cores or 0) + sum(index.cores for index in inside)
    processes = max(1 if len(inside) == len(indexes) else 2, math.ceil(busy / request.cores))
    network = c.NETWORK if any(pipeline.metric == "cosine" for pipeline in request.pipelines) else 0
    copies = [processes if index.embedded else 1 for index in indexes]
    rate = None if seconds is None else min(request.machines * request.cores / seconds, c.CATALOG_RATE)
    return Plan(
        request=request,
        pipelines=indexes,
        catalog=stored,
        processes=processes,
        process_memory=c.PROCESS + network,
        query_cores=query_cores,
        memory=sum(index.memory * n for index, n in zip(indexes, copies, strict=True))
        + processes * (c.PROCESS + network),
        disk=stored.disk + sum(index.disk * n for index, n in zip(indexes, copies, strict=True)),
        cores=None if query_cores is None else query_cores + sum(index.cores for index in indexes),
        rate=rate,
        core_hours=None if seconds is None else request.images * seconds / 3600,
        days=None if rate is None else (request.images / rate + _build_seconds(request, indexes)) / 86_400,
        notes=tuple(_notes(request, indexes, stored)),
    )


def machines_for(request: PlanRequest, seconds: float) -> int:
    """The machines that read and encode all images within so many seconds.

    Raises BadSetting where the catalog would take longer, or the speed of a pipeline was not measured.
    """
    each = _encode_seconds(request)
    if each is None:
        raise BadSetting(f"machines for a deadline cannot be planned: {_unmeasured(request)}")
    least = request.images / c.CATALOG_RATE
    if seconds < least:
        raise BadSetting(
            f"a catalog takes {c.CATALOG_RATE:,} images/s at most (measured on two cores): {request.images:,} images "
            f"take {math.ceil(least / 3600):,} hours, whatever machines add them: give a longer --deadline"
        )
    return math.ceil(request.images * each / seconds / request.cores)


def _choose_index(pipeline: PipelineSpec, request: PlanRequest) -> IndexPlan:
    """The index of a pipeline: the requested engine, or the smallest that is enough."""
    requested = request.engines.get(pipeline.name)
    if requested is not None:
        return _plan_index(requested, pipeline, request, "as requested")
    server = SERVER_ENGINE[pipeline.metric]
    if request.replicas:
        return _plan_index(server, pipeline, request, "because embedded engines have no copies on other machines")
    engine = "hnsw" if pipeline.metric == "cosine" else "mih" if pipeline.dimensions == 64 else "flat"
    exceeded = _exceeded_limit(engine, pipeline, request)
    if exceeded is None:
        return _plan_index(engine, pipeline, request, "because one machine is enough, and no server is needed")
    if engine == "flat":
        raise BadSetting(f"{pipeline.name}: {exceeded}, and no engine on a server holds hashes of other than 64 bits")
    return _plan_index(server, pipeline, request, f"because {exceeded}")


def _plan_index(engine: str, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    if engine not in ENGINES:
        raise BadSetting(f"no engine is called {engine!r} (for {pipeline.name}); there are {', '.join(ENGINES)}")
    suitable = [name for name, metrics in ENGINES.items() if pipeline.metric in metrics]
    if pipeline.metric == "hamming" and pipeline.dimensions != 64:
        suitable = ["flat"]
    if engine not in suitable:
        kind = "vectors" if pipeline.metric == "cosine" else f"hashes of {pipeline.dimensions} bits"
        raise BadSetting(f"{engine} cannot store the {kind} of {pipeline.name}: choose {', '.join(suitable)}")
    if engine == "milvus" or engine in MILVUS_TYPES:
        return milvus.plan_index(None if engine == "milvus" else engine, pipeline, request, why)
    if engine == "elasticsearch":
        return elasticsearch.plan_index(pipeline, request, why)
    return embedded.plan_index(engine, pipeline, request, why)


def _exceeded_limit(engine: str, pipeline: PipelineSpec, request: PlanRequest) -> str | None:
    """Why the embedded engine is not enough on the requested machines; None where it is."""
    if engine != "flat" and request.images > embedded.MAX_ROWS[engine]:
        return f"{engine} holds at most {embedded.MAX_ROWS[engine]:,} rows"
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


def _encode_seconds(request: PlanRequest) -> float | None:
    """Core seconds to read an image and encode it for every pipeline; None where one was not measured."""
    networks = [pipeline.name for pipeline in request.pipelines if pipeline.name != "phash"]
    seconds = [ENCODE.get(name, {}).get(request.precision, math.nan) for name in networks]
    total = c.READ + sum(seconds) / c.ADDING
    return None if math.isnan(total) else total


def _unmeasured(request: PlanRequest) -> str:
    networks = [pipeline.name for pipeline in request.pipelines if pipeline.name != "phash"]
    names = [name for name in networks if request.precision not in ENCODE.get(name, {})]
    return f"the speed of {', '.join(names)} in {request.precision} was not measured: add a thousand images and time it"


def _build_seconds(request: PlanRequest, indexes: Sequence[IndexPlan]) -> float:
    """Seconds in which one machine builds the embedded graphs."""
    graphs = sum(index.engine == "hnsw" for index in indexes)
    return graphs * request.images * c.GRAPH_BUILD * embedded.graph_growth(request.images) / request.cores


def _notes(request: PlanRequest, indexes: Sequence[IndexPlan], stored: CatalogPlan) -> Iterator[str]:
    inside = [index.pipeline for index in indexes if index.embedded]
    if not inside and stored.features > c.TB:
        saved = f"features=engine in the catalog's URL saves its {stored.features / c.TB:,.1f} TB of features"
        yield f"{saved}; a lost index is then restored from its engine's backups, or by reading the images again"
    if (seconds := _encode_seconds(request)) is None:
        yield _unmeasured(request)
    elif request.machines * request.cores / seconds > c.CATALOG_RATE:
        yield f"the catalog takes {c.CATALOG_RATE:,} images/s at most (measured on two cores), whatever machines add"
    if 0 < len(inside) < len(indexes):
        yield f"{', '.join(inside)} is embedded: every server process holds it; a machine shares mapped files"
