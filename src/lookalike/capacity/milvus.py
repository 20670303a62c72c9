"""Milvus, generation 2 as published: one collection, segments of rows, an index type, and partitions for tenants."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from lookalike.capacity import measurements as c
from lookalike.capacity.embedded import graph_growth
from lookalike.capacity.models import IndexPlan, PipelineSpec, PlanRequest

MAX_ROWS = 1 << 31
"""The largest `rows` that an index URL accepts."""


class IndexType(NamedTuple):
    """Bytes a row in memory and on the query nodes' own disks, and core seconds to search a segment."""

    memory: float
    local_disk: float
    seconds: float


def plan_index(name: str | None, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """The index of vectors; the index type is chosen by memory where `name` is None."""
    copies = 2 if request.replicas is None else 1 + request.replicas
    row = pipeline.feature_bytes + c.MILVUS_FIELDS + c.ATTRIBUTES
    segment = _segment_bytes(row, request.images)
    rows = min(max(1, segment // row), request.images)
    segments = math.ceil(request.images / rows)
    partitions, tenancy = _partitions(request.tenants, segments)
    name = name or _choose_type(pipeline, request, rows, copies)
    kind = _index_type(name, pipeline, rows)
    loaded = _loaded(kind, request, copies)
    nodes = max(copies, math.ceil(loaded / request.memory))
    options = f"index={name}&replicas={copies}&rows={min(request.images, MAX_ROWS)}{tenancy}"
    return IndexPlan(
        pipeline=pipeline.name,
        engine="milvus",
        index_type=name,
        why=why,
        url=f"milvus://USER:PASSWORD@HOST:19530?{options}",
        memory=math.ceil(loaded + nodes * (c.MILVUS_BASE + c.MILVUS_LOADED)),
        disk=math.ceil(request.images * (row + (kind.local_disk or kind.memory) + copies * kind.local_disk)),
        cores=request.searches * math.ceil(segments / partitions) * kind.seconds,
        copies=copies,
        machines=nodes,
        notes=tuple(_notes(name, segment, request.tenants, partitions, copies)),
    )


def _segment_bytes(row: int, images: int) -> int:
    """The size of a segment: larger than usual where there would be too many of them."""
    size = c.MILVUS_SEGMENT
    while images * row / size > c.MILVUS_MAX_SEGMENTS and size < c.MILVUS_MAX_SEGMENT:
        size *= 2
    return size


def _partitions(tenants: int, segments: int) -> tuple[int, str]:
    """The number of partitions and their URL options: one for one tenant, by name for a few, by key beyond."""
    if tenants == 1:
        return 1, ""
    if tenants <= c.MILVUS_NAMED:
        return tenants, "&tenants=partitions"
    number = min(c.MILVUS_PARTITIONS, max(c.MILVUS_KEY_PARTITIONS, 2 ** math.ceil(math.log2(segments))))
    return number, f"&tenants=key&buckets={number}"


def _loaded(kind: IndexType, request: PlanRequest, copies: int) -> float:
    """Memory of the nodes that search all rows: the index, and the fields beside it."""
    row = c.MILVUS_OVERHEAD * kind.memory + c.MILVUS_ROW + c.ATTRIBUTES
    return copies * request.images * row / c.MILVUS_FULL


def _choose_type(pipeline: PipelineSpec, request: PlanRequest, rows: int, copies: int) -> str:
    """A scan of few rows, else the first of HNSW, IVF_SQ8 and DISKANN that fits on few enough machines."""
    if request.images <= c.MILVUS_SCAN_ROWS:
        return "FLAT"
    for name in ("HNSW", "IVF_SQ8"):
        if _loaded(_index_type(name, pipeline, rows), request, copies) <= c.MILVUS_MAX_NODES * request.memory:
            return name
    return "DISKANN"


def _index_type(name: str, pipeline: PipelineSpec, rows: int) -> IndexType:
    raw, scan = pipeline.feature_bytes, pipeline.dimensions * c.SCAN_FLOAT
    if name == "FLAT":
        return IndexType(raw, 0, rows * scan)
    if name == "HNSW":
        return IndexType(raw + 2 * c.GRAPH_M * c.GRAPH_LINK + c.MILVUS_NODE, 0, c.MILVUS_SEARCH * graph_growth(rows))
    if name == "DISKANN":
        node = raw + (c.DISK_DEGREE + 1) * 4
        sectors = math.ceil(node / c.DISK_SECTOR) if node > c.DISK_SECTOR else 1 / (c.DISK_SECTOR // node)
        return IndexType(raw * c.DISK_MEMORY, sectors * c.DISK_SECTOR, c.DISK_SEARCH)
    memory = pipeline.dimensions * (1 if name == "IVF_SQ8" else 4) + 8 + c.IVF_LISTS * raw / rows
    return IndexType(memory, 0, (c.IVF_LISTS + rows * c.IVF_PROBES / c.IVF_LISTS) * scan)


def _notes(name: str, segment: int, tenants: int, partitions: int, copies: int) -> Iterator[str]:
    if tenants > partitions:
        yield f"{tenants:,} tenants share {partitions:,} partitions by a partition key"
    if segment > c.MILVUS_SEGMENT:
        yield f"set dataCoord.segment.maxSize to {segment // c.MB:,} MB; nodes that build indexes need twice that"
    if name == "DISKANN":
        yield "DISKANN reads from the query nodes' own disks at every search: they must be NVMe"
    if name == "IVF_SQ8":
        yield "IVF_SQ8 stores a byte a dimension: measured recall@10 0.986, HNSW 0.991"
    if copies == 1:
        yield "one copy: searches fail while a query node is being replaced"
