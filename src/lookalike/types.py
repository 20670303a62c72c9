"""Values passed between the layers: images, features, matches, records, hits."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Metric = Literal["hamming", "cosine"]
Evidence = Literal["exact", "copy", "similar"]
Op = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "exists"]
OutcomeKind = Literal["added", "unchanged", "updated", "duplicate", "rejected"]

Ids = NDArray[np.int64]
"""Catalog ids from 1 up; -1 is padding inside `Matches` and never leaves the gallery."""
Pixels = NDArray[np.uint8]
"""Images: `(height, width, 3)` RGB or `(height, width)` grey, one or a batch."""
Features = NDArray[Any]
"""`(n, width)`: uint8 packed bits under `hamming`, float32 unit rows under `cosine`."""
Scalar = str | int | float | bool | None
Attributes = Mapping[str, Any]
"""JSON object that the caller stores with an image."""

FULLY_EXACT = math.inf
"""`exact_within` of an exhaustive search: nothing was missed at any distance."""
NO_GUARANTEE = -1.0
"""`exact_within` of an approximate search: matches may be missed at any distance."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Description of feature rows, stored with every index; a mismatch is an error on opening.

    `width` is the number of columns: bytes for `hamming`, floats for `cosine`. `fingerprint` covers weights and
    preprocessing, so that an index or a threshold is never used with another encoder.
    """

    name: str
    metric: Metric
    width: int
    fingerprint: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 for packed bits, float32 for vectors."""
        return np.dtype(np.uint8 if self.metric == "hamming" else np.float32)

    @property
    def scale(self) -> float:
        """Raw distance that is normalised to 1.0: the number of bits for `hamming`, 1 for `cosine`."""
        return float(self.width * 8) if self.metric == "hamming" else 1.0


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Input of an encoder: `(height, width, 3)` uint8 for RGB, `(height, width)` for L.

    With `full_decode` every pixel of the file is decoded; otherwise a JPEG may be decoded at a reduced scale of at
    least `oversample` times the width and height. `approximate` permits a faster resize of grey images with nearly the
    same result (`imaging.resizing.lanczos`; only with "lanczos").
    """

    width: int
    height: int
    mode: Literal["RGB", "L"] = "RGB"
    resample: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "nearest"
    oversample: float = 1.0
    full_decode: bool = False
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """Features of a batch: `features` (n, width); `quality` (n,) float32 in 0..1; `usable` (n,) bool.

    A row that is not usable (the hash of a flat image) is neither stored nor searched with.
    """

    features: Features
    quality: NDArray[np.float32]
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EncodedViews:
    """Features of a batch of queries, each in one or more views: `features` (n, views, width); `usable` (n,) bool."""

    features: Features
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Border:
    """Width of the border cut from each side of an image, in pixels of its full size."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return bool(self.left or self.top or self.right or self.bottom)


UNCUT = Border()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image.

    `rgb` is `(height, width, 3)` uint8 sRGB, C-contiguous and possibly read-only (`(height, width)` luma if grey was
    requested), at 1/`scale` of the full size, each side rounded up. `width` and `height` are the full size as
    displayed. `format` is Pillow's name. `frames` counts frames or pages; only the first is decoded.
    """

    rgb: Pixels
    width: int
    height: int
    format: str
    scale: int
    frames: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image decoded, stripped of its border and resized: what encoders and the catalog need of it.

    `sha256` is the digest of the bytes; `pixels` that of the shape and RGB values of the whole decoded image, None if
    it was decoded at a reduced scale. `width` and `height` are as displayed. `inputs` are in the order of the requested
    `InputSpec`s. `thumbnail` is a small JPEG, if requested.
    """

    sha256: bytes
    pixels: bytes | None
    nbytes: int
    width: int
    height: int
    format: str
    border: Border
    inputs: tuple[Pixels, ...]
    thumbnail: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for an index: `ids` (n,) unique, `features` (n, width), `tenants` (n,) int64, n `attributes` or None.

    Embedded indexes ignore the attributes (they filter by ids); engines with filters of their own store them.
    """

    ids: Ids
    features: Features
    tenants: Ids
    attributes: Sequence[Attributes] | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on one attribute; `in` takes a tuple, `exists` a bool."""

    attribute: str
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class ResolvedFilter:
    """A filter: conditions that must all hold, and the ids that satisfy them, looked up on demand.

    An index with filters of its own translates `conditions`; any other calls `ids()`, which returns a sorted array.
    `engine_filter` maps engines to further filters in their own query languages; an index of another engine must raise
    UnsupportedQuery.
    """

    conditions: tuple[Condition, ...]
    ids: Callable[[], Ids]
    engine_filter: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matches:
    """Nearest rows of a batch of queries, nearest first, ties by id: `ids` and `distances` (queries, k).

    Padding after the last match has id -1 and an infinite distance. Distances are raw: bits, or 1 - cosine.
    `exact_within` is the raw distance up to which this search was exhaustive.
    """

    ids: Ids
    distances: NDArray[np.float32]
    exact_within: float


class PixelSource(Protocol):
    """An image in memory: a PIL image, or an array of uint8, grey, RGB or RGBA; both give their pixels by this."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Item:
    """An image to add: its key, its source (path, bytes, PIL image or array), and attributes to store with it."""

    key: str
    source: str | Path | bytes | PixelSource
    attributes: Attributes | None = None

    @property
    def path(self) -> str | None:
        """Path of the image's file; None for bytes and pixels."""
        return os.fspath(self.source) if isinstance(self.source, str | Path) else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of adding one item; `reason` explains a rejection, or names the image with the same bytes.

    `sequence` is the sequence number of the image, None for a rejected one.
    """

    key: str
    path: str | None
    outcome: OutcomeKind
    reason: str | None = None
    sequence: int | None = None


Addable: TypeAlias = str | Path | PixelSource | Iterable[str | Path | Item | Outcome]
"""What can be added: a file, a folder, an image in memory, or several files, folders and items."""


@dataclass(frozen=True, slots=True)
class Record:
    """An image in the catalog. `created` and `updated` are seconds since 1970, UTC."""

    id: int
    tenant: str
    key: str
    path: str | None
    sha256: bytes
    pixels: bytes | None
    nbytes: int
    width: int
    height: int
    format: str
    border: Border
    attributes: Attributes
    created: float
    updated: float
    sequence: int


@dataclass(frozen=True, slots=True)
class Hit:
    """An image found by a search, and the evidence for it.

    `distance` is in 0..1, smaller is more similar, as measured by `pipeline` ("sha256" or "pixels" for an exact hit).
    `width` and `height` are as displayed. `tenant` owns the image; it is None unless all tenants were searched.
    """

    key: str
    path: str | None
    evidence: Evidence
    distance: float
    pipeline: str
    attributes: Attributes
    width: int
    height: int
    id: int
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one query: a page of hits; `more` says whether another follows.

    `exact_within` is, by pipeline, the distance (0..1) up to which no image was missed (-1: no guarantee). `took_ms` is
    by stage. `sequence` is the last change of the catalog that the answer reflects. `failed` is, by pipeline, why one
    could not be searched (its engine is down): the hits of such an answer are correct but may be incomplete.
    """

    hits: tuple[Hit, ...]
    page: int
    page_size: int
    more: bool
    exact_within: Mapping[str, float]
    sequence: int
    took_ms: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
