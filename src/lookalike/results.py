"""Queries, options and results of the library and of the HTTP client."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict

from lookalike.errors import ImageRejected, NotFound, UnsupportedQuery
from lookalike.types import Evidence, PixelSource, Record

DEFAULT_TENANT = "default"
THUMBNAIL_SIZE = 384
"""Default size of thumbnails: pixels of the longer side."""
MAX_RESULTS = 10_000
"""Deepest result that can be paged to: `page` times `k`."""

Filter = Mapping[str, Any]
"""`{"album": "Alps", "year": {"gte": 2019, "lt": 2021}, "tag": {"in": ["a", "b"]}}`: all conditions must hold."""

Precondition = int | Literal["absent"] | None
"""State an image must be in for a change: at this sequence number, "absent", or any (None)."""

Failure = ImageRejected | NotFound | UnsupportedQuery
"""Error of one query in `search_many`."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A query by key: an image of the gallery, searched by its stored features; its file is not read.

    `tenant` owns the image; None means the tenant that is searched. The image itself is among the hits, as `exact`. It
    is searched in its stored orientation only: the hash keeps the signs of its coefficients and not their magnitudes,
    so those of rotated and mirrored copies cannot be derived. Networks find such copies where they are alike.
    """

    key: str
    tenant: str | None = None


Query: TypeAlias = str | Path | bytes | PixelSource | StoredImage
"""An image to search with: a file's path or bytes, a PIL image, an array of pixels, or the key of a stored image."""


class SearchOptions(TypedDict, total=False):
    """Options of a search, all optional.

    `k` hits a page (10), `page` from 1; `tenant` ("default"), None for all tenants; `filter` on attributes;
    `threshold` drops hits farther than this (0..1); `pipelines` to search, by name (all of the gallery's);
    `orientations` (True) finds rotated and mirrored copies by their hash. `min_sequence` makes the answer reflect at
    least that change (as `Answer.sequence` and writes return it): read your own writes. `engine_filter` is a further
    filter in an engine's own query language, by engine: `{"elasticsearch": {"match": {"title": "Alps"}}}`.
    """

    k: int
    page: int
    tenant: str | None
    filter: Filter | None
    threshold: float | None
    pipelines: Sequence[str] | None
    orientations: bool
    min_sequence: int | None
    engine_filter: Mapping[str, Any] | None


def check_search_options(options: SearchOptions) -> None:
    """Raise TypeError for an unknown option, which would otherwise be ignored, naming a similar one."""
    for name in options:
        if name not in SearchOptions.__annotations__:
            similar = get_close_matches(name, SearchOptions.__annotations__, n=1)
            hint = f"; did you mean {similar[0]!r}?" if similar else ""
            raise TypeError(f"unknown search option {name!r}{hint}")


class DeleteResult(NamedTuple):
    """Deleted keys, the sequence number of the last deletion (0 if there was none), and how many were deleted."""

    keys: list[str]
    sequence: int
    total: int


@dataclass(frozen=True, slots=True)
class PipelineComparison:
    """Distance (0..1) of two images in one pipeline, and its copy threshold.

    `false_match_rate` is the share (0..1) of pairs of unrelated images at most this far apart. It and `distance` are
    None if an image has no usable feature, such as the hash of a flat image.
    """

    pipeline: str
    distance: float | None
    threshold: float
    false_match_rate: float | None

    @property
    def is_copy(self) -> bool:
        """Whether the distance is within this pipeline's copy threshold."""
        return self.distance is not None and self.distance <= self.threshold


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of two images: equality of digests, the resulting evidence, and each pipeline's distance."""

    same_bytes: bool
    same_pixels: bool
    evidence: Evidence
    pipelines: tuple[PipelineComparison, ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that are copies of one another; `evidence` is "exact" if all have the same bytes or pixels.

    `distance` is the largest (0..1) of the links that join them.
    """

    images: tuple[Record, ...]
    evidence: Evidence
    distance: float

    @property
    def id(self) -> str:
        """16 hexadecimal digits that depend on the keys and bytes of the images alone."""
        digest = hashlib.sha256()
        for image in sorted(self.images, key=lambda image: image.key):
            digest.update(hashlib.sha256(image.key.encode()).digest() + image.sha256)
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ClusterPage:
    """A page of clusters and the key to continue `after`; None on the last page."""

    clusters: tuple[Cluster, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """State of one pipeline: the rows of its index, and how many changes it is behind the catalog.

    `saved_at` is the sequence number saved with the index (on disk, or on its server). `engine` is what the index runs
    on, `shared` whether that is a server; `error` says why the pipeline cannot be opened or does not answer.
    """

    name: str
    fingerprint: str | None
    metric: str | None
    rows: int
    saved_at: int
    behind: int
    threshold: float | None
    engine: str = ""
    shared: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """State of a gallery: images, bytes of their files, images by tenant and by format, last sequence, pipelines."""

    images: int
    nbytes: int
    tenants: Mapping[str, int]
    formats: Mapping[str, int]
    sequence: int
    pipelines: tuple[PipelineStatus, ...]


@dataclass(frozen=True, slots=True)
class RepairReport:
    """Result of a repair: images in the catalog, and the rows of each index rebuilt from it."""

    images: int
    rebuilt: Mapping[str, int]
