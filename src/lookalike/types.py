"""Values passed between the layers: images, features, matches, records, hits."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Metric = Literal["hamming", "cosine"]
Storage = Literal["float16", "int8"]
"""The numbers in which the catalog stores a vector; hashes are stored as they are."""
Evidence = Literal["exact", "copy", "variant", "similar"]
Op = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "exists"]
OutcomeKind = Literal["added", "unchanged", "updated", "duplicate", "rejected", "linked", "missing", "removed", "moved"]

Ids = NDArray[np.int64]
"""Catalog ids from 1 up; -1 is padding inside `Matches` and never leaves the gallery."""
Pixels = NDArray[np.uint8]
"""Images: `(height, width, 3)` RGB or `(height, width)` grey, one or a batch."""
Features = NDArray[Any]
"""`(n, width)`: uint8 packed bits under `hamming`, float32 unit rows under `cosine`."""
VerificationMethod = Literal["whole", "local"]
Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
"""A homography, 3 x 3, row by row."""
Attributes = Mapping[str, Any]
"""JSON object that the caller stores with an image."""

ExifFields = Mapping[str, str | int | float]
"""`captured`, `camera`, `orientation`, `latitude`, `longitude`, `CAPTURE_SETTINGS`, those that are known; see
`imaging.exif`."""
CAPTURE_SETTINGS: Final = ("subsecond", "exposure", "f_number", "iso")
"""EXIF fields that say how an image was captured; known only where `captured` is the time of the capture."""

FULLY_EXACT = math.inf
"""`exact_within` of an exhaustive search: nothing was missed at any distance."""
INT8_SUFFIX = "-int8"
"""Ends the fingerprint of vectors that are stored in 8 bits: it stands in every index, export and catalog, and a spec
with it differs from one of the same vectors at half precision."""
NO_GUARANTEE = -1.0
"""`exact_within` of an approximate search: matches may be missed at any distance."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Description of feature rows, stored with every index; a mismatch is an error on opening.

    `width` is the number of columns: bytes for `hamming`, floats for `cosine`. `fingerprint` covers weights,
    preprocessing and, by `INT8_SUFFIX`, the stored precision, so that an index or a threshold is never used with
    features of another kind.
    """

    name: str
    metric: Metric
    width: int
    fingerprint: str

    def __hash__(self) -> int:
        return hash(self.fingerprint)  # which a text keeps: several look-ups for every image

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 for packed bits, float32 for vectors."""
        return np.dtype(np.uint8 if self.metric == "hamming" else np.float32)

    @property
    def storage(self) -> Storage:
        """The numbers in which the catalog stores a vector."""
        return "int8" if self.metric == "cosine" and self.fingerprint.endswith(INT8_SUFFIX) else "float16"

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
    requested), at 1/`scale` of the full size, each side rounded up; the preview of a camera raw file has a size of its
    own. `width` and `height` are the full size as displayed. `format` is Pillow's name, or RAW. `frames` counts frames
    or pages; only the first is decoded. Of a transparent image, `rgb` is over `background`, a grey level, and `alpha`
    has the shape of one channel; None if it is opaque. `pixels` is the digest of all pixels (`imaging.pixel_digest`),
    None if it was not requested or cannot be known. `truncated` tells that pixels are missing in the file. `exif` is
    EXIF data, without a header of its container.
    """

    rgb: Pixels
    width: int
    height: int
    format: str
    scale: int
    frames: int
    alpha: Pixels | None = None
    background: int = 255
    pixels: bytes | None = None
    truncated: bool = False
    exif: bytes | None = None


MAX_SUBSECOND_ERROR: Final = 0.011
"""Seconds: some software cuts the fraction of a capture time to two digits."""
MAX_SETTING_ERROR: Final = 0.03
"""Share by which a setting of the camera may differ that is the same: 1/60 s may be written as 0.017 s."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The moment and the settings at which a camera took an image (see `ExifFields`); None for what is not known."""

    captured: str
    subsecond: float | None = None
    exposure: float | None = None
    f_number: float | None = None
    iso: int | None = None

    @classmethod
    def of(cls, exif: ExifFields) -> "Capture | None":
        """The capture that EXIF fields tell of; None where they do not, or tell the time of an edit only."""
        settings: dict[str, Any] = {name: exif[name] for name in CAPTURE_SETTINGS if name in exif}
        return cls(str(exif["captured"]), **settings) if settings and "captured" in exif else None

    def differs_from(self, other: "Capture") -> bool:
        """Whether the two images were taken separately: frames of a burst, exposures of a bracket.

        Edited copies keep these data or lose some of them, so only what both images have is compared.
        """
        settings = (self.exposure, other.exposure), (self.f_number, other.f_number), (self.iso, other.iso)
        return (
            self.captured != other.captured
            or _differ(self.subsecond, other.subsecond, MAX_SUBSECOND_ERROR)
            or any(_differ(own, others, MAX_SETTING_ERROR * max(own or 0.0, others or 0.0)) for own, others in settings)
        )


def _differ(first: float | None, second: float | None, tolerance: float) -> bool:
    """Whether both values are known, and differ by more than that."""
    return first is not None and second is not None and abs(first - second) > tolerance


@dataclass(slots=True)  # not frozen: two are made for every image that is added, in half the time
class Prepared:
    """An image decoded, stripped of its border and resized: what encoders and the catalog need of it.

    `sha256` is the digest of the bytes; `pixels` that of all that the image shows (`imaging.pixel_digest`), None if it
    was decoded at a reduced scale, is truncated, or cannot be known. `width` and `height` are as displayed. `inputs`
    are in the order of the requested `InputSpec`s. `thumbnail` is a small JPEG, and `reduced` the uncropped image in
    RGB at a reduced size, if requested. `frames` counts frames or pages, of which the first is prepared; `truncated`
    tells that pixels are missing in the file; `exif` is what its EXIF data say; `transparent` is whether it has alpha.
    `variants` are further inputs of a query, if requested: over other backgrounds, first those of the same content, and
    with another choice about its border.
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
    frames: int = 1
    truncated: bool = False
    exif: ExifFields = field(default_factory=dict)
    transparent: bool = False
    variants: tuple[tuple[Pixels, ...], ...] = ()
    reduced: Pixels | None = None


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

    `linked` is another path of a file that is in the gallery, `missing` a stored image whose file is gone, `removed` a
    file that was removed from the gallery by hand and is not added again, `moved` a folder found at a new place.
    `sequence` is the sequence number of the image, None where nothing was stored. `truncated` tells that pixels are
    missing in a file that was added.
    """

    key: str
    path: str | None
    outcome: OutcomeKind
    reason: str | None = None
    sequence: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An image file to add under the key that the gallery gives it; `root` is the folder that was given, if any."""

    path: str
    root: str | None
    attributes: Attributes | None = None
    is_alone: bool = True
    """Whether no other folder was given with this one."""

    @property
    def relative(self) -> str:
        """The path relative to the given folder, with forward slashes; the name of a file that was given itself."""
        if self.root is None:
            return os.path.basename(self.path)  # noqa: PTH119 - faster than making a Path
        return self.path[len(self.root) :].lstrip(os.sep).replace(os.sep, "/")


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object of a store, a member of an archive, or an entry of a manifest.

    `url` may be a path where a manifest names a file. The gallery gives it a key below `root`, the prefix that was
    given, unless it has a `key`. `etag` changes with its content; `nbytes` is its size; `offset` is where its bytes
    begin in its archive; `data` are its bytes, where these were read already. `replaces` tells that its key is the
    caller's own, so that it takes the place of an image from elsewhere.
    """

    url: str
    root: str | None
    attributes: Attributes | None = None
    is_alone: bool = True
    key: str | None = None
    etag: str | None = None
    nbytes: int | None = None
    offset: int | None = None
    data: bytes | None = None
    replaces: bool = False

    @property
    def relative(self) -> str:
        """The key where no gallery gives one: the path below `root`, or the last name."""
        if self.key is not None:
            return self.key
        return self.url.rpartition("/")[2] if self.root is None else self.url[len(self.root) :].lstrip("/")

    def with_attributes(self, attributes: Attributes | None) -> "FoundObject":
        """The object with other attributes."""
        return replace(self, attributes=attributes)


@dataclass(frozen=True, slots=True)
class FoundArchive:
    """An archive whose members are images; they are read only if the archive has changed since it was added.

    `members` yields them; `attributes` are those that the caller gave.
    """

    url: str
    etag: str | None
    nbytes: int
    members: Callable[[], Iterator["Found"]]
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class ScannedFolder:
    """The end of a folder's files: what the gallery has of it and was not found is missing."""

    path: str


Found = Item | FoundFile | FoundObject | FoundArchive | ScannedFolder | Outcome
"""What is added: an item, or a file under the key that the gallery gives it; outcomes are passed through."""

Addable: TypeAlias = str | Path | PixelSource | Iterable[str | Path | Found]
"""What can be added: a file, a folder, an image in memory, or several files, folders and items."""


@dataclass(frozen=True, slots=True)
class Record:
    """An image in the catalog. `created` and `updated` are seconds since 1970, UTC.

    `frames` counts frames or pages; `truncated` tells that pixels are missing in the file; `exif` is what its EXIF data
    say. `missing` says that the file is gone while the folder that it was added from is there; a folder that is away
    as a whole, as an unplugged disk is, makes no image missing. `offset` is where the bytes of a member begin in its
    archive, None for everything else.
    """

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
    frames: int = 1
    truncated: bool = False
    exif: ExifFields = field(default_factory=dict)
    missing: bool = False
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Probability:
    """Probability (0..1) that a hit is a copy, if half of the queries have one, and its interval of 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in relative coordinates: 0..1 of the width and of the height, from the upper left."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Share of the image inside the box, 0..1."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)


@dataclass(frozen=True, slots=True)
class Transform:
    """The projective map from the stored image to the query, and what it says in words.

    `matrix` maps relative coordinates (0..1 of width and height, upright, uncropped) of the stored image to those of
    the query, up to scale: (x', y', w) = matrix @ (x, y, 1). `rotation` is in degrees, clockwise, -180..180, after
    mirroring left to right where `mirrored`. `scale` is query pixels per stored pixel, at full size. `crop` is the part
    of the stored image that the query shows, `border` the part of the query that shows the stored image.
    """

    matrix: Matrix
    mirrored: bool
    rotation: float
    scale: float
    crop: Box
    border: Box


@dataclass(frozen=True, slots=True)
class Verification:
    """Evidence that a query and a stored image show the same pixels.

    `agreement` is the share (0..1) of the textured pixels of the overlap whose surroundings correlate; None where there
    is nothing to compare (flat images). `query_coverage` and `stored_coverage` are the shares of either image inside
    the overlap. `differences` are boxes in the stored image where the two disagree, largest first. `method` is
    "whole" (image against image), "local" (aligned by local features) or None (not aligned). `textured` is the share
    of the overlap with texture.

    `differing` is the share of the textured windows inside `differences`, `largest` the number of windows of the
    largest one; `color` is the agreement of the colors, -1..1, None where one image has none; `tone` that of the
    brightness; `detail` the resolution of the comparison, in pixels of the shorter side of the overlap, `resolution`
    its share (0..1) of what the more detailed image has there at full size; `inliers` the number of matched points
    (None: not aligned by points). `separate_captures` tells that, by their EXIF data, a camera took the two separately:
    they are no copies, however much they agree.
    """

    agreement: float | None
    query_coverage: float
    stored_coverage: float
    transform: Transform | None
    differences: tuple[Box, ...]
    method: VerificationMethod | None
    textured: float
    differing: float = 0.0
    largest: int = 0
    color: float | None = None
    tone: float | None = None
    detail: int = 0
    resolution: float = 0.0
    inliers: int | None = None
    separate_captures: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """An image found by a search, and the evidence for it.

    `distance` is in 0..1, smaller is more similar, as measured by `pipeline` ("sha256" or "pixels" for an exact hit).
    `width` and `height` are as displayed. `frames` counts frames or pages, of which the first was compared, unless the
    hit is exact; `truncated` tells that pixels are missing in the file. `tenant` owns the image; it is None unless all
    tenants were searched. `verified` says whether `evidence` rests on the digests or on a comparison of the aligned
    pixels, `verification`; otherwise it rests on the distance alone. `false_match_rate` is the share (0..1) of pairs of
    unrelated images at most this far apart in this pipeline, never below the lowest that was measured; None where none
    was, for exact hits and for parts of the query. `probability` is that of a copy, None unless the gallery was
    calibrated (`lookalike calibrate`). `missing` is as of `Record`.
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
    frames: int = 1
    truncated: bool = False
    verified: bool = False
    verification: Verification | None = None
    probability: Probability | None = None
    missing: bool = False
    false_match_rate: float | None = None


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """Numbers of candidates of one query whose pixels were compared with the query's, and of those where they were not.

    `unavailable` have no pixels at hand: no file, thumbnail or verification record. `skipped` were left when
    `budget_ms` was used up: none of them is called a copy.
    """

    verified: int
    unavailable: int
    skipped: int
    budget_ms: float

    def __add__(self, other: "VerificationReport") -> "VerificationReport":
        return VerificationReport(
            self.verified + other.verified,
            self.unavailable + other.unavailable,
            self.skipped + other.skipped,
            self.budget_ms,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one query: a page of hits; `more` says whether another follows.

    `exact_within` is, by pipeline, the distance (0..1) up to which no image was missed (-1: no guarantee; None: the
    query was not compared, for the reason in `not_compared`, such as that it is flat). `took_ms` is by stage.
    `sequence` is the last change of the catalog that the answer reflects. `failed` is, by pipeline, why one could not
    be searched (its engine is down): the hits of such an answer are correct but may be incomplete. `frames` counts
    frames or pages of the query, of which the first was searched for. `truncated` tells that pixels of it are missing.
    `verification` is None if candidates were not to be verified. `radius` is the distance (0..1) of the fourth nearest
    image in the last pipeline, by which a calibration tells dense neighbourhoods from sparse ones; None where nothing
    was compared, and in answers of a server.
    """

    hits: tuple[Hit, ...]
    page: int
    page_size: int
    more: bool
    exact_within: Mapping[str, float | None]
    sequence: int
    took_ms: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    verification: VerificationReport | None = None
    not_compared: Mapping[str, str] = field(default_factory=dict)
    frames: int = 1
    truncated: bool = False
    radius: float | None = None
