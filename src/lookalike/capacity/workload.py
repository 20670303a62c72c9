"""What keeps processors busy beside the indexes: reading and encoding images, of queries and of the gallery."""

import math

from lookalike.capacity import measurements as c
from lookalike.capacity.measurements import Constant
from lookalike.capacity.models import IndexPlan, IngestPlan, ServingPlan
from lookalike.capacity.request import PlanRequest

DAY = 86_400


def encoding(wish: PlanRequest) -> tuple[float | None, tuple[Constant, ...]]:
    """Seconds of one core to read an image and encode it for every pipeline; None where one was not measured."""
    seconds, used = c.READ.value, [c.READ]
    for pipeline in wish.pipelines:
        if pipeline.name == "vgg16":
            network = c.VGG16[wish.precision]
            seconds += network.value / c.ADDING.value
            used += [network, c.ADDING]
        elif pipeline.name != "phash":
            return None, (c.READ,)
    return seconds, tuple(used)


def serving(wish: PlanRequest, parts: tuple[IndexPlan, ...]) -> ServingPlan:
    """The processes that answer, with the indexes that are embedded in them."""
    seconds, used = encoding(wish)
    inside = sum(part.cores for part in parts if part.embedded)
    cores = None if seconds is None else wish.searches * seconds
    networks = any(pipeline.metric == "cosine" for pipeline in wish.pipelines)
    memory = c.PROCESS.value + (c.NETWORK.value if networks else 0)
    busy = (cores or 0) + inside
    least = 1 if all(part.embedded for part in parts) else 2
    processes = max(least, math.ceil(busy / wish.cores))
    return ServingPlan(cores, math.ceil(memory), processes, (*used, c.PROCESS, *((c.NETWORK,) if networks else ())))


def adding(wish: PlanRequest, parts: tuple[IndexPlan, ...]) -> IngestPlan:
    """All images, by the machines wished for."""
    seconds, used = encoding(wish)
    cores = wish.machines * wish.cores
    graphs = sum(part.engine == "hnsw" for part in parts)
    building = graphs * wish.images * c.GRAPH_BUILD.value * _deeper(wish.images) / wish.cores / DAY
    if graphs:
        used = (*used, c.GRAPH_BUILD)
    if seconds is None:
        return IngestPlan(cores, None, None, building, used)
    rate = cores / seconds
    return IngestPlan(cores, rate, wish.images / rate / DAY + building, building, used)


def _deeper(rows: int) -> float:
    """How much longer a row takes in a larger graph: as its logarithm."""
    return max(0.5, math.log(rows + 1) / math.log(c.GRAPH_SEARCH_ROWS.value))
