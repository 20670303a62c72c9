"""The plan: which engine each pipeline gets and why, and what the whole gallery takes."""

import math
from collections.abc import Iterator, Sequence

from lookalike.capacity import engines
from lookalike.capacity import measurements as c
from lookalike.capacity.engines import plan_catalog
from lookalike.capacity.models import ENGINES, SERVER_ENGINE, CatalogPlan, IndexPlan, PipelineSpec, Plan, PlanRequest
from lookalike.errors import BadSetting

VGG16_COPY = ("vgg16-copy", "vgg16-copy-256", "vgg16-copy-256-int8", "vgg16-copy-binary")
"""Models of one network: nearly all of their time is that of its convolutions."""
ENCODE = {"vgg16": c.VGG16, **dict.fromkeys(VGG16_COPY, c.VGG16_COPY)}
"""Core seconds of each network whose speed was measured, by precision."""


def make_plan(request: PlanRequest) -> Plan:
    """What a gallery takes; raises BadSetting, with the remedy, for an impossible one."""
    indexes = tuple(_choose_index(pipeline, request) for pipeline in request.pipelines)
    if not all(index.embedded for index in indexes):
        stored = plan_catalog(request, "postgresql", "several machines search and add")
    elif request.images > c.SQLITE_MAX_IMAGES:
        stored = plan_catalog(request, "postgresql", f"more than {c.SQLITE_MAX_IMAGES:,} images")
    else:
        stored = plan_catalog(request, "sqlite", "one machine is enough")
    inside = [index for index in indexes if index.embedded]
    seconds = _encode_seconds(request)
    query_cores = None if seconds is None else request.searches * seconds
    # servers are searched from two processes, so that one may fail
    busy = (query_cores or 0) + sum(index.cores for index in inside)
    processes = max(1 if len(inside) == len(indexes) else 2, math.ceil(busy / request.cores))
    process_memory = c.PROCESS + (c.NETWORK if any(p.metric == "cosine" for p in request.pipelines) else 0)
    copies = [(index, processes if index.embedded else 1) for index in indexes]
    rate = None if seconds is None else min(request.machines * request.cores / seconds, c.CATALOG_RATE)
    graphs = sum(index.engine == "hnsw" for index in indexes)  # one machine builds them
    build = graphs * request.images * c.GRAPH_BUILD * engines.graph_growth(request.images) / request.cores
    return Plan(
        request=request,
        pipelines=indexes,
        catalog=stored,
        processes=processes,
        process_memory=process_memory,
        query_cores=query_cores,
        memory=sum(index.memory * n for index, n in copies) + processes * process_memory,
        disk=stored.disk + sum(index.disk * n for index, n in copies),
        cores=None if query_cores is None else query_cores + sum(index.cores for index in indexes),
        rate=rate,
        core_hours=None if seconds is None else request.images * seconds / 3600,
        days=None if rate is None else (request.images / rate + build) / 86_400,
        notes=tuple(_notes(request, indexes, stored)),
    )


def machines_for(request: PlanRequest, seconds: float) -> int:
    """The machines that read and encode all images within so many seconds.

    Raises BadSetting where the catalog would take longer, or the speed of a pipeline was not measured.
    """
    each = _encode_seconds(request)
    if each is None:
        raise BadSetting(f"machines for a deadline cannot be planned: {_unmeasured_note(request)}")
    least = request.images / c.CATALOG_RATE
    if seconds < least:
        raise BadSetting(
            f"a catalog takes {c.CATALOG_RATE:,} images/s at most (measured on two cores): {request.images:,} images "
            f"take {math.ceil(least / 3600):,} hours, whatever machines add them: give a longer --deadline"
        )
    return math.ceil(request.images * each / seconds / request.cores)


def _choose_index(pipeline: PipelineSpec, request: PlanRequest) -> IndexPlan:
    """The index of a pipeline: the requested engine, or the smallest that is enough."""
    engine: str = next(name for name in ("mih", "hnsw", "flat") if name in pipeline.engines)
    server = SERVER_ENGINE[pipeline.metric]
    if (requested := request.engines.get(pipeline.name)) is not None:
        _check_engine(requested, pipeline)
        engine, why = requested, "as requested"
    elif request.replicas:
        engine, why = server, "because embedded engines have no copies on other machines"
        _check_engine(engine, pipeline)
    elif (exceeded := _exceeded_limit(engine, pipeline, request)) is None:
        why = "because one machine is enough, and no server is needed"
    elif server in pipeline.engines:
        engine, why = server, f"because {exceeded}"
    else:
        raise BadSetting(f"{pipeline.name}: {exceeded}, and no engine on a server holds hashes of other than 64 bits")
    if engine == "elasticsearch":
        return engines.plan_elasticsearch(pipeline, request, why)
    if engine in engines.MAX_ROWS:
        return engines.plan_embedded(engine, pipeline, request, why)
    return engines.plan_milvus(None if engine == "milvus" else engine, pipeline, request, why)


def _check_engine(engine: str, pipeline: PipelineSpec) -> None:
    if engine not in ENGINES:
        raise BadSetting(f"no engine is called {engine!r} (for {pipeline.name}); there are {', '.join(ENGINES)}")
    if engine not in pipeline.engines:
        kind = "vectors" if pipeline.metric == "cosine" else f"hashes of {pipeline.dimensions} bits"
        raise BadSetting(f"{engine} cannot store the {kind} of {pipeline.name}: choose {', '.join(pipeline.engines)}")


def _exceeded_limit(engine: str, pipeline: PipelineSpec, request: PlanRequest) -> str | None:
    """Why the embedded engine is not enough on the requested machines; None where it is."""
    if engine != "flat" and request.images > engines.MAX_ROWS[engine]:
        return f"{engine} holds at most {engines.MAX_ROWS[engine]:,} rows"
    if request.machines > 1:
        return f"{request.machines:,} machines add, and each would hold all of {engine}"
    need = engines.footprint(engine, request.images, pipeline, request.tenants)
    if need.adding > request.usable_memory:
        peak, memory = need.adding / c.GB, request.memory / c.GB
        return f"{engine} would need {peak:,.0f} GB in one process while adding; a machine has {memory:,.0f} GB"
    busy = request.searches * need.seconds
    if busy > request.cores:
        return f"{engine} would keep {busy:,.0f} cores busy; a machine has {request.cores}"
    return None


def _unmeasured(request: PlanRequest) -> list[str]:
    """The networks whose speed was not measured in this precision."""
    names = [pipeline.name for pipeline in request.pipelines if pipeline.name != "phash"]
    return [name for name in names if request.precision not in ENCODE.get(name, {})]


def _unmeasured_note(request: PlanRequest) -> str:
    names = ", ".join(_unmeasured(request))
    return f"the speed of {names} in {request.precision} was not measured: add a thousand images and time it"


def _encode_seconds(request: PlanRequest) -> float | None:
    """Core seconds to read an image and encode it for every pipeline; None where one was not measured."""
    if _unmeasured(request):
        return None
    networks = [ENCODE[p.name][request.precision] for p in request.pipelines if p.name != "phash"]
    return c.READ + sum(networks) / c.ADDING


def _notes(request: PlanRequest, indexes: Sequence[IndexPlan], stored: CatalogPlan) -> Iterator[str]:
    inside = [index.pipeline for index in indexes if index.embedded]
    if not inside and stored.features > c.TB:
        saved = f"features=engine in the catalog's URL saves its {stored.features / c.TB:,.1f} TB of features"
        yield f"{saved}; a lost index is then restored from its engine's backups, or by reading the images again"
    if (seconds := _encode_seconds(request)) is None:
        yield _unmeasured_note(request)
    elif request.machines * request.cores / seconds > c.CATALOG_RATE:
        yield f"the catalog takes {c.CATALOG_RATE:,} images/s at most (measured on two cores), whatever machines add"
    if 0 < len(inside) < len(indexes):
        yield f"{', '.join(inside)} is embedded: every server process holds it; a machine shares mapped files"
