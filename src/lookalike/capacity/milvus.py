"""Milvus, generation 2 as published: one collection, segments of rows, an index type, and partitions for tenants."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from lookalike.capacity import measurements as c
from lookalike.capacity.embedded import graph_search_seconds
from lookalike.capacity.models import IndexPlan, PipelineSpec, PlanRequest, Setting

MAX_ROWS = 1 << 31
"""The largest `rows` that an index URL accepts."""
INDEX_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "DISKANN")


@dataclass(frozen=True, slots=True)
class IndexType:
    """Bytes a row in memory and on the query nodes' disks, and core seconds to search a segment."""

    memory: float
    seconds: float
    local_disk: float = 0
    settings: dict[str, Setting] = field(default_factory=dict)

    def loaded_bytes(self, request: PlanRequest) -> float:
        """Memory of all rows on the nodes that search them: the index, and the fields beside it."""
        return request.images * (c.MILVUS_OVERHEAD * self.memory + c.MILVUS_ROW + request.attributes)


@dataclass(frozen=True, slots=True)
class Layout:
    """Bytes and rows of a segment, the number of segments, and the tenants' partitions with their settings."""

    segment: int
    rows: int
    segments: int
    partitions: int = 1
    url_options: str = ""
    settings: dict[str, Setting] = field(default_factory=dict)


def plan_index(name: str | None, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """The index of vectors; the index type is chosen by memory where it is None."""
    copies = 2 if request.replicas is None else 1 + request.replicas
    layout = _layout(pipeline, request)
    name = name or _choose_type(pipeline, request, layout, copies)
    kind = _index_type(name, pipeline, min(layout.rows, request.images))
    stored = pipeline.feature_bytes + c.MILVUS_FIELDS + request.attributes + (kind.local_disk or kind.memory)
    loaded = copies * kind.loaded_bytes(request) / c.MILVUS_FULL
    nodes = max(copies, math.ceil(loaded / request.memory))
    options = f"index={name}&replicas={copies}&rows={min(request.images, MAX_ROWS)}{layout.url_options}"
    return IndexPlan(
        pipeline=pipeline.name,
        engine="milvus",
        index_type=name,
        why=why,
        url=f"milvus://USER:PASSWORD@HOST:19530?{options}",
        memory=math.ceil(loaded + nodes * (c.MILVUS_BASE + c.MILVUS_LOADED)),
        disk=math.ceil(request.images * (stored + copies * kind.local_disk)),
        cores=request.searches * max(1, math.ceil(layout.segments / layout.partitions)) * kind.seconds,
        all_tenants=layout.segments * kind.seconds,
        copies=copies,
        machines=nodes,
        settings={
            "index_type": name,
            **kind.settings,
            **layout.settings,
            "replica_number": copies,
            "segment_max_size_mb": round(layout.segment / c.MB),
            "segments": layout.segments,
            "query_nodes": nodes,
        },
        notes=tuple(_notes(name, layout, request, copies)),
    )


def _layout(pipeline: PipelineSpec, request: PlanRequest) -> Layout:
    """Segments that grow until there are no more than are searched well, and the tenants' partitions."""
    row = pipeline.feature_bytes + c.MILVUS_FIELDS + request.attributes
    size = float(c.MILVUS_SEGMENT)
    while request.images * row / size > c.MILVUS_MAX_SEGMENTS and size < c.MILVUS_MAX_SEGMENT:
        size *= 2
    rows = max(1, int(size / row))
    segments = math.ceil(request.images / rows)
    if request.tenants == 1:
        return Layout(int(size), rows, segments)
    if request.tenants <= c.MILVUS_NAMED:
        named: dict[str, Setting] = {"partitions": request.tenants}
        return Layout(int(size), rows, max(segments, request.tenants), request.tenants, "&tenants=partitions", named)
    power_of_two = 2 ** math.ceil(math.log2(max(segments, 1)))
    partitions = int(min(c.MILVUS_PARTITIONS, max(c.MILVUS_KEY_PARTITIONS, power_of_two)))
    keyed: dict[str, Setting] = {"partition_key": "tenant", "num_partitions": partitions}
    options = f"&tenants=key&buckets={partitions}"
    return Layout(int(size), rows, max(segments, partitions), partitions, options, keyed)


def _choose_type(pipeline: PipelineSpec, request: PlanRequest, layout: Layout, copies: int) -> str:
    """A scan of few rows, else the first of HNSW, IVF_SQ8 and DISKANN that fits on few enough machines."""
    if request.images <= c.MILVUS_SCAN_ROWS:
        return "FLAT"
    for name in ("HNSW", "IVF_SQ8"):
        loaded = copies * _index_type(name, pipeline, layout.rows).loaded_bytes(request) / c.MILVUS_FULL
        if loaded <= c.MILVUS_MAX_NODES * request.memory:
            return name
    return "DISKANN"


def _index_type(name: str, pipeline: PipelineSpec, rows: int) -> IndexType:
    raw = pipeline.feature_bytes
    match name:
        case "FLAT":
            return IndexType(raw, rows * pipeline.dimensions * c.SCAN_FLOAT)
        case "HNSW":
            seconds = c.MILVUS_SEARCH * graph_search_seconds(rows) / graph_search_seconds(c.GRAPH_SEARCH_ROWS)
            settings: dict[str, Setting] = {"M": int(c.GRAPH_M), "efConstruction": 200, "ef": 128}
            return IndexType(raw + 2 * c.GRAPH_M * c.GRAPH_LINK + c.MILVUS_NODE, seconds, settings=settings)
        case "DISKANN":
            node = raw + c.DISK_DEGREE * 4 + 4
            sector = float(c.DISK_SECTOR)
            disk = sector / math.floor(sector / node) if node <= sector else sector * math.ceil(node / sector)
            settings = {"max_degree": int(c.DISK_DEGREE), "search_list": 100}
            return IndexType(raw * (c.DISK_CODES + c.DISK_CACHE), float(c.DISK_SEARCH), disk, settings)
        case _:
            number = 1 if name == "IVF_SQ8" else 4
            memory = pipeline.dimensions * number + 8 + c.IVF_LISTS * raw / rows
            seconds = (c.IVF_LISTS + rows * c.IVF_PROBES / c.IVF_LISTS) * pipeline.dimensions * c.SCAN_FLOAT
            return IndexType(memory, seconds, settings={"nlist": int(c.IVF_LISTS), "nprobe": int(c.IVF_PROBES)})


def _notes(name: str, layout: Layout, request: PlanRequest, copies: int) -> Iterator[str]:
    if "partition_key" in layout.settings:
        yield f"{request.tenants:,} tenants share {layout.partitions:,} partitions by a partition key"
    if layout.segment > c.MILVUS_SEGMENT:
        yield "larger segments: set dataCoord.segment.maxSize; nodes that build indexes need twice that"
    if name == "DISKANN":
        yield "DISKANN reads from the query nodes' own disks at every search: they must be NVMe"
    if name == "IVF_SQ8":
        yield "IVF_SQ8 stores a byte a dimension: measured recall@10 0.986, HNSW 0.991"
    if copies == 1:
        yield "one copy: searches fail while a query node is being replaced"
