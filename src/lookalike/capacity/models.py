"""What is planned, and the plan; sizes are bytes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.capacity import measurements as c
from lookalike.errors import BadSetting
from lookalike.types import Metric, Storage

EMBEDDED: Mapping[Metric, tuple[str, ...]] = {"hamming": ("flat", "mih"), "cosine": ("flat", "hnsw")}
SERVER_ENGINE: Mapping[Metric, str] = {"hamming": "elasticsearch", "cosine": "milvus"}
MILVUS_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "DISKANN")
ENGINES = ("flat", "mih", "hnsw", "elasticsearch", "milvus", *MILVUS_TYPES)
"""The engines, and `milvus` with one index type."""


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
