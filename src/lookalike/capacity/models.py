"""The parts of a plan; sizes are bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.capacity import measurements as c
from lookalike.capacity.measurements import Constant
from lookalike.capacity.request import PlanRequest
from lookalike.types import Metric

Setting = str | int | float
ENGINE_METRICS: Mapping[str, tuple[Metric, ...]] = {
    "flat": ("hamming", "cosine"),
    "mih": ("hamming",),
    "hnsw": ("cosine",),
    "elasticsearch": ("hamming",),
    "milvus": ("cosine",),
}
"""What each engine stores; hashes of other than 64 bits only `flat`."""
EMBEDDED_ENGINES = ("flat", "mih", "hnsw")
SERVER_ENGINE: Mapping[Metric, str] = {"hamming": "elasticsearch", "cosine": "milvus"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPlan:
    """The index of one pipeline; sizes are those of all copies together.

    `memory` is held while searching, `adding` by the process that adds at its peak (0: no more than searching).
    `cores` serve the requested searches; `all_tenants` is seconds of one core for a search of every tenant. `settings`
    are the engine's own parameters, `url` the gallery's setting under `[index]`.
    """

    pipeline: str
    engine: str
    why: str
    url: str
    memory: int
    disk: int
    cores: float
    all_tenants: float
    index_type: str | None = None
    copies: int = 1
    machines: int = 1
    adding: int = 0
    settings: Mapping[str, Setting] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether it runs in Lookalike's own processes."""
        return self.engine in EMBEDDED_ENGINES


@dataclass(frozen=True, slots=True)
class CatalogPlan:
    """The catalog: `disk` in all, of which `features` and `thumbnails`; `url` is None for the file in the gallery."""

    database: str
    disk: int
    features: int
    thumbnails: int
    why: str
    url: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """Adding all images: `cores` in all, `rate` in images a second, `days`, of which `building` a graph.

    `rate` and `days` are None where an encoder's speed was not measured.
    """

    cores: int
    rate: float | None
    days: float | None
    building: float


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """The server processes: cores that read and encode queries (None: not measured), and memory of one process."""

    cores: float | None
    memory: int
    processes: int

    @property
    def total_memory(self) -> int:
        """Memory of all processes."""
        return self.processes * self.memory


@dataclass(frozen=True, slots=True)
class OutgrowPoint:
    """The number of images up to which an embedded index is enough, the engine beyond, and the limit reached."""

    pipeline: str
    images: int
    to: str
    because: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan; every process and machine that searches holds the embedded indexes itself."""

    request: PlanRequest
    indexes: tuple[IndexPlan, ...]
    catalog: CatalogPlan
    serving: ServingPlan
    adding: IngestPlan
    leaving: tuple[OutgrowPoint, ...]
    notes: tuple[str, ...]

    @property
    def memory(self) -> int:
        """Memory while searching."""
        return sum(index.memory * self._copies(index) for index in self.indexes) + self.serving.total_memory

    @property
    def disk(self) -> int:
        """Disk of the catalog and of all indexes."""
        return self.catalog.disk + sum(index.disk * self._copies(index) for index in self.indexes)

    def _copies(self, index: IndexPlan) -> int:
        return self.serving.processes if index.embedded else 1

    @property
    def cores(self) -> float | None:
        """Cores for the requested searches; None where an encoder's speed was not measured."""
        cores = self.serving.cores
        return None if cores is None else cores + sum(index.cores for index in self.indexes)

    @property
    def constants(self) -> tuple[Constant, ...]:
        """The constants that the plan rests on."""
        scopes = {self.catalog.database, self.request.precision}
        scopes.update(pipeline.name for pipeline in self.request.pipelines)
        scopes.update(index.index_type or index.engine for index in self.indexes)
        scopes.update(index.engine for index in self.indexes)
        return c.constants_for(scopes)
