"""What a plan is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.capacity.measurements import Constant
from lookalike.capacity.request import PlanRequest

Setting = str | int | float


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """The index of one pipeline. Bytes are those of all copies together, where there are several.

    `memory` is held while searching; `adding` by the process that adds, at the most (0: no more than searching).
    `cores` keep up with the searches wished for, `all_tenants` is what one search of every tenant takes of one core, in
    seconds. `machines` hold it, with the memory wished for. `settings` are the engine's own words, `url` what the
    gallery's settings say. `notes` are for people.
    """

    pipeline: str
    engine: str
    index_type: str | None
    copies: int
    memory: int
    adding: int
    disk: int
    cores: float
    all_tenants: float
    machines: int
    why: str
    url: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    used: tuple[Constant, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether it lives in Lookalike's own processes."""
        return self.engine in ("flat", "mih", "hnsw")


@dataclass(frozen=True, slots=True)
class CatalogPart:
    """The catalog: bytes on disk in all, of which features and thumbnails; `why` it is this database.

    `url` is what the gallery's settings say; None for the file in its folder.
    """

    database: str
    disk: int
    features: int
    thumbnails: int
    why: str
    url: str | None
    notes: tuple[str, ...] = ()
    used: tuple[Constant, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """Adding all images with the machines wished for; None where an encoder's speed was not measured.

    `cores` work in all; `rate` is in images a second; `days` of 24 hours, `building` those of an embedded graph.
    """

    cores: int
    rate: float | None
    days: float | None
    building: float
    used: tuple[Constant, ...] = ()


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """The processes that answer: cores that read and encode queries (None: not measured), and bytes of one process."""

    cores: float | None
    memory: int
    processes: int
    used: tuple[Constant, ...] = ()


@dataclass(frozen=True, slots=True)
class OutgrowPoint:
    """When an embedded index has to be left: at so many images on such a machine, and because of what."""

    pipeline: str
    images: int
    to: str
    because: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it."""

    wish: PlanRequest
    parts: tuple[IndexPlan, ...]
    catalog: CatalogPart
    serving: ServingPlan
    adding: IngestPlan
    leaving: tuple[OutgrowPoint, ...]
    notes: tuple[str, ...]

    @property
    def used(self) -> tuple[Constant, ...]:
        """Every constant that it rests on, once."""
        groups = (*(part.used for part in self.parts), self.catalog.used, self.serving.used, self.adding.used)
        return tuple(dict.fromkeys(constant for group in groups for constant in group))
