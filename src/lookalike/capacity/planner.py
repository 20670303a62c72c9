"""The plan of a gallery: which engine each pipeline gets and why, and what indexes, catalog and processes take."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lookalike.capacity import measurements as c
from lookalike.errors import BadSetting
from lookalike.types import Metric, Storage

EMBEDDED: Mapping[Metric, tuple[str, ...]] = {"hamming": ("flat", "mih"), "cosine": ("flat", "hnsw")}
SERVER_ENGINE: Mapping[Metric, str] = {"hamming": "elasticsearch", "cosine": "milvus"}
MILVUS_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "DISKANN")
ENGINES = ("flat", "mih", "hnsw", "elasticsearch", "milvus", *MILVUS_TYPES)
"""The engines, and `milvus` with one index type."""
MAX_ROWS = {"flat": c.MIH_MAX_ROWS, "mih": c.MIH_MAX_ROWS, "hnsw": c.HNSW_MAX_ROWS}
MAX_ADDRESS_ROWS = 1 << 31
"""The largest `rows` that the address of a Milvus index accepts."""
VGG16_COPY = ("vgg16-copy", "vgg16-copy-256", "vgg16-copy-256-int8", "vgg16-copy-binary")
"""Models of one network: nearly all of their time is that of its convolutions."""
ENCODE = {"vgg16": c.VGG16, **dict.fromkeys(VGG16_COPY, c.VGG16_COPY)}
"""Core seconds of each network whose speed was measured, by precision."""


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline: its name, its metric, and its width in dimensions (bits for `hamming`, floats for `cosine`).

    `storage` is the numbers in which the catalog stores a vector.
    """

    name: str
    metric: Metric
    dimensions: int
    storage: Storage = "float16"

    @property
    def feature_bytes(self) -> int:
        """Bytes of a feature as the encoder gives it."""
        return math.ceil(self.dimensions / 8) if self.metric == "hamming" else self.dimensions * 4

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that can hold its features; hashes of other than 64 bits only `flat` can."""
        if self.metric == "hamming" and self.dimensions != 64:
            return ("flat",)
        types = MILVUS_TYPES if self.metric == "cosine" else ()
        return (*EMBEDDED[self.metric], SERVER_ENGINE[self.metric], *types)


PHASH = PipelineSpec("phash", "hamming", 64)
VGG16 = PipelineSpec("vgg16", "cosine", 512)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The gallery to plan. Raises BadSetting, with the remedy, for an impossible one.

    `engines` by pipeline, unless chosen by the planner; `searches` is images a second, each within one tenant;
    `replicas` further copies of each index on a server (None: one, where there are servers); `machines` of `cores`
    add images; every machine has `memory` bytes.
    """

    images: int
    pipelines: tuple[PipelineSpec, ...] = (PHASH, VGG16)
    engines: Mapping[str, str] = field(default_factory=dict)
    tenants: int = 1
    searches: float = 1.0
    replicas: int | None = None
    machines: int = 1
    cores: int = 8
    memory: int = 64 * c.GB
    precision: str = "bf16"

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("images", self.images, 1, 10**12),
            ("tenants", self.tenants, 1, self.images),
            ("searches a second", self.searches, 0, 10**6),
            ("replicas", self.replicas or 0, 0, 10),
            ("machines", self.machines, 1, 100_000),
            ("cores", self.cores, 1, 1024),
            ("GB of memory", self.memory // c.GB, 2, 100_000),
            *((f"dimensions of {spec.name}", spec.dimensions, 1, 32_768) for spec in self.pipelines),
        ):
            if not low <= value <= high:
                raise BadSetting(f"{name}: {value:,} is out of range; from {low:,} to {high:,} can be planned")
        if self.precision not in c.VGG16:
            raise BadSetting(f"the precision is one of {', '.join(c.VGG16)}, not {self.precision!r}")
        names = [pipeline.name for pipeline in self.pipelines]
        if not names or len(set(names)) != len(names):
            raise BadSetting("name one or more pipelines, each once, such as phash,vgg16")
        if unknown := sorted(self.engines.keys() - set(names)):
            raise BadSetting(f"an engine is given for {unknown[0]}, which is none of the pipelines {', '.join(names)}")

    @property
    def usable_memory(self) -> float:
        """Bytes of a machine that an index may take: the rest is for the system, the catalog's cache, and a reserve."""
        return self.memory * c.USABLE_MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPlan:
    """The index of one pipeline; sizes are those of all copies together.

    `memory` is held while searching, `adding` by the process that adds at its peak, where an index is embedded;
    `max_images` is then the number of images that a machine can hold. `cores` serve the requested searches.
    `url` is the gallery's setting under `[index]`.
    """

    pipeline: str
    engine: str
    index_type: str | None = None
    why: str
    url: str
    memory: int
    disk: int
    cores: float
    adding: int | None = None
    max_images: int | None = None
    copies: int = 1
    machines: int = 1
    notes: tuple[str, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether it runs in Lookalike's own processes."""
        return self.engine not in SERVER_ENGINE.values()


@dataclass(frozen=True, slots=True)
class CatalogPlan:
    """The catalog: `disk` in all, of which `features`; `url` is None for the file in the gallery."""

    database: str
    disk: int
    features: int
    why: str
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole plan: `memory` while searching, `disk` and `cores` in all.

    Every one of the `processes` that answer searches takes `process_memory` and holds the embedded indexes itself;
    `query_cores` read and encode queries. All images are added in `days`, at `rate` images a second, which takes
    `core_hours` to read and encode them. What depends on the speed of an encoder is None where that was not measured.
    """

    request: PlanRequest
    pipelines: tuple[IndexPlan, ...]
    catalog: CatalogPlan
    processes: int
    process_memory: int
    query_cores: float | None
    memory: int
    disk: int
    cores: float | None
    rate: float | None
    core_hours: float | None
    days: float | None
    notes: tuple[str, ...]


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
    build = graphs * request.images * c.GRAPH_BUILD * graph_growth(request.images) / request.cores
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
        return plan_elasticsearch(pipeline, request, why)
    if engine in MAX_ROWS:
        return plan_embedded(engine, pipeline, request, why)
    return plan_milvus(None if engine == "milvus" else engine, pipeline, request, why)


def _check_engine(engine: str, pipeline: PipelineSpec) -> None:
    if engine not in ENGINES:
        raise BadSetting(f"no engine is called {engine!r} (for {pipeline.name}); there are {', '.join(ENGINES)}")
    if engine not in pipeline.engines:
        kind = "vectors" if pipeline.metric == "cosine" else f"hashes of {pipeline.dimensions} bits"
        raise BadSetting(f"{engine} cannot store the {kind} of {pipeline.name}: choose {', '.join(pipeline.engines)}")


def _exceeded_limit(engine: str, pipeline: PipelineSpec, request: PlanRequest) -> str | None:
    """Why the embedded engine is not enough on the requested machines; None where it is."""
    if engine != "flat" and request.images > MAX_ROWS[engine]:
        return f"{engine} holds at most {MAX_ROWS[engine]:,} rows"
    if request.machines > 1:
        return f"{request.machines:,} machines add, and each would hold all of {engine}"
    need = footprint(engine, request.images, pipeline, request.tenants)
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
