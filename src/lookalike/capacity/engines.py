"""What the index of a pipeline takes on each engine, and the catalog on each database: bytes and core seconds."""

import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from lookalike.capacity import measurements as c
from lookalike.capacity.models import SERVER_ENGINE, CatalogPlan, IndexPlan, PipelineSpec, PlanRequest
from lookalike.errors import BadSetting

MAX_ROWS = {"flat": c.MIH_MAX_ROWS, "mih": c.MIH_MAX_ROWS, "hnsw": c.HNSW_MAX_ROWS}
MAX_ADDRESS_ROWS = 1 << 31
"""The largest `rows` that the address of a Milvus index accepts."""


class Footprint(NamedTuple):
    """Bytes on disk, in memory while searching and at the peak of adding, and core seconds to search one image."""

    disk: float
    searching: float
    adding: float
    seconds: float


def footprint(engine: str, rows: int, pipeline: PipelineSpec, tenants: int) -> Footprint:
    """What an embedded index of so many rows takes.

    `mih` merges runs of its rows; `flat` and `hnsw` are memory-mapped arrays, which are rewritten from time to time and
    then held twice. A search of `flat` reads the rows of its tenant.
    """
    if engine == "mih":
        row = c.MIH_ROW + (c.MIH_TENANTS if tenants > 1 else 0)
        buffered = rows if rows <= c.MIH_BUFFER else c.MIH_BUFFER / 2
        disk = (rows - buffered) * row + buffered * c.MIH_BUFFERED + (c.MIH_BUCKETS if buffered < rows else 0)
        searching = disk + c.EMBEDDED_BUFFERS
        seconds = c.VIEWS * (c.MIH_SEARCH + rows * c.MIH_CANDIDATES)
        return Footprint(disk, searching, searching + c.MIH_MERGING * rows * row, seconds)
    if engine == "hnsw":
        node = pipeline.dimensions * c.HALF + 2 * c.GRAPH_M * c.GRAPH_LINK + c.GRAPH_ROW
        tables, seconds = c.HNSW_TABLES, c.GRAPH_SEARCH * graph_growth(rows)
    else:
        node, tables = 0, c.FLAT_TABLES
        hashes = c.VIEWS * c.SCAN_HASH * pipeline.feature_bytes / 8
        seconds = rows / tenants * (hashes if pipeline.metric == "hamming" else pipeline.dimensions * c.SCAN_FLOAT)
    disk = rows * (pipeline.feature_bytes + c.ROW + node)
    searching = disk + rows * tables + c.EMBEDDED_BUFFERS
    return Footprint(disk, searching, searching + (c.ADDING_COPIES - 1) * disk + c.ADDING_BATCH, seconds)


def graph_growth(rows: float) -> float:
    """The cost of a graph's row or search beside that of the measured graph: it grows as the logarithm of the rows."""
    return max(0.1, math.log(max(rows, 2)) / math.log(c.GRAPH_SEARCH_ROWS))


def plan_embedded(engine: str, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """An index in Lookalike's own processes; raises BadSetting where this engine cannot hold it."""
    server = SERVER_ENGINE[pipeline.metric]
    if request.replicas:
        raise BadSetting(f"{engine} is embedded and has no replicas: leave out --replicas, or choose {server}")
    if engine != "flat" and request.images > MAX_ROWS[engine]:
        raise BadSetting(f"{engine} holds at most {MAX_ROWS[engine]:,} rows: choose {server}")

    def peak(rows: int) -> float:
        return footprint(engine, rows, pipeline, request.tenants).adding

    need = footprint(engine, request.images, pipeline, request.tenants)
    return IndexPlan(
        pipeline=pipeline.name,
        engine=engine,
        why=why,
        url=engine,
        memory=math.ceil(need.searching),
        disk=math.ceil(need.disk),
        cores=request.searches * need.seconds,
        adding=math.ceil(need.adding),
        max_images=max(1, bisect_right(range(1, MAX_ROWS[engine] + 1), request.usable_memory, key=peak)),
    )


def plan_elasticsearch(pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """Documents of eight segments of a hash, routed by tenant, or by id where there is only one tenant."""
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


class IndexType(NamedTuple):
    """Bytes a row in memory and on the query nodes' own disks, and core seconds to search a segment of Milvus."""

    memory: float
    local_disk: float
    seconds: float


def plan_milvus(name: str | None, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """One collection in segments, with partitions for tenants; the type is chosen by memory where `name` is None."""
    copies = 2 if request.replicas is None else 1 + request.replicas
    row = pipeline.feature_bytes + c.MILVUS_FIELDS + c.ATTRIBUTES
    segment = c.MILVUS_SEGMENT
    while request.images * row / segment > c.MILVUS_MAX_SEGMENTS and segment < c.MILVUS_MAX_SEGMENT:
        segment *= 2
    rows = min(max(1, segment // row), request.images)
    segments = math.ceil(request.images / rows)
    partitions, tenancy = 1, ""
    if request.tenants > c.MILVUS_NAMED:
        partitions = max(c.MILVUS_KEY_PARTITIONS, 2 ** math.ceil(math.log2(segments)))
        partitions = min(c.MILVUS_PARTITIONS, partitions)
        tenancy = f"&tenants=key&buckets={partitions}"
    elif request.tenants > 1:
        partitions, tenancy = request.tenants, "&tenants=partitions"

    def loaded(kind: IndexType) -> float:
        """Memory of the nodes that search all rows: the index, and the fields beside it."""
        bytes_a_row = c.MILVUS_OVERHEAD * kind.memory + c.MILVUS_ROW + c.ATTRIBUTES
        return copies * request.images * bytes_a_row / c.MILVUS_FULL

    if name is None:
        # A scan of few rows, else the first type that fits on few enough machines.
        most = c.MILVUS_MAX_NODES * request.memory
        fitting = (kind for kind in ("HNSW", "IVF_SQ8") if loaded(_index_type(kind, pipeline, rows)) <= most)
        name = "FLAT" if request.images <= c.MILVUS_SCAN_ROWS else next(fitting, "DISKANN")
    kind = _index_type(name, pipeline, rows)
    nodes = max(copies, math.ceil(loaded(kind) / request.memory))
    options = f"index={name}&replicas={copies}&rows={min(request.images, MAX_ADDRESS_ROWS)}{tenancy}"
    return IndexPlan(
        pipeline=pipeline.name,
        engine="milvus",
        index_type=name,
        why=why,
        url=f"milvus://USER:PASSWORD@HOST:19530?{options}",
        memory=math.ceil(loaded(kind) + nodes * (c.MILVUS_BASE + c.MILVUS_LOADED)),
        disk=math.ceil(request.images * (row + (kind.local_disk or kind.memory) + copies * kind.local_disk)),
        cores=request.searches * math.ceil(segments / partitions) * kind.seconds,
        copies=copies,
        machines=nodes,
        notes=tuple(_milvus_notes(name, segment, request.tenants, partitions, copies)),
    )


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


def _milvus_notes(name: str, segment: int, tenants: int, partitions: int, copies: int) -> Iterator[str]:
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


def plan_catalog(request: PlanRequest, database: str, why: str) -> CatalogPlan:
    """The catalog in one of the two databases."""
    features = math.ceil(request.images * sum(feature_bytes(database, spec) for spec in request.pipelines))
    record, attributes, url = c.SQLITE_RECORD, c.SQLITE_ATTRIBUTES, None
    if database == "postgresql":
        record, attributes = c.PG_RECORD, c.PG_ATTRIBUTES
        url = "postgresql://USER:PASSWORD@HOST:5432/lookalike"
        if request.images > c.PG_PARTITION_ABOVE:
            partitions = 2 ** math.ceil(math.log2(request.images / c.PG_PARTITION))
            url += f"?partitions={min(partitions, c.PG_MAX_PARTITIONS)}"
    records = math.ceil(request.images * (record + attributes * c.ATTRIBUTES))
    return CatalogPlan(database, records + features, features, why, url)


def feature_bytes(database: str, pipeline: PipelineSpec) -> float:
    """Bytes of a stored feature with its key: a hash as it is, a vector in 16 or 8 bits a number, whole rows a page."""
    sqlite = database == "sqlite"
    if pipeline.metric == "hamming":
        return pipeline.feature_bytes + (c.SQLITE_HASH if sqlite else c.PG_HASH)
    page = c.SQLITE_PAGE if sqlite else c.PG_PAGE
    row = pipeline.dimensions * (1 if pipeline.storage == "int8" else c.HALF) + (c.SQLITE_ROW if sqlite else c.PG_ROW)
    pages = 1 / math.floor(page / row) if row <= page else math.ceil(row / page)
    return page * pages + (0 if sqlite else c.PG_PRIMARY_KEY)
