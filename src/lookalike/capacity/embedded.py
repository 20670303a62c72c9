"""The embedded engines: what `flat`, `mih` and `hnsw` take, row by row."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from lookalike.capacity import measurements as c
from lookalike.capacity.models import SERVER_ENGINE, IndexPlan, PipelineSpec, PlanRequest
from lookalike.errors import BadSetting

MAX_ROWS = {"flat": c.MIH_MAX_ROWS, "mih": c.MIH_MAX_ROWS, "hnsw": c.HNSW_MAX_ROWS}
_HNSW_SETTINGS = {"m": int(c.GRAPH_M), "ef_construction": 150, "ef": 100}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes on disk, in memory while searching and at the peak of adding, and core seconds to search one image."""

    disk: float
    searching: float
    adding: float
    seconds: float


def footprint(engine: str, rows: float, pipeline: PipelineSpec, tenants: int) -> Footprint:
    if engine == "mih":
        return _mih(rows, tenants)
    return _flat(rows, pipeline, tenants) if engine == "flat" else _hnsw(rows, pipeline)


def _flat(rows: float, pipeline: PipelineSpec, tenants: int) -> Footprint:
    """The features themselves; a search reads those of its tenant."""
    if pipeline.metric == "hamming":
        seconds = c.VIEWS * rows / tenants * c.SCAN_HASH * pipeline.feature_bytes / 8
    else:
        seconds = rows / tenants * pipeline.dimensions * c.SCAN_FLOAT
    return _arrays(rows * (pipeline.feature_bytes + c.ROW), rows * c.FLAT_TABLES, seconds)


def _mih(rows: float, tenants: int) -> Footprint:
    row = c.MIH_ROW + (c.MIH_TENANTS if tenants > 1 else 0)
    buffered = rows if rows <= c.MIH_BUFFER else c.MIH_BUFFER / 2
    disk = (rows - buffered) * row + buffered * c.MIH_BUFFERED + (c.MIH_BUCKETS if buffered < rows else 0)
    searching = disk + c.EMBEDDED
    seconds = c.VIEWS * (c.MIH_SEARCH + rows * c.MIH_CANDIDATES)
    return Footprint(disk, searching, searching + c.MIH_MERGING * rows * row, seconds)


def _hnsw(rows: float, pipeline: PipelineSpec) -> Footprint:
    """The features, and a graph with a copy of them in half precision."""
    node = pipeline.dimensions * c.HALF + 2 * c.GRAPH_M * c.GRAPH_LINK + c.GRAPH_ROW + c.GRAPH_KEYS
    disk = rows * (pipeline.feature_bytes + c.ROW + node)
    return _arrays(disk, rows * c.HNSW_TABLES, graph_search_seconds(rows))


def _arrays(disk: float, tables: float, seconds: float) -> Footprint:
    """An index of memory-mapped arrays, which are rewritten from time to time and then held twice."""
    searching = disk + tables + c.EMBEDDED
    return Footprint(disk, searching, searching + (c.ADDING_COPIES - 1) * disk + c.ADDING_BATCH, seconds)


def graph_search_seconds(rows: float) -> float:
    """Core seconds to search a graph: they grow with the logarithm of its rows (Malkov and Yashunin, 2018)."""
    return c.GRAPH_SEARCH * max(0.1, math.log(max(rows, 2)) / math.log(c.GRAPH_SEARCH_ROWS))


def plan_index(engine: str, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """The embedded index of a pipeline; raises BadSetting where this engine cannot hold it."""
    server = SERVER_ENGINE[pipeline.metric]
    if request.replicas:
        raise BadSetting(f"{engine} is embedded and has no replicas: leave out --replicas, or choose {server}")
    limit = MAX_ROWS[engine]
    if engine != "flat" and request.images > limit:
        raise BadSetting(f"{engine} holds at most {limit:,.0f} rows ({limit.source}): choose {server}")
    need = footprint(engine, request.images, pipeline, request.tenants)
    too_large = (
        f"needs {need.adding / c.GB:,.0f} GB while adding: more than a machine of {request.memory / c.GB:,.0f} GB"
    )
    return IndexPlan(
        pipeline=pipeline.name,
        engine=engine,
        why=why,
        url=engine,
        memory=math.ceil(need.searching),
        disk=math.ceil(need.disk),
        cores=request.searches * need.seconds,
        all_tenants=need.seconds * (request.tenants if engine == "flat" else 1),
        adding=math.ceil(need.adding),
        settings=_HNSW_SETTINGS if engine == "hnsw" else {},
        notes=(too_large,) if need.adding > usable_memory(request) else (),
    )


def usable_memory(request: PlanRequest) -> float:
    """Bytes of a machine that an index may take: the rest is for the system, the catalog's cache, and a reserve."""
    return request.memory * c.USABLE_MEMORY


def max_images(engine: str, pipeline: PipelineSpec, request: PlanRequest) -> int:
    """The number of images that this engine holds on one of the machines, while they are being added."""

    def peak(rows: int) -> float:
        return footprint(engine, rows, pipeline, request.tenants).adding

    counts = range(1, int(MAX_ROWS[engine]) + 1)
    return max(1, bisect_right(counts, usable_memory(request), key=peak))
