"""Elasticsearch, generation 1 as published: documents of eight segments, in shards."""

import math

from lookalike.errors import BadSetting
from lookalike.plan import constants as c
from lookalike.plan.parts import Part
from lookalike.plan.wishes import PipelineWish, Wish


def part(pipeline: PipelineWish, wish: Wish, why: str) -> Part:
    """The index of a hash."""
    if pipeline.metric != "hamming" or pipeline.dimensions != 64:
        raise BadSetting(f"elasticsearch holds hashes of 64 bits, and {pipeline.name} has none: choose milvus or hnsw")
    rows, replicas = wish.pictures, 1 if wish.replicas is None else wish.replicas
    copies = 1 + replicas
    disk = rows * (c.ES_DOCUMENT.value + c.ES_TEXT.value * wish.attributes)
    shards = max(1, math.ceil(rows / c.ES_SHARD_ROWS.value), math.ceil(disk / c.ES_SHARD_BYTES.value))
    heap = min(c.ES_HEAP.value, c.ES_HEAP_SHARE.value * wish.memory)
    nodes = max(math.ceil(copies * disk / (wish.memory - heap)), c.ES_QUORUM.value if replicas else 1, copies)
    of_tenant, of_all = _seconds(min(rows / shards, c.ES_LEAD.value * rows / wish.tenants)), _seconds(rows / shards)
    routing = "tenant" if wish.tenants > 1 else "id"
    asked = 1 if wish.tenants > 1 else shards
    notes = []
    if wish.tenants > 1 and shards > 1:
        notes.append(
            "a tenant's pictures lie in one shard, and a search asks that one: a huge tenant wants a gallery of its own"
        )
    if replicas == 0:
        notes.append("no replica: a node that dies takes its shards with it until repair has built them anew")
    return Part(
        pipeline.name,
        "elasticsearch",
        None,
        copies,
        math.ceil(copies * disk + nodes * min(heap, c.ES_SMALL_HEAP.value if disk < c.GB else heap)),
        0,
        math.ceil(copies * disk * c.ES_MERGING.value),
        wish.searches * asked * of_tenant,
        shards * of_all,
        int(nodes),
        why,
        f"elasticsearch://USER:PASSWORD@HOST:9200?m=5&shards={shards}&replicas={replicas}&routing={routing}",
        {
            "number_of_shards": shards,
            "number_of_replicas": replicas,
            "routing": routing,
            "minimum_should_match": 5,
            "heap_gb": round((c.ES_SMALL_HEAP.value if disk < c.GB else heap) / c.GB, 1),
            "nodes": int(nodes),
        },
        tuple(notes),
        (
            c.ES_DOCUMENT,
            c.ES_TEXT,
            c.ES_SHARD_BYTES,
            c.ES_SHARD_ROWS,
            c.ES_HEAP,
            c.ES_HEAP_SHARE,
            c.ES_SMALL_HEAP,
            c.ES_MERGING,
            c.ES_QUORUM,
            c.ES_SEARCH,
            c.ES_SEARCH_ROWS,
            c.ES_LEAD,
            c.VIEWS,
        ),
    )


def _seconds(rows: float) -> float:
    """Seconds of one core for one search of a picture in one shard."""
    return c.VIEWS.value * (c.ES_SEARCH.value + rows * c.ES_SEARCH_ROWS.value)
