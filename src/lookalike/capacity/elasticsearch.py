"""Elasticsearch, generation 1 as published: documents of eight segments, in shards."""

import math

from lookalike.capacity import measurements as c
from lookalike.capacity.models import IndexPlan, PipelineSpec, PlanRequest


def plan_index(pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """The index of a hash; documents are routed by tenant, or by id where there is only one tenant."""
    replicas = 1 if request.replicas is None else request.replicas
    copies = 1 + replicas
    disk = request.images * (c.ES_DOCUMENT + c.ES_ATTRIBUTES * c.ATTRIBUTES)
    shards = max(1, math.ceil(request.images / c.ES_SHARD_ROWS), math.ceil(disk / c.ES_SHARD_BYTES))
    heap = min(c.ES_MAX_HEAP, c.ES_HEAP_SHARE * request.memory, math.inf if disk > c.GB else c.ES_SMALL_HEAP)
    nodes = max(math.ceil(copies * disk / (request.memory - heap)), c.ES_QUORUM if replicas else 1, copies)
    routing = "tenant" if request.tenants > 1 else "id"
    visited = min(request.images / shards, c.ES_LEAD * request.images / request.tenants)
    seconds = c.VIEWS * (c.ES_SEARCH + visited * c.ES_SEARCH_ROWS)
    notes = [f"a heap of {heap / c.GB:,.1f} GB a node"]
    if routing == "tenant" and shards > 1:
        notes.append("a tenant's images are in one shard, the only one searched: give a huge tenant its own gallery")
    if replicas == 0:
        notes.append("no replica: the shards of a failed node are missing until repair has rebuilt them")
    return IndexPlan(
        pipeline=pipeline.name,
        engine="elasticsearch",
        why=why,
        url=f"elasticsearch://USER:PASSWORD@HOST:9200?m=5&shards={shards}&replicas={replicas}&routing={routing}",
        memory=math.ceil(copies * disk + nodes * heap),
        disk=math.ceil(copies * disk * c.ES_MERGING),
        cores=request.searches * (1 if routing == "tenant" else shards) * seconds,
        copies=copies,
        machines=nodes,
        notes=tuple(notes),
    )
