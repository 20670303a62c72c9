"""The embedded engines: what `flat`, `mih` and `hnsw` take, row by row."""

import math
from bisect import bisect_right
from typing import NamedTuple

from lookalike.capacity import measurements as c
from lookalike.capacity.models import SERVER_ENGINE, IndexPlan, PipelineSpec, PlanRequest
from lookalike.errors import BadSetting

MAX_ROWS = {"flat": c.MIH_MAX_ROWS, "mih": c.MIH_MAX_ROWS, "hnsw": c.HNSW_MAX_ROWS}


class Footprint(NamedTuple):
    """Bytes on disk, in memory while searching and at the peak of adding, and core seconds to search one image."""

    disk: float
    searching: float
    adding: float
    seconds: float


def footprint(engine: str, rows: int, pipeline: PipelineSpec, tenants: int) -> Footprint:
    """What an index of so many rows takes.

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


def plan_index(engine: str, pipeline: PipelineSpec, request: PlanRequest, why: str) -> IndexPlan:
    """The embedded index of a pipeline; raises BadSetting where this engine cannot hold it."""
    server = SERVER_ENGINE[pipeline.metric]
    if request.replicas:
        raise BadSetting(f"{engine} is embedded and has no replicas: leave out --replicas, or choose {server}")
    if engine != "flat" and request.images > MAX_ROWS[engine]:
        raise BadSetting(f"{engine} holds at most {MAX_ROWS[engine]:,} rows: choose {server}")
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
        max_images=_max_images(engine, pipeline, request),
    )


def usable_memory(request: PlanRequest) -> float:
    """Bytes of a machine that an index may take: the rest is for the system, the catalog's cache, and a reserve."""
    return request.memory * c.USABLE_MEMORY


def _max_images(engine: str, pipeline: PipelineSpec, request: PlanRequest) -> int:
    """The number of images that this engine holds on one of the machines, while they are being added."""

    def peak(rows: int) -> float:
        return footprint(engine, rows, pipeline, request.tenants).adding

    return max(1, bisect_right(range(1, MAX_ROWS[engine] + 1), usable_memory(request), key=peak))
