"""The values that travel between the layers: images, features, matches, records, hits."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["hamming", "cosine"]
Evidence = Literal["exact", "copy", "similar"]
Op = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "exists"]
OutcomeKind = Literal["added", "unchanged", "updated", "duplicate", "rejected"]

Ids = NDArray[np.int64]
"""Catalog ids, 1 and up; -1 stands for "no row" inside `Matches` and never leaves the service."""
Pixels = NDArray[np.uint8]
"""Images: `(height, width, 3)` RGB or `(height, width)` grey, one or a batch of them."""
Features = NDArray[Any]
"""`(n, width)`: uint8 packed bits under `hamming`, float32 unit rows under `cosine`."""
Scalar = str | int | float | bool | None
Attributes = Mapping[str, Any]
"""What the business keeps with an image: a JSON object."""

FULLY_EXACT = math.inf
"""`exact_within` of an index that misses nothing, at any distance."""
NO_GUARANTEE = -1.0
"""`exact_within` of an approximate index: it promises nothing."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What a row of features is; stored with every index, a mismatch is an error on opening.

    `width` counts columns of the stored row: bytes for `hamming`, floats for `cosine`. `fingerprint` covers weights
    and preprocessing, so that an index or a threshold is never used with another encoder.
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
        """The raw distance that counts as 1.0: the number of bits for `hamming`, 1 for `cosine`."""
        return float(self.width * 8) if self.metric == "hamming" else 1.0


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The image an encoder wants: `(height, width, 3)` uint8 for RGB, `(height, width)` for L.

    `full_decode` asks for every pixel of the file; otherwise a JPEG may be decoded at a reduced scale that keeps at
    least `oversample` times the wanted width and height. `approximate` lets a grey image be resized in a faster way
    that is nearly the same (`imaging.lanczos`; only with "lanczos").
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

    A row that is not usable (a flat image's hash) means nothing: it is neither stored nor searched for.
    """

    features: Features
    quality: NDArray[np.float32]
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EncodedViews:
    """Features of a batch of queries, each in several views: `features` (n, views, width); `usable` (n,) bool."""

    features: Features
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Border:
    """Pixels cut from each side of an image, in its own full-size pixels."""

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

    `rgb` is `(height, width, 3)` uint8 sRGB, C-contiguous and possibly read-only (`(height, width)` luma where grey
    was asked for), at 1/`scale` of the full size, each side rounded up. `width` and `height` are the full size as a
    viewer shows it. `format` is Pillow's name. `frames` counts frames or pages; only the first is decoded.
    """

    rgb: Pixels
    width: int
    height: int
    format: str
    scale: int
    frames: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image read, decoded, cleaned and resized: what encoders and the catalog need of it, and no more.

    `sha256` digests the bytes; `pixels` the shape and RGB values of the whole decoded image, None where it was
    decoded at a reduced scale. `width` and `height` are those a viewer shows. `inputs` follow the order of the
    `InputSpec`s asked for. `thumbnail` is a small JPEG, where one was asked for.
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
    """Rows for an index: `ids` (n,) unique, `features` (n, width), `tenants` (n,) int64, `attributes` n or none.

    Embedded indexes ignore the attributes (a filter reaches them as ids); engines with filters of their own keep them.
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
    """A filter: the conditions, all of which must hold, and the ids that satisfy them, worked out when asked for.

    An index that filters by itself translates `conditions`; any other calls `ids()`, which gives a sorted array.
    `native` is a further filter in an engine's own words, by the engine's name; an index of another engine must refuse
    it with UnsupportedQuery.
    """

    conditions: tuple[Condition, ...]
    ids: Callable[[], Ids]
    engine_filter: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matches:
    """Nearest rows of a batch of queries, nearest first, ties by id: `ids` and `distances` (queries, k).

    Places beyond the last match hold id -1 and an infinite distance. Distances are raw: bits, or 1 - cosine.
    `exact_within` is the raw distance up to which nothing was missed in this very search.
    """

    ids: Ids
    distances: NDArray[np.float32]
    exact_within: float


@dataclass(frozen=True, slots=True)
class Item:
    """An image to add: its business key, and where its bytes are (a path, or the bytes themselves)."""

    key: str
    source: str | Path | bytes
    attributes: Attributes | None = None

    @property
    def path(self) -> str | None:
        """Where the image's file is; None for bytes."""
        return None if isinstance(self.source, bytes) else os.fspath(self.source)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item; `reason` explains a rejection, or names the image it is a duplicate of.

    `sequence` is the change at which the image stands now, None for a rejected one.
    """

    key: str
    path: str | None
    outcome: OutcomeKind
    reason: str | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """An image as the catalog knows it. Times are seconds since 1970, UTC."""

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
    """One answer: which image, and why we believe it.

    `distance` is in 0..1, smaller is more similar, as measured by `pipeline` ("sha256" or "pixels" for an exact hit).
    `width` and `height` are those that a viewer shows. `tenant` says whose image it is where all tenants were searched.
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
    """The answer to one query.

    `exact_within` says, by pipeline, the distance (0..1) up to which no image was missed (-1: no promise).
    `took_ms` is by stage. `sequence` is the last change of the catalog that the answer has seen. `failed` says, by
    pipeline, why one could not be asked (its engine is down): such an answer is right but may lack hits.
    """

    hits: tuple[Hit, ...]
    page: int
    page_size: int
    more: bool
    exact_within: Mapping[str, float]
    sequence: int
    took_ms: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
