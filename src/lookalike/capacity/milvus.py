"""Milvus, generation 2 as published: one collection, segments of rows, an index type, and partitions for tenants."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lookalike.capacity import measurements as c
from lookalike.capacity.embedded import walking
from lookalike.capacity.measurements import Constant
from lookalike.capacity.models import IndexPlan, Setting
from lookalike.capacity.request import PipelineSpec, PlanRequest
from lookalike.errors import BadSetting

MAX_ROWS = 1 << 31
"""The largest number that an address takes."""
USED = (
    *(c.FLOAT, c.MILVUS_FIELDS, c.MILVUS_ROOM, c.MILVUS_ROW, c.MILVUS_FULL, c.MILVUS_LEAST, c.MILVUS_LOADED),
    *(c.MILVUS_SEGMENT, c.MILVUS_PARTITIONS),
)
INDEX_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "DISKANN")


@dataclass(frozen=True, slots=True)
class Kind:
    """Bytes a row of an index type, in memory and on the query nodes' disks, and core seconds to search a segment."""

    memory: float
    local: float
    seconds: float
    settings: dict[str, Setting]
    used: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Bytes and rows of a segment, how many there are, and how the tenants lie in partitions."""

    segment: int
    rows: int
    segments: int
    partitions: int
    by: str


def part(index_type: str | None, pipeline: PipelineSpec, wish: PlanRequest, why: str) -> IndexPlan:
    """The index of vectors; the type chosen by memory where it is None."""
    if pipeline.metric != "cosine":
        raise BadSetting(f"milvus holds vectors, and {pipeline.name} is a hash: choose elasticsearch, mih or flat")
    chosen = index_type or choose(pipeline, wish)
    copies = 2 if wish.replicas is None else 1 + wish.replicas
    layout = lay_out(pipeline, wish)
    kind = KINDS[chosen](pipeline, min(layout.rows, wish.images))
    raw = wish.images * (pipeline.raw + c.MILVUS_FIELDS.value + wish.attributes)
    held = copies * rows_of(kind, wish.images, wish.attributes) / c.MILVUS_FULL.value
    nodes = max(copies, math.ceil(held / wish.memory))
    asked = max(1, math.ceil(layout.segments / layout.partitions))
    index = wish.images * (kind.local or kind.memory)
    return IndexPlan(
        pipeline.name,
        "milvus",
        chosen,
        copies,
        math.ceil(held + nodes * (c.MILVUS_LEAST.value + c.MILVUS_LOADED.value)),
        0,
        math.ceil(raw + index + copies * (wish.images * kind.local)),
        wish.searches * asked * kind.seconds,
        layout.segments * kind.seconds,
        nodes,
        why,
        _url(chosen, layout, copies, wish),
        _settings(chosen, kind, layout, copies, nodes),
        tuple(_notes(chosen, layout, wish, copies)),
        (*kind.used, *USED),
    )


def rows_of(kind: Kind, rows: int, attributes: int) -> float:
    """Bytes of so many rows on the nodes that search them: the index, and the fields beside it."""
    return rows * (c.MILVUS_ROOM.value * kind.memory + c.MILVUS_ROW.value + attributes)


def _settings(chosen: str, kind: Kind, layout: Layout, copies: int, nodes: int) -> dict[str, Setting]:
    partitions: dict[str, Setting] = {}
    if layout.by == "name":
        partitions = {"partitions": layout.partitions}
    elif layout.by == "key":
        partitions = {"partition_key": "tenant", "num_partitions": layout.partitions}
    return {
        "index_type": chosen,
        **kind.settings,
        **partitions,
        "replica_number": copies,
        "segment_max_size_mb": round(layout.segment / c.MB),
        "segments": layout.segments,
        "query_nodes": nodes,
    }


def _url(chosen: str, layout: Layout, copies: int, wish: PlanRequest) -> str:
    tenants = {"none": "", "name": "&tenants=partitions", "key": f"&tenants=key&buckets={layout.partitions}"}
    options = f"index={chosen}&replicas={copies}&rows={min(wish.images, MAX_ROWS)}{tenants[layout.by]}"
    return f"milvus://USER:PASSWORD@HOST:19530?{options}"


def _notes(chosen: str, layout: Layout, wish: PlanRequest, copies: int) -> list[str]:
    notes = []
    if layout.by == "key":
        notes.append(
            f"{wish.tenants:,} tenants share {layout.partitions:,} partitions by a key: one each would be too many"
        )
    if layout.segment > c.MILVUS_SEGMENT.value:
        notes.append("larger segments: set dataCoord.segment.maxSize, and give the nodes that build indexes twice that")
    if chosen == "DISKANN":
        notes.append("DISKANN reads from the query nodes' own disks at every search: NVMe, nothing slower")
    if chosen == "IVF_SQ8":
        notes.append("IVF_SQ8 keeps a byte a number: measured recall@10 0.986, HNSW 0.991")
    if copies == 1:
        notes.append("one copy: while a query node is being replaced, searches fail")
    return notes


def lay_out(pipeline: PipelineSpec, wish: PlanRequest) -> Layout:
    """Segments as large as needed to have no more than the system searches well, tenants in partitions."""
    each = pipeline.raw + c.MILVUS_FIELDS.value + wish.attributes
    size = c.MILVUS_SEGMENT.value
    while wish.images * each / size > c.MILVUS_SEGMENTS.value and size < c.MILVUS_SEGMENT_MOST.value:
        size *= 2
    rows = max(1, int(size / each))
    segments = math.ceil(wish.images / rows)
    if wish.tenants == 1:
        return Layout(int(size), rows, segments, 1, "none")
    if wish.tenants <= c.MILVUS_NAMED.value:
        return Layout(int(size), rows, max(segments, wish.tenants), wish.tenants, "name")
    wanted = 2 ** math.ceil(math.log2(max(segments, 1)))
    partitions = int(min(c.MILVUS_PARTITIONS.value, max(c.MILVUS_KEY_PARTITIONS.value, wanted)))
    return Layout(int(size), rows, max(segments, partitions), partitions, "key")


def choose(pipeline: PipelineSpec, wish: PlanRequest) -> str:
    """The best type that few enough machines hold: a scan of few rows, then HNSW, IVF_SQ8, DISKANN."""
    if wish.images <= c.MILVUS_SCANNED.value:
        return "FLAT"
    copies = 2 if wish.replicas is None else 1 + wish.replicas
    for name in ("HNSW", "IVF_SQ8"):
        rows = rows_of(KINDS[name](pipeline, lay_out(pipeline, wish).rows), wish.images, wish.attributes)
        if copies * rows / c.MILVUS_FULL.value <= c.MILVUS_NODES.value * wish.memory:
            return name
    return "DISKANN"


def _flat(pipeline: PipelineSpec, rows: int) -> Kind:
    seconds = rows * pipeline.dimensions * c.SCAN_FLOAT.value
    return Kind(pipeline.raw, 0, seconds, {}, (c.SCAN_FLOAT,))


def _ivf(bytes_a_number: float, pipeline: PipelineSpec, rows: int) -> Kind:
    lists, probes = int(c.IVF_LISTS.value), int(c.IVF_PROBES.value)
    centres = lists * pipeline.raw / rows
    seen = lists + rows * probes / lists
    memory = pipeline.dimensions * bytes_a_number + 8 + centres
    settings: dict[str, Setting] = {"nlist": lists, "nprobe": probes}
    return Kind(
        memory, 0, seen * pipeline.dimensions * c.SCAN_FLOAT.value, settings, (c.IVF_LISTS, c.IVF_PROBES, c.SCAN_FLOAT)
    )


def _hnsw(pipeline: PipelineSpec, rows: int) -> Kind:
    m = c.GRAPH_LINKS.value
    memory = pipeline.raw + 2 * m * c.GRAPH_LINK.value + c.MILVUS_NODE.value
    settings: dict[str, Setting] = {"M": int(m), "efConstruction": 200, "ef": 128}
    seconds = c.MILVUS_SEARCH.value * walking(rows) / walking(c.GRAPH_SEARCH_ROWS.value)
    return Kind(
        memory, 0, seconds, settings, (c.GRAPH_LINKS, c.GRAPH_LINK, c.MILVUS_NODE, c.MILVUS_SEARCH, c.GRAPH_SEARCH_ROWS)
    )


def _diskann(pipeline: PipelineSpec, rows: int) -> Kind:
    node = pipeline.raw + c.DISK_DEGREE.value * 4 + 4
    sector = c.DISK_SECTOR.value
    local = sector / math.floor(sector / node) if node <= sector else sector * math.ceil(node / sector)
    memory = pipeline.raw * (c.DISK_CODES.value + c.DISK_CACHE.value)
    used = (c.DISK_CODES, c.DISK_CACHE, c.DISK_DEGREE, c.DISK_SECTOR, c.DISK_SEARCH)
    return Kind(memory, local, c.DISK_SEARCH.value, {"max_degree": 56, "search_list": 100}, used)


KINDS: dict[str, Callable[[PipelineSpec, int], Kind]] = {
    "FLAT": _flat,
    "IVF_FLAT": lambda pipeline, rows: _ivf(4, pipeline, rows),
    "IVF_SQ8": lambda pipeline, rows: _ivf(1, pipeline, rows),
    "HNSW": _hnsw,
    "DISKANN": _diskann,
}
