"""Queries, options and results of the library and of the HTTP client."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict

from lookalike.errors import ImageRejected, NotFound, UnsupportedQuery
from lookalike.types import Evidence, Features, Hit, PixelSource, Record, Verification
from lookalike.unknown_names import did_you_mean

DEFAULT_TENANT = "default"
THUMBNAIL_SIZE = 384
"""Default size of thumbnails: pixels of the longer side."""
MAX_RESULTS = 10_000
"""Deepest result that can be paged to: `page` times `k`."""

CHANGES_PAGE, MAX_CHANGES_PAGE = 500, 1000
"""Changes of a page, by default and at most."""
MAX_CHANGES_WAIT = 30.0
"""Seconds that a reader of the feed may wait for a change."""

Filter = Mapping[str, Any]
"""`{"album": "Alps", "year": {"gte": 2019, "lt": 2021}, "tag": {"in": ["a", "b"]}}`: all conditions must hold."""

Precondition = int | Literal["absent"] | None
"""State an image must be in for a change: at this sequence number, "absent", or any (None)."""

RecordSetting = Literal["off", "on", "no-original"]
"""Which images added from a file get a verification record: none, all, or those whose file is on another file system
than the gallery, such as an external disk, and may be out of reach later."""
RECORD_SETTINGS: tuple[RecordSetting, ...] = ("off", "on", "no-original")
DEFAULT_RECORDS: RecordSetting = "no-original"

PipelineState = Literal["active", "shadow", "dropping"]
"""An active pipeline answers searches. A shadow one gets the features of new images, and answers only where a search
names it. One that is being dropped gets none any more, and its index and features are deleted."""
OtherIndexState = Literal["building", "kept", "dropping"]
"""Of the index of a pipeline that does not answer searches: the one that it is moved to is being built; the one that
answered before is kept, so that it can be moved back; it is being deleted."""
BackfillFailure = Literal["no_original", "gone", "changed", "unreadable"]
"""Why a backfill cannot encode an image: it was added as bytes; its file is gone, or another one; it is no image that
can be decoded."""

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


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """The features of one image, as `Gallery.encode` returns them, and a query by them, without an image.

    `features` are by pipeline: a hash as hexadecimal digits, bytes, or an array `(width,)` of uint8 (packed bits); a
    vector as an array `(width,)` of float32, of length 1; None where the image has no usable feature, as a flat one.
    `fingerprints` are those of the encoders, by pipeline: a vector needs one, that of a hash is checked where it is
    given. `name` is what to call the image, such as its path.

    A search uses the pipelines that are named. With no pixels to compare, its evidence rests on the distance alone:
    no hit is `exact` or `verified`. As with a `StoredImage`, a hash finds no rotated or mirrored copies.
    """

    features: Mapping[str, str | bytes | Features | None]
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


Deep = bool | Literal["auto"]

Query: TypeAlias = str | Path | bytes | PixelSource | StoredImage | ImageFeatures
"""What to search with: a file's path or bytes, a PIL image, an array of pixels, the key of a stored image, features."""


class SearchOptions(TypedDict, total=False):
    """Options of a search, all optional.

    `k` hits a page (10), `page` from 1; `tenant` ("default"), None for all tenants; `filter` on attributes;
    `threshold` drops hits farther than this (0..1); `max_false` drops hits that are not sure enough, so that at most
    this share of queries without an original gets any (it needs a calibration of the gallery: `lookalike calibrate`);
    `pipelines` to search, by name (all of the gallery's);
    `orientations` (True) finds rotated and mirrored copies by their hash. `min_sequence` makes the answer reflect at
    least that change (as `Answer.sequence` and writes return it): read your own writes. `engine_filter` is a further
    filter in an engine's own query language, by engine: `{"elasticsearch": {"match": {"title": "Alps"}}}`.
    `verify` (True) compares the pixels of the best candidates with those of the query, so that `copy` is proven, for
    about `verify_ms` milliseconds (5000) at most. `deep` (False) compares the ten nearest similar images even where a
    copy was found, as a search by a key does, and also searches with windows of the query where none was, for originals
    that were pasted into the query; "auto" does the latter if that takes about a second at most.
    """

    k: int
    page: int
    tenant: str | None
    filter: Filter | None
    threshold: float | None
    max_false: float | None
    pipelines: Sequence[str] | None
    orientations: bool
    min_sequence: int | None
    engine_filter: Mapping[str, Any] | None
    verify: bool
    verify_ms: float
    deep: Deep


_OPTION_TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("k", "page", "min_sequence"), ("a whole number", lambda value: _is(value, Integral))),
    **dict.fromkeys(("threshold", "max_false", "verify_ms"), ("a number", lambda value: _is(value, Real))),
    **dict.fromkeys(("orientations", "verify"), ("True or False", lambda value: isinstance(value, bool))),
    "deep": ('True, False or "auto"', lambda value: isinstance(value, bool) or value == "auto"),
    "tenant": ("a name", lambda value: isinstance(value, str)),
    "pipelines": ("a list of names", lambda value: isinstance(value, Collection) and not isinstance(value, str)),
    **dict.fromkeys(("filter", "engine_filter"), ("a dict", lambda value: isinstance(value, Mapping))),
}
"""What the value of an option is, in words and as a check."""
_MAY_BE_NONE = frozenset(("tenant", "filter", "threshold", "max_false", "pipelines", "min_sequence", "engine_filter"))


def _is(value: object, kind: type) -> bool:
    """Whether a value is a number of this kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def check_search_options(options: SearchOptions) -> None:
    """Raise TypeError for an option of another type, and for an unknown one, which would otherwise be ignored."""
    for name, value in options.items():
        if name not in _OPTION_TYPES:
            hint = did_you_mean(name.lower(), _OPTION_TYPES) or f"; there are {', '.join(_OPTION_TYPES)}"
            raise TypeError(f"unknown search option {name!r}{hint}")
        words, is_valid = _OPTION_TYPES[name]
        if not (value is None and name in _MAY_BE_NONE) and not is_valid(value):
            raise TypeError(f"the search option {name!r} is {words}, not {value!r}")


class DeleteResult(NamedTuple):
    """Deleted keys, the sequence number of the last deletion (0 if there was none), and how many were deleted."""

    keys: list[str]
    sequence: int
    total: int


@dataclass(frozen=True, slots=True)
class MissingFiles:
    """The keys of images whose files are gone, and the number of images by folder that is away as a whole."""

    keys: tuple[str, ...]
    away: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PipelineComparison:
    """Distance (0..1) of two images in one pipeline, and its copy threshold.

    `false_match_rate` is the share (0..1) of pairs of unrelated images at most this far apart, never below the lowest
    that was measured; None if none was, as with one's own encoders. It and `distance` are None if an image has no
    usable feature, such as the hash of a flat image.
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
    """Comparison of two images: equality of digests, the resulting evidence, and each pipeline's distance.

    `verification` is the comparison of their pixels after alignment, the second image in the place of the stored one;
    None if the pixels of one were not available. `verified` is as in a hit.
    """

    same_bytes: bool
    same_pixels: bool
    evidence: Evidence
    pipelines: tuple[PipelineComparison, ...]
    verified: bool = False
    verification: Verification | None = None


@dataclass(frozen=True, slots=True)
class HashComparison:
    """Two hashes of one pipeline: the query's view that is nearest to the stored hash, and the stored hash.

    `differing` are the numbers of the bits that differ, from 0, most significant first; `equal_segments` of 8 segments
    are equal.
    """

    pipeline: str
    query: bytes
    stored: bytes
    differing: tuple[int, ...]
    equal_segments: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a query and a stored image have in common, to be shown: `lookalike.evaluation.explanation` renders it.

    `curves` are the calibrations by pipeline: pairs of a distance (0..1) and log10 of its false-match rate. The images
    are JPEGs at a reduced size, None where the pixels are not available; `aligned` is the stored image in the frame of
    the query, None where no alignment was found.
    """

    key: str
    comparison: Comparison
    hashes: tuple[HashComparison, ...]
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    query_image: bytes | None
    stored_image: bytes | None
    aligned: bytes | None


@dataclass(frozen=True, slots=True)
class DiagnosisStep:
    """One step of a search, checked for one stored image; `passed` is None where that was not possible."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a stored image is found by a query, or not.

    `position` is its place in the answer, from 1 (None: not among the first 1,000), `hit` the hit there, and `lost_at`
    the name of the step at which it was lost.
    """

    key: str
    position: int | None
    hit: Hit | None
    lost_at: str | None
    steps: tuple[DiagnosisStep, ...]


ChangeKind = Literal["added", "updated", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the gallery. `image` is the record as it is now, None where the image was deleted.

    An image is reported once, with its last change: one that was added and then changed is `updated` only. Whoever
    mirrors a gallery therefore treats both alike.
    """

    sequence: int
    kind: ChangeKind
    tenant: str
    key: str
    image: Record | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in the order of their sequence numbers, and where to continue: `changes(after=page.next)`.

    Everything up to `sequence` is covered; `more` says whether further changes wait.
    """

    changes: tuple[Change, ...]
    next: str
    sequence: int
    more: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """An image and its copies: each further image is a copy of the first one.

    `evidence` is "exact" if all have the same bytes or pixels. `distance` is the largest (0..1) from the first image.
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

    @property
    def exact_parts(self) -> list[list[Record]]:
        """The images, those with the same bytes or the same digest of pixels together."""
        return exact_parts(self.images)


def exact_parts(images: Sequence[Record]) -> list[list[Record]]:
    """Images with the same bytes or the same digest of pixels together."""
    parts: list[list[Record]] = []
    digests: list[set[bytes]] = []
    for image in images:
        own = {image.sha256} | ({image.pixels} if image.pixels else set())
        joined, merged = [image], own
        for place in reversed(range(len(parts))):
            if digests[place] & own:
                joined, merged = parts.pop(place) + joined, merged | digests.pop(place)
        parts.append(joined)
        digests.append(merged)
    return parts


@dataclass(frozen=True, slots=True)
class ClusterPage:
    """A page of clusters and the key to continue `after`; None on the last page."""

    clusters: tuple[Cluster, ...]
    after: str | None


Mark = Literal["keep", "remove", "skip"]
"""What a clean-up does with an image: keep it, remove it, or leave it alone although it is not the one kept."""
CleanupOutcomeKind = Literal["removed", "replaced", "failed"]
UndoOutcomeKind = Literal["restored", "unchanged", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class CleanupImage:
    """An image of a planned group, and why it has its mark; its removal frees `frees` bytes."""

    image: Record
    mark: Mark
    reason: str
    frees: int = 0


@dataclass(frozen=True, slots=True)
class CleanupGroup:
    """A cluster of copies with a mark for each image; the first image is the one that removals are checked against.

    `id`, `evidence` and `distance` are those of the cluster. A group whose files are all missing keeps none.
    """

    id: str
    evidence: Evidence
    distance: float
    images: tuple[CleanupImage, ...]

    @property
    def removed(self) -> tuple[CleanupImage, ...]:
        """The images to remove."""
        return tuple(image for image in self.images if image.mark == "remove")

    @property
    def frees(self) -> int:
        """Bytes that are freed."""
        return sum(image.frees for image in self.images)


@dataclass(frozen=True, slots=True)
class CleanupOutcome:
    """Result of removing one image; `frees` is 0 where it failed, and `reason` says why.

    `destination` is where a moved file is now. A file is `replaced` by a link to the kept one.
    """

    key: str
    path: str
    outcome: CleanupOutcomeKind
    reason: str | None = None
    frees: int = 0
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """Result of the clean-up `run`, which can be undone by this name; `to` is what happened to the files.

    `skipped` counts images left alone although they are not the ones kept, by reason.
    """

    run: str
    to: str
    outcomes: tuple[CleanupOutcome, ...]
    skipped: Mapping[str, int]

    @property
    def frees(self) -> int:
        """Bytes that were freed."""
        return sum(outcome.frees for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class UndoOutcome:
    """Result of undoing one removal.

    `unchanged`: the file was still there. `lost`: it was deleted for good, or is not in the trash.
    """

    key: str
    path: str
    outcome: UndoOutcomeKind
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class UndoReport:
    """Result of undoing the clean-up `run`."""

    run: str
    outcomes: tuple[UndoOutcome, ...]


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """State of one pipeline: the rows of its index, and how many changes it is behind the catalog.

    `saved_at` is the sequence number saved with the index (on disk, or on its server). `engine` is what the index runs
    on, `shared` whether that is a server; `error` says why the pipeline cannot be opened or does not answer.
    `moving_to` is what its next index runs on, which is being built.
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
    moving_to: str | None = None


@dataclass(frozen=True, slots=True)
class MeasuredRecall:
    """Share (0..1) of the ten nearest images that live searches of a pipeline with an approximate index returned.

    Measured on `queries` searches since the process started, which were repeated exactly; `low` and `high` are its
    interval of 95 % confidence. `tenant` is the one searched, None for searches in all.
    """

    tenant: str | None
    pipeline: str
    queries: int
    recall: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StoredRecords:
    """Verification records of a gallery: the setting, the images that have one, and the bytes of these.

    `off_reason` says why no further ones are made, None where they are. `images` and `nbytes` are None where the caller
    may not see them.
    """

    setting: RecordSetting
    images: int | None
    nbytes: int | None
    off_reason: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """State of a gallery: images, bytes of their files, images by tenant and by format, last sequence, pipelines.

    `recall` is measured by a server, by tenant and pipeline.
    """

    images: int
    nbytes: int
    tenants: Mapping[str, int]
    formats: Mapping[str, int]
    sequence: int
    pipelines: tuple[PipelineStatus, ...]
    recall: tuple[MeasuredRecall, ...] = ()
    verification_records: StoredRecords = StoredRecords("off", 0, 0, None)


@dataclass(frozen=True, slots=True)
class RecordRepair:
    """Verification records that a repair made and deleted, and images left without one: their file cannot be read."""

    made: int
    deleted: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class RepairReport:
    """Result of a repair: images in the catalog, and the rows of each index rebuilt from it.

    `verification_records` is None unless these were to be completed.
    """

    images: int
    rebuilt: Mapping[str, int]
    verification_records: RecordRepair | None = None


@dataclass(frozen=True, slots=True)
class OtherIndex:
    """An index of a pipeline beside the one that answers searches; its address is without a password."""

    state: OtherIndexState
    address: str


@dataclass(frozen=True, slots=True)
class GalleryPipeline:
    """A pipeline of a gallery; of the active ones the last `ranks`.

    `index` is the address of its index without a password, empty for the default one; `other_index` is the one that it
    is being moved to, or was moved from. `missing` is the number of images
    without its features, None where the caller may not see it; `failed` are those of them that a backfill could not
    encode, by kind and format. `created` and `promoted` are seconds since 1970, None for a pipeline that the gallery
    began with.
    """

    name: str
    state: PipelineState
    ranks: bool
    index: str
    missing: int | None
    failed: Mapping[BackfillFailure, Mapping[str, int]]
    created: float | None = None
    promoted: float | None = None
    other_index: OtherIndex | None = None

    @property
    def failures(self) -> int:
        """The number of images that a backfill could not encode."""
        return sum(number for by_format in self.failed.values() for number in by_format.values())


@dataclass(frozen=True, slots=True)
class IndexComparison:
    """What searches for `queries` stored features, chosen at random, found in an old and in a new index of a pipeline.

    `overlap` is the share (0..1) of the first ten hits in the old index that the new one has, too, or has nearer ones
    than; `copies` is the number of those hits that are within the copy threshold, and `copies_overlap` their share.
    `unfound` is the number of the images themselves that the new index does not find, and `missing_rows` the number of
    rows that it lacks.
    """

    queries: int
    overlap: float
    copies: int
    copies_overlap: float
    unfound: int
    missing_rows: int


@dataclass(frozen=True, slots=True)
class IndexMove:
    """Result of moving the index of a pipeline: addresses without passwords, and the rows of the new index.

    `moved` is False where it was there already, and `comparison` None where nothing was compared. `kept` says whether
    the old index is still there.
    """

    pipeline: str
    before: str
    after: str
    rows: int
    moved: bool
    kept: bool
    comparison: IndexComparison | None = None


@dataclass(frozen=True, slots=True)
class IndexMoveProgress:
    """The number of changes of the catalog that a new index has, and of those that there are."""

    applied: int
    total: int


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """Numbers of images that a worker of a backfill has encoded, could not encode, and could not reach.

    An image is out of reach while its store is down or its folder is away; it is tried again by the next backfill.
    `total` is the number that were to be encoded when it began, by all workers.
    """

    encoded: int
    failed: int
    unreachable: int
    total: int

    @property
    def done(self) -> int:
        """The number of images that were tried."""
        return self.encoded + self.failed + self.unreachable
