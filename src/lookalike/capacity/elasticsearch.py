"""Elasticsearch, generation 1 as published: documents of eight segments, in shards."""

import math
from dataclasses import dataclass

from lookalike.capacity import measurements as c
from lookalike.capacity.models import IndexPlan, Setting
from lookalike.capacity.request import PipelineSpec, PlanRequest
from lookalike.errors import BadSetting

USED = (
    *(c.ES_DOCUMENT, c.ES_TEXT, c.ES_SHARD_BYTES, c.ES_SHARD_ROWS, c.ES_HEAP, c.ES_HEAP_SHARE, c.ES_SMALL_HEAP),
    *(c.ES_MERGING, c.ES_QUORUM, c.ES_SEARCH, c.ES_SEARCH_ROWS, c.ES_LEAD, c.VIEWS),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Bytes of one copy of the documents, the shards they lie in, and the nodes, with their heap, that hold all copies.

    `by` is what decides the shard of a document: its tenant, or, where there is but one, its id.
    """

    disk: float
    shards: int
    replicas: int
    nodes: int
    heap: float
    by: str


def part(pipeline: PipelineSpec, wish: PlanRequest, why: str) -> IndexPlan:
    """The index of a hash."""
    if pipeline.metric != "hamming" or pipeline.dimensions != 64:
        raise BadSetting(f"elasticsearch holds hashes of 64 bits, and {pipeline.name} has none: choose milvus or hnsw")
    layout = _lay_out(wish)
    copies = 1 + layout.replicas
    of_shard = wish.images / layout.shards
    alone = _seconds(min(of_shard, c.ES_LEAD.value * wish.images / wish.tenants))
    asked = 1 if layout.by == "tenant" else layout.shards
    options = f"m=5&shards={layout.shards}&replicas={layout.replicas}&routing={layout.by}"
    return IndexPlan(
        pipeline.name,
        "elasticsearch",
        None,
        copies,
        math.ceil(copies * layout.disk + layout.nodes * layout.heap),
        0,
        math.ceil(copies * layout.disk * c.ES_MERGING.value),
        wish.searches * asked * alone,
        layout.shards * _seconds(of_shard),
        layout.nodes,
        why,
        f"elasticsearch://USER:PASSWORD@HOST:9200?{options}",
        _settings(layout),
        tuple(_notes(layout)),
        USED,
    )


def _lay_out(wish: PlanRequest) -> Layout:
    replicas = 1 if wish.replicas is None else wish.replicas
    copies = 1 + replicas
    disk = wish.images * (c.ES_DOCUMENT.value + c.ES_TEXT.value * wish.attributes)
    shards = max(1, math.ceil(wish.images / c.ES_SHARD_ROWS.value), math.ceil(disk / c.ES_SHARD_BYTES.value))
    most = min(c.ES_HEAP.value, c.ES_HEAP_SHARE.value * wish.memory)
    heap = most if disk > c.GB else min(most, c.ES_SMALL_HEAP.value)
    quorum = int(c.ES_QUORUM.value) if replicas else 1
    nodes = max(math.ceil(copies * disk / (wish.memory - heap)), quorum, copies)
    return Layout(disk, shards, replicas, nodes, heap, "tenant" if wish.tenants > 1 else "id")


def _settings(layout: Layout) -> dict[str, Setting]:
    return {
        "number_of_shards": layout.shards,
        "number_of_replicas": layout.replicas,
        "routing": layout.by,
        "minimum_should_match": 5,
        "heap_gb": round(layout.heap / c.GB, 1),
        "nodes": layout.nodes,
    }


def _notes(layout: Layout) -> list[str]:
    notes = []
    if layout.by == "tenant" and layout.shards > 1:
        notes.append(
            "a tenant's images lie in one shard, and a search asks that one: a huge tenant wants a gallery of its own"
        )
    if layout.replicas == 0:
        notes.append("no replica: a node that dies takes its shards with it until repair has built them anew")
    return notes


def _seconds(rows: float) -> float:
    """Seconds of one core for one search of an image in one shard."""
    return c.VIEWS.value * (c.ES_SEARCH.value + rows * c.ES_SEARCH_ROWS.value)
