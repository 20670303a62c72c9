"""The embedded engines: what `flat`, `mih` and `hnsw` take, row by row."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lookalike.capacity import measurements as c
from lookalike.capacity.measurements import Constant
from lookalike.capacity.models import IndexPlan
from lookalike.capacity.request import PipelineSpec, PlanRequest
from lookalike.errors import BadSetting


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of an index of so many rows: on disk, in memory while searching, in memory while adding at the most.

    `seconds` are those of one core for one search of an image.
    """

    disk: float
    searching: float
    adding: float
    seconds: float
    used: tuple[Constant, ...]


def flat(rows: float, pipeline: PipelineSpec, wish: PlanRequest) -> Weight:
    """The features as they are; every search reads all of them (its tenant's share of them)."""
    features = rows * pipeline.raw
    disk = features + rows * c.ROW.value
    searching = disk + rows * c.FLAT_TABLES.value + c.EMBEDDED.value
    adding = searching + (c.ADDING_COPIES.value - 1) * disk + c.ADDING_BATCH.value
    seen = rows / wish.tenants
    if pipeline.metric == "hamming":
        seconds, speed = c.VIEWS.value * seen * c.SCAN_HASH.value * pipeline.raw / 8, c.SCAN_HASH
    else:
        seconds, speed = seen * pipeline.dimensions * c.SCAN_FLOAT.value, c.SCAN_FLOAT
    used = (c.FLOAT, c.ROW, c.FLAT_TABLES, c.EMBEDDED, c.ADDING_COPIES, c.ADDING_BATCH, speed)
    return Weight(disk, searching, adding, seconds, used)


def mih(rows: float, pipeline: PipelineSpec, wish: PlanRequest) -> Weight:
    """Hashes in four sorted tables."""
    _refuse(pipeline, "hamming", "mih", "hashes", "hnsw or flat", rows, c.MIH_LIMIT)
    if pipeline.dimensions != 64:
        raise BadSetting(f"mih holds hashes of 64 bits, and {pipeline.name} has {pipeline.dimensions}: choose flat")
    each = c.MIH_ROW.value + (c.MIH_TENANTS.value if wish.tenants > 1 else 0)
    fresh = rows if rows <= c.MIH_ROOM.value else c.MIH_ROOM.value / 2
    buckets = c.MIH_BUCKETS.value if fresh < rows else 0
    disk = (rows - fresh) * each + fresh * c.MIH_FRESH.value + buckets
    searching = disk + c.EMBEDDED.value
    seconds = c.VIEWS.value * (c.MIH_SEARCH.value + rows * c.MIH_CANDIDATES.value)
    used = (
        c.MIH_ROW,
        c.MIH_FRESH,
        c.MIH_ROOM,
        c.MIH_BUCKETS,
        c.EMBEDDED,
        c.MIH_MERGING,
        c.VIEWS,
        c.MIH_SEARCH,
        c.MIH_CANDIDATES,
    )
    return Weight(disk, searching, searching + c.MIH_MERGING.value * rows * each, seconds, used)


def hnsw(rows: float, pipeline: PipelineSpec, wish: PlanRequest) -> Weight:
    """The features, and a graph with a copy of them in half precision."""
    _refuse(pipeline, "cosine", "hnsw", "vectors", "mih or flat", rows, c.HNSW_LIMIT)
    features = rows * pipeline.raw
    links = 2 * c.GRAPH_LINKS.value * c.GRAPH_LINK.value
    graph = rows * (pipeline.dimensions * c.HALF.value + links + c.GRAPH_ROW.value + c.GRAPH_KEYS.value)
    disk = features + rows * c.ROW.value + graph
    searching = disk + rows * c.HNSW_TABLES.value + c.EMBEDDED.value
    adding = searching + (c.ADDING_COPIES.value - 1) * disk + c.ADDING_BATCH.value
    used = (c.FLOAT, c.ROW, c.HALF, c.GRAPH_LINKS, c.GRAPH_LINK, c.GRAPH_ROW, c.GRAPH_KEYS, c.HNSW_TABLES, c.EMBEDDED)
    more = (c.ADDING_COPIES, c.ADDING_BATCH, c.GRAPH_SEARCH, c.GRAPH_SEARCH_ROWS)
    return Weight(disk, searching, adding, walking(rows), (*used, *more))


def walking(rows: float) -> float:
    """Seconds of one core for one search of a graph."""
    return c.GRAPH_SEARCH.value * max(0.1, math.log(max(rows, 2)) / math.log(c.GRAPH_SEARCH_ROWS.value))


def _refuse(
    pipeline: PipelineSpec, metric: str, engine: str, holds: str, instead: str, rows: float, most: Constant
) -> None:
    if pipeline.metric != metric:
        raise BadSetting(f"{engine} holds {holds}, and {pipeline.name} has none: choose {instead}")
    if rows > most.value:
        grown = "elasticsearch" if metric == "hamming" else "milvus"
        raise BadSetting(f"{engine} holds {most.value:,.0f} rows at the most ({most.source}): choose {grown}")


WEIGHTS: dict[str, Callable[[float, PipelineSpec, PlanRequest], Weight]] = {"flat": flat, "mih": mih, "hnsw": hnsw}


def part(engine: str, pipeline: PipelineSpec, wish: PlanRequest, why: str) -> IndexPlan:
    """The index of a pipeline in this process, in every process that searches."""
    if wish.replicas:
        raise BadSetting(
            f"{engine} is embedded: every process has its own copy, and there are no others; "
            f"leave out --replicas, or choose {'elasticsearch' if pipeline.metric == 'hamming' else 'milvus'}"
        )
    weight = WEIGHTS[engine](wish.images, pipeline, wish)
    notes: tuple[str, ...] = ()
    if weight.adding > usable(wish):
        notes = (
            f"needs {weight.adding / c.GB:,.0f} GB while adding: more than a machine of {wish.memory / c.GB:,.0f} GB",
        )
    return IndexPlan(
        pipeline.name,
        engine,
        None,
        1,
        math.ceil(weight.searching),
        math.ceil(weight.adding),
        math.ceil(weight.disk),
        wish.searches * weight.seconds,
        weight.seconds if engine != "flat" else weight.seconds * wish.tenants,
        1,
        why,
        engine,
        _settings(engine),
        notes,
        weight.used,
    )


def usable(wish: PlanRequest) -> float:
    """Bytes of a machine that an index may take: the rest is the system's, the catalog's cache, and a reserve."""
    return wish.memory * c.RESERVE.value


def _settings(engine: str) -> dict[str, str | int | float]:
    if engine != "hnsw":
        return {}
    return {"m": 24, "ef_construction": 150, "ef": 100}


def largest(engine: str, pipeline: PipelineSpec, wish: PlanRequest) -> int:
    """How many images this engine holds on one machine as wished for, while they are being added."""
    low, high = 1, 2**31 if engine == "hnsw" else 2**32
    while low < high:
        middle = (low + high + 1) // 2
        if WEIGHTS[engine](middle, pipeline, wish).adding <= usable(wish):
            low = middle
        else:
            high = middle - 1
    return low
