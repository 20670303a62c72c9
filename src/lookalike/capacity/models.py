"""What is planned and the parts of the plan; sizes are bytes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lookalike.capacity import measurements as c
from lookalike.capacity.measurements import GB, Constant
from lookalike.errors import BadSetting
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
Database = Literal["sqlite", "postgresql"]
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")
PRECISIONS = ("fp32", "bf16", "int8")
MAX_IMAGES = 10**12
MAX_DIMENSIONS = 32_768
"""The widest vector that Milvus accepts."""
MIN_MEMORY = 2 * GB
_COUNT = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([kKmMbBgGtT]?)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]i?B?)", re.IGNORECASE)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}


def parse_count(text: str, option: str) -> int:
    """A whole number as people write it: 50000, 50_000, 50,000, 50k, 2.5M, 10B; raises BadSetting."""
    match = _COUNT.fullmatch(text.strip())
    number = float(match[1].replace("_", "").replace(",", "")) * _FACTORS[match[2].lower()] if match else 0.5
    if number != round(number):
        raise BadSetting(f"{option} is a whole number such as 50000, 50k, 2.5M or 10B, not {text!r}")
    return round(number)


def parse_size(text: str, option: str) -> int:
    """Bytes as people write them: 64GB, 64G, 512GiB, 1.5TB; raises BadSetting."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BadSetting(f"{option} is a size such as 16GB, 64GB or 1.5TB, not {text!r}")
    unit = match[2].lower()
    base: int = 1024 if "i" in unit else 1000
    power = "kmgt".index(unit[0]) + 1
    return int(float(match[1]) * base**power)


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline: its name, its metric, and its width in dimensions (bits for `hamming`, floats for `cosine`)."""

    name: str
    metric: Metric
    dimensions: int

    @property
    def feature_bytes(self) -> int:
        """Bytes of a feature as the encoder gives it."""
        return math.ceil(self.dimensions / 8) if self.metric == "hamming" else self.dimensions * 4


PHASH = PipelineSpec("phash", "hamming", 64)
VGG16 = PipelineSpec("vgg16", "cosine", 512)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The gallery to plan. Raises BadSetting, with the remedy, for an impossible one.

    `engines` by pipeline, unless chosen by the planner; `searches` is images a second, each within one tenant;
    `replicas` further copies of each index on a server (None: one, where there are servers); `machines` of `cores`
    add images; every machine has `memory` bytes. `features` says whether the catalog keeps them or only the engine.
    `key`, `path` and `attributes` are bytes on average; `thumbnails` is the share of images stored with one.
    """

    images: int
    pipelines: tuple[PipelineSpec, ...] = (PHASH, VGG16)
    engines: Mapping[str, str] = field(default_factory=dict)
    tenants: int = 1
    searches: float = 1.0
    replicas: int | None = None
    machines: int = 1
    cores: int = 8
    memory: int = 64 * GB
    precision: str = "bf16"
    catalog: Database | None = None
    features: Literal["catalog", "engine"] = "catalog"
    key: int = 24
    path: int = 60
    attributes: int = 30
    thumbnails: float = 0.0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("images", self.images, 1, MAX_IMAGES),
            ("tenants", self.tenants, 1, self.images),
            ("searches a second", self.searches, 0, 10**6),
            ("replicas", self.replicas or 0, 0, 10),
            ("machines", self.machines, 1, 100_000),
            ("cores", self.cores, 1, 1024),
            ("bytes of a key", self.key, 1, 4096),
            ("bytes of a path", self.path, 0, 4096),
            ("bytes of attributes", self.attributes, 0, 65_536),
            *((f"dimensions of {spec.name}", spec.dimensions, 1, MAX_DIMENSIONS) for spec in self.pipelines),
        ):
            if not low <= value <= high:
                raise BadSetting(f"{name}: {value:,} is out of range; from {low:,} to {high:,} can be planned")
        if not 0 <= self.thumbnails <= 1:
            raise BadSetting(f"thumbnails is a share of the images, 0 to 1, not {self.thumbnails}")
        if self.memory < MIN_MEMORY:
            raise BadSetting("a machine needs 2 GB of memory or more; give --memory 4GB or another size")
        if self.precision not in PRECISIONS:
            raise BadSetting(f"the precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        names = [pipeline.name for pipeline in self.pipelines]
        if not names or len(set(names)) != len(names):
            raise BadSetting("name one or more pipelines, each once, such as phash,vgg16")
        if unknown := sorted(self.engines.keys() - set(names)):
            raise BadSetting(f"an engine is given for {unknown[0]}, which is none of the pipelines {', '.join(names)}")


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
