"""Which engine a pipeline gets, why, and until when the embedded ones are enough."""

from lookalike.capacity import elasticsearch, embedded, milvus
from lookalike.capacity import measurements as c
from lookalike.capacity.models import IndexPlan, OutgrowPoint
from lookalike.capacity.request import PipelineSpec, PlanRequest
from lookalike.errors import BadSetting

ENGINES = ("flat", "mih", "hnsw", "elasticsearch", "milvus", *milvus.INDEX_TYPES)
"""What an engine may be called; one of the last names stands for `milvus` with that index type."""
EMBEDDED = {"hamming": "mih", "cosine": "hnsw"}
GROWN = {"hamming": "elasticsearch", "cosine": "milvus"}


def part(pipeline: PipelineSpec, wish: PlanRequest) -> IndexPlan:
    """The index of a pipeline: the engine wished for, or the smallest that is enough."""
    wished = wish.engines.get(pipeline.name)
    if wished is not None:
        return made(wished, pipeline, wish, "as wished")
    engine = EMBEDDED[pipeline.metric] if pipeline.dimensions == 64 or pipeline.metric == "cosine" else "flat"
    if wish.replicas:
        return made(GROWN[pipeline.metric], pipeline, wish, "embedded engines have no copies on other machines")
    reasons = _too_much(engine, pipeline, wish)
    if not reasons:
        return made(engine, pipeline, wish, "one machine is enough, and there is no server to look after")
    if engine == "flat":
        raise BadSetting(f"{pipeline.name}: {reasons[0]}, and no engine on a server holds hashes of other than 64 bits")
    return made(GROWN[pipeline.metric], pipeline, wish, reasons[0])


def made(engine: str, pipeline: PipelineSpec, wish: PlanRequest, why: str) -> IndexPlan:
    """The index of a pipeline in this engine; raises BadSetting for one that cannot hold it."""
    if engine in embedded.WEIGHTS:
        return embedded.part(engine, pipeline, wish, why)
    if engine == "elasticsearch":
        return elasticsearch.part(pipeline, wish, why)
    name = engine.removeprefix("milvus:")
    if name == "milvus" or name in milvus.INDEX_TYPES:
        return milvus.part(None if name == "milvus" else name, pipeline, wish, why)
    raise BadSetting(f"no engine is called {engine!r} (for {pipeline.name}); there are {', '.join(ENGINES)}")


def leaving(pipeline: PipelineSpec, index: IndexPlan, wish: PlanRequest) -> OutgrowPoint | None:
    """Until when an embedded index is enough; None for one on a server."""
    if not index.embedded:
        return None
    most = embedded.largest(index.engine, pipeline, wish)
    because = f"adding then takes more than {c.RESERVE.value:.0%} of {wish.memory / c.GB:,.0f} GB"
    to = GROWN[pipeline.metric] if pipeline.metric == "cosine" or pipeline.dimensions == 64 else "no other engine yet"
    return OutgrowPoint(pipeline.name, most, to, because)


def _too_much(engine: str, pipeline: PipelineSpec, wish: PlanRequest) -> list[str]:
    """Why the embedded engine is not enough on machines as wished for; empty where it is."""
    limit = c.MIH_LIMIT if engine == "mih" else c.HNSW_LIMIT
    if engine != "flat" and wish.images > limit.value:
        return [f"{engine} holds {limit.value:,.0f} rows at the most"]
    weight = embedded.WEIGHTS[engine](wish.images, pipeline, wish)
    reasons = []
    if wish.machines > 1:
        reasons.append(f"{wish.machines:,} machines add, and each would hold all of {engine}")
    if weight.adding > embedded.usable(wish):
        needed, there = weight.adding / c.GB, wish.memory / c.GB
        reasons.append(
            f"{engine} would need {needed:,.0f} GB in one process while adding; a machine has {there:,.0f} GB"
        )
    if wish.searches * weight.seconds > wish.cores:
        busy = wish.searches * weight.seconds
        reasons.append(f"{engine} would keep {busy:,.0f} cores busy; a machine has {wish.cores}")
    return reasons
