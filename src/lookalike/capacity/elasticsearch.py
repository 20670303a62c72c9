"""Elasticsearch, generation 1 as published: documents of eight segments, in shards."""

import math
from collections.abc import Iterator

from lookalike.capacity import measurements as c
from lookalike.capacity.models import IndexPlan, PipelineSpec, PlanRequest


def plan_index(pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """The index of a hash; documents are routed by tenant, or by id where there is only one tenant."""
    replicas = 1 if request.replicas is None else request.replicas
    copies = 1 + replicas
    disk = request.images * (c.ES_DOCUMENT + c.ES_ATTRIBUTES * request.attributes)
    shards = max(1, math.ceil(request.images / c.ES_SHARD_ROWS), math.ceil(disk / c.ES_SHARD_BYTES))
    heap = min(c.ES_MAX_HEAP, c.ES_HEAP_SHARE * request.memory, math.inf if disk > c.GB else c.ES_SMALL_HEAP)
    quorum = int(c.ES_QUORUM) if replicas else 1
    nodes = max(math.ceil(copies * disk / (request.memory - heap)), quorum, copies)
    routing = "tenant" if request.tenants > 1 else "id"
    shard_rows = request.images / shards
    searched = _seconds(min(shard_rows, c.ES_LEAD * request.images / request.tenants))
    return IndexPlan(
        pipeline=pipeline.name,
        engine="elasticsearch",
        why=why,
        url=f"elasticsearch://USER:PASSWORD@HOST:9200?m=5&shards={shards}&replicas={replicas}&routing={routing}",
        memory=math.ceil(copies * disk + nodes * heap),
        disk=math.ceil(copies * disk * c.ES_MERGING),
        cores=request.searches * (1 if routing == "tenant" else shards) * searched,
        all_tenants=shards * _seconds(shard_rows),
        copies=copies,
        machines=nodes,
        settings={
            "number_of_shards": shards,
            "number_of_replicas": replicas,
            "routing": routing,
            "minimum_should_match": 5,
            "heap_gb": round(heap / c.GB, 1),
            "nodes": nodes,
        },
        notes=tuple(_notes(routing, shards, replicas)),
    )


def _notes(routing: str, shards: int, replicas: int) -> Iterator[str]:
    if routing == "tenant" and shards > 1:
        yield "a tenant's images are in one shard, the only one searched: give a huge tenant its own gallery"
    if replicas == 0:
        yield "no replica: the shards of a failed node are missing until repair has rebuilt them"


def _seconds(rows: float) -> float:
    """Core seconds to search one image in one shard."""
    return c.VIEWS * (c.ES_SEARCH + rows * c.ES_SEARCH_ROWS)
