"""The JSON objects of the HTTP API: the server's responses, what the client parses, and what `--json` prints.

Each object is a dataclass: `of` makes it from the library's value, `to_dict` gives its JSON, `parse` reads it strictly.
Docstrings, `EXAMPLE` and the fields' metadata are its documentation in the server's OpenAPI description.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from urllib.parse import quote

from numpy import frombuffer

from lookalike import results, types
from lookalike.descriptions import describe
from lookalike.errors import BadSetting, UnsupportedQuery
from lookalike.results import ChangeKind, PipelineState, RecordSetting
from lookalike.types import Evidence, OutcomeKind

T = TypeVar("T")
Json = dict[str, Any]
JobKind = Literal["import", "repair", "duplicates", "delete", "backfill"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
MAX_REPORTED_KEYS = 1000
"""Deleted keys that a response names."""
FRAMES = "Frames of an animation, or pages; the first is compared, unless the images are exactly the same."
_SHA256 = "6fe9c1e2b3d0f3a4a5b6c7d8e9f00112233445566778899aabbccddeeff00112"


def rfc3339(seconds: float) -> str:
    """A time (seconds since 1970) as RFC 3339 writes it, in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a time in RFC 3339; raises BadSetting."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadSetting(f"{text!r} is not a time in RFC 3339") from None


def bytes_of(text: str) -> bytes:
    """Bytes written in hexadecimal; raises BadSetting."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadSetting(f"{text!r} is not a hexadecimal digest") from None


def thumbnail_url(key: str) -> str:
    """The path of an image's thumbnail on a server."""
    return f"/v1/images/{quote(key, safe='')}/thumbnail"


def to_dict(value: "WireObject") -> Json:
    """The JSON object of a value."""
    return asdict(cast(Any, value))


def convert(kind: type[T], value: Any, **changes: Any) -> T:
    """Make an object of the fields that `value` has under the same names, and of `changes`."""
    names = [f.name for f in fields(cast(Any, kind)) if f.name not in changes]
    return kind(**{name: getattr(value, name) for name in names}, **changes)


def _doc(description: str, **schema: Any) -> Mapping[str, Any]:
    """Metadata of a field, in the names that pydantic reads."""
    return {"description": description, **schema}


def _document(schema: dict[str, Any], kind: "type[WireObject]") -> None:
    """Add a class's docstring and example to its JSON schema; pydantic itself takes neither from a dataclass."""
    schema["description"] = kind.__doc__
    if kind.EXAMPLE is not None:
        schema["examples"] = [kind.EXAMPLE]


class WireObject:
    """Base of the objects: how pydantic describes them in the OpenAPI description (their fields and no others)."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid", "json_schema_extra": _document}
    EXAMPLE: ClassVar[Mapping[str, Any] | None] = None


@dataclass(frozen=True, slots=True)
class Problem(WireObject):
    """An error (RFC 9457)."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "allow", "json_schema_extra": _document}
    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "type": "urn:lookalike:error:image-rejected",
        "title": "Invalid image",
        "status": 422,
        "detail": "Not an image: unknown file signature. Supported formats: JPEG, PNG, ...",
        "reason": "not_an_image",
        "instance": "5f0c3d5e6b0e4e6f9a7f6f1f0c9f7a51",
    }

    type: str = field(metadata=_doc("`urn:lookalike:error:` and the kind of error in kebab case."))
    title: str = field(metadata=_doc("The kind of error in a few words."))
    status: int = field(metadata=_doc("The HTTP status."))
    detail: str = field(metadata=_doc("What is wrong with this very request, and what to do."))
    instance: str | None = field(
        default=None, metadata=_doc("The request's id, as in `X-Request-Id` and the server's log.")
    )
    reason: str | None = field(default=None, metadata=_doc("Why an image was rejected, in one word."))
    sequence: int | None = field(
        default=None, metadata=_doc("The sequence number of an image that does not match the precondition.")
    )


@dataclass(frozen=True, slots=True)
class Border(WireObject):
    """Pixels cut from each side of an image."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Image(WireObject):
    """An image of the gallery."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "key": "alps/IMG_1.jpg",
        "width": 4032,
        "height": 3024,
        "format": "JPEG",
        "bytes": 2481937,
        "sha256": _SHA256,
        "border": {"left": 0, "top": 0, "right": 0, "bottom": 0},
        "attributes": {"album": "Alps", "year": 2019},
        "created": "2026-01-31T09:30:00.250000Z",
        "updated": "2026-01-31T09:30:00.250000Z",
        "sequence": 17,
        "thumbnail": "/v1/images/alps%2FIMG_1.jpg/thumbnail",
        "frames": 1,
        "truncated": False,
        "exif": {"captured": "2019-07-14T09:30:00", "camera": "Canon EOS 6D", "orientation": 1},
        "path": "/photos/alps/IMG_1.jpg",
        "missing": False,
    }

    key: str
    width: int = field(metadata=_doc("Pixels, as a viewer shows the image."))
    height: int
    format: str
    bytes: int
    sha256: str
    border: Border = field(
        metadata=_doc("Pixels cut from each side before computing features: left, top, right, bottom.")
    )
    attributes: Json
    created: str = field(metadata=_doc("RFC 3339, UTC."))
    updated: str
    sequence: int = field(metadata=_doc("The number of the image's last change."))
    thumbnail: str = field(metadata=_doc("The path of its thumbnail on the server."))
    frames: int = field(default=1, metadata=_doc(FRAMES))
    truncated: bool = field(default=False, metadata=_doc("Whether pixels are missing in the file."))
    exif: Json = field(
        default_factory=dict,
        metadata=_doc(
            "What its EXIF data say of `captured` (local time), `camera`, `orientation`, `latitude` and `longitude`."
        ),
    )
    path: str | None = field(
        default=None,
        metadata=_doc(
            "The file that it was added from, on the server's machine; null if it was added as bytes, and for callers "
            "without access to the server's files."
        ),
    )
    missing: bool = field(
        default=False, metadata=_doc("Whether its file is gone while the folder that it was added from is there.")
    )

    @classmethod
    def of(cls, record: types.Record, *, show_path: bool = False) -> "Image":
        """The object of a record, with the path of its file or without."""
        border = record.border
        return cls(
            key=record.key,
            width=record.width,
            height=record.height,
            format=record.format,
            bytes=record.nbytes,
            sha256=record.sha256.hex(),
            border=Border(border.left, border.top, border.right, border.bottom),
            attributes=dict(record.attributes),
            created=rfc3339(record.created),
            updated=rfc3339(record.updated),
            sequence=record.sequence,
            thumbnail=thumbnail_url(record.key),
            frames=record.frames,
            truncated=record.truncated,
            exif=dict(record.exif),
            path=record.path if show_path else None,
            missing=record.missing,
        )


@dataclass(frozen=True, slots=True)
class ImageList(WireObject):
    """Images in the order of their keys."""

    images: list[Image]
    next: str | None = field(metadata=_doc("The cursor of the next page; null at the end."))
    total: int | None = field(
        default=None, metadata=_doc("How many there are; on the first page only, where all are listed.")
    )


@dataclass(frozen=True, slots=True)
class Change(WireObject):
    """A change of the gallery. An image is reported once, with its last change: treat added and updated alike."""

    sequence: int
    kind: ChangeKind
    key: str
    image: Image | None = field(metadata=_doc("The image as it is now; null where it was deleted."))
    tenant: str | None = field(default=None, metadata=_doc("Only where the changes of all tenants were requested."))

    @classmethod
    def of(cls, change: results.Change, *, tenant: bool = False) -> "Change":
        """The object of a change, with its tenant or without."""
        image = None if change.image is None else Image.of(change.image)
        return convert(cls, change, image=image, tenant=change.tenant if tenant else None)


@dataclass(frozen=True, slots=True)
class ChangeList(WireObject):
    """Changes in the order of their sequence numbers."""

    changes: list[Change]
    next: str = field(metadata=_doc("Continue from here: `after` of the next request."))
    sequence: int = field(metadata=_doc("All changes up to this one are covered."))
    more: bool = field(metadata=_doc("Whether further changes are there already."))


@dataclass(frozen=True, slots=True)
class Outcome(WireObject):
    """What became of an image. It is durable. A last line of a batch with `error` alone says why it broke off."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "key": "alps/IMG_1.jpg",
        "outcome": "added",
        "reason": None,
        "sequence": 17,
        "truncated": False,
    }

    key: str
    outcome: OutcomeKind
    reason: str | None = field(
        metadata=_doc("Names the image that it is a duplicate of; why it was rejected: a word, a colon, a sentence.")
    )
    sequence: int | None = field(
        metadata=_doc("The image's last change; a search with this `min_sequence` sees it. Null if it was rejected.")
    )
    truncated: bool = field(default=False, metadata=_doc("Whether pixels are missing in a file that was added."))

    @classmethod
    def of(cls, outcome: types.Outcome) -> "Outcome":
        """The object of an outcome."""
        return convert(cls, outcome)


@dataclass(frozen=True, slots=True)
class OutcomeList(WireObject):
    """What became of the images of one request, in its order."""

    outcomes: list[Outcome]
    error: Problem | None = field(metadata=_doc("Why the images after these were not read; null if all were."))


@dataclass(frozen=True, slots=True)
class DeleteResult(WireObject):
    """What was deleted, durably. Unknown keys are ignored."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {"deleted": 1, "keys": ["alps/IMG_1.jpg"], "sequence": 18}

    deleted: int
    keys: list[str] = field(metadata=_doc(f"Those deleted, the first {MAX_REPORTED_KEYS:,}."))
    sequence: int = field(metadata=_doc("The catalog's last change; a search with this `min_sequence` sees it."))


@dataclass(frozen=True, slots=True)
class Feature(WireObject):
    """A feature of an image: a hash in hexadecimal digits, or a vector in base64; neither where it has none."""

    hex: str | None = field(default=None, metadata=_doc("A hash: packed bits."))
    base64: str | None = field(default=None, metadata=_doc("A vector of length 1: numbers of 32 bits, little-endian."))
    fingerprint: str | None = field(
        default=None, metadata=_doc("That of the encoder. A vector needs one; that of a hash is checked if given.")
    )

    @classmethod
    def of(cls, value: "str | bytes | types.Features | None", fingerprint: str | None) -> "Feature":
        """The object of a hash (digits, bytes or uint8) or a vector; raises UnsupportedQuery for another dtype."""
        if value is None or isinstance(value, str):
            return cls(value, None, fingerprint)
        if isinstance(value, bytes):
            return cls(value.hex(), None, fingerprint)
        if value.dtype == "uint8":
            return cls(value.tobytes().hex(), None, fingerprint)
        if value.dtype != "float32":
            raise UnsupportedQuery(f"features are uint8 (packed bits) or float32, not {value.dtype}; convert them")
        return cls(None, b64encode(value.astype("<f4").tobytes()).decode(), fingerprint)

    def value(self) -> "str | types.Features | None":
        """The hash or the vector; raises UnsupportedQuery for invalid base64."""
        if self.base64 is None:
            return self.hex
        try:
            return frombuffer(b64decode(self.base64, validate=True), "<f4").astype("float32")
        except ValueError:  # also of a number of bytes that is no multiple of four
            raise UnsupportedQuery("a vector must be numbers of 32 bits in base64 (RFC 4648, section 4)") from None


@dataclass(frozen=True, slots=True)
class ImageFeatures(WireObject):
    """The features of an image, by pipeline."""

    features: dict[str, Feature]

    @classmethod
    def of(cls, found: results.ImageFeatures) -> "ImageFeatures":
        """The object of features."""
        return cls({name: Feature.of(value, found.fingerprints.get(name)) for name, value in found.features.items()})

    def query(self, name: str = "") -> results.ImageFeatures:
        """The query of the object; raises UnsupportedQuery."""
        fingerprints = {name: feature.fingerprint for name, feature in self.features.items() if feature.fingerprint}
        features = {name: feature.value() for name, feature in self.features.items()}
        return results.ImageFeatures(features, fingerprints, name)


@dataclass(frozen=True, slots=True)
class Probability(WireObject):
    """The probability that a hit is a copy, if half of the queries have one in the gallery."""

    value: float
    low: float = field(metadata=_doc("Of its interval of 95 % confidence."))
    high: float = field(metadata=_doc("Of its interval of 95 % confidence."))


@dataclass(frozen=True, slots=True)
class Box(WireObject):
    """A rectangle of an image, in shares (0..1) of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Transform(WireObject):
    """How the query and the stored image are aligned."""

    matrix: list[list[float]] = field(
        metadata=_doc("Homography, 3 rows of 3, from shares of the stored image's size to shares of the query's.")
    )
    mirrored: bool
    rotation: float = field(metadata=_doc("Degrees, clockwise."))
    scale: float = field(metadata=_doc("Query pixels per stored pixel."))
    crop: Box = field(metadata=_doc("The part of the stored image that the query shows."))
    border: Box = field(metadata=_doc("The part of the query that shows the stored image."))

    @classmethod
    def of(cls, transform: types.Transform) -> "Transform":
        """The object of an alignment."""
        return convert(
            cls,
            transform,
            matrix=[list(row) for row in transform.matrix],
            crop=convert(Box, transform.crop),
            border=convert(Box, transform.border),
        )

    def value(self) -> types.Transform:
        """The library's value of the object; raises BadSetting unless the matrix is 3 x 3."""
        if [len(row) for row in self.matrix] != [3, 3, 3]:
            raise BadSetting("the matrix of a transform must be 3 x 3")
        matrix = cast(Any, tuple(tuple(row) for row in self.matrix))
        crop, border = convert(types.Box, self.crop), convert(types.Box, self.border)
        return convert(types.Transform, self, matrix=matrix, crop=crop, border=border)


@dataclass(frozen=True, slots=True)
class Verification(WireObject):
    """The comparison of the pixels of the query and a stored image, after alignment."""

    description: str = field(metadata=_doc("The result in words."))
    agreement: float | None = field(
        metadata=_doc("The share (0..1) of the textured pixels of the overlap that agree; null: nothing to compare.")
    )
    query_coverage: float = field(metadata=_doc("The share of the query inside the overlap."))
    stored_coverage: float = field(metadata=_doc("The share of the stored image inside the overlap."))
    transform: Transform | None = field(metadata=_doc("Null where no alignment was found."))
    differences: list[Box] = field(metadata=_doc("Boxes of the stored image in which the two differ."))
    method: Literal["whole", "local"] | None = field(
        metadata=_doc("What aligned them: their whole areas, or local features.")
    )
    textured: float = field(metadata=_doc("The share of the overlap that has texture to compare."))
    differing: float = field(metadata=_doc("The share of the textured windows inside `differences`."))
    largest: int = field(metadata=_doc("Windows of the largest of them."))
    color: float | None = field(metadata=_doc("Agreement of the colors, -1..1; null where one image has none."))
    tone: float | None = field(metadata=_doc("Agreement of the brightness, -1..1; null where one image has none."))
    detail: int = field(metadata=_doc("Pixels of the shorter side of the overlap, at the resolution compared."))
    resolution: float = field(metadata=_doc("Its share (0..1) of what the more detailed image has there."))
    inliers: int | None = field(metadata=_doc("Matched points; null unless aligned by local features."))

    @classmethod
    def of(cls, verification: types.Verification | None, evidence: Evidence) -> "Verification | None":
        """The object of a verification."""
        if verification is None:
            return None
        return convert(
            cls,
            verification,
            description=describe(evidence, verification),
            transform=None if verification.transform is None else Transform.of(verification.transform),
            differences=[convert(Box, box) for box in verification.differences],
        )

    def value(self) -> types.Verification:
        """The library's value of the object."""
        return convert(
            types.Verification,
            self,
            transform=None if self.transform is None else self.transform.value(),
            differences=tuple(convert(types.Box, box) for box in self.differences),
        )


@dataclass(frozen=True, slots=True)
class VerificationReport(WireObject):
    """The numbers of candidates whose pixels were compared with the query's, and of those where they were not."""

    verified: int
    unavailable: int = field(metadata=_doc("No file, thumbnail or record is at hand: the distance decides."))
    skipped: int = field(metadata=_doc("Left when the budget was used up; none of them is called a copy."))
    budget_ms: float


@dataclass(frozen=True, slots=True)
class Hit(WireObject):
    """One hit: which image, and the evidence for it."""

    key: str
    evidence: Evidence = field(
        metadata=_doc(
            "`exact`: same bytes or pixels; `copy`: an edited copy; `variant`: one template or scene, of which parts "
            "differ; `similar`: merely similar."
        )
    )
    distance: float = field(metadata=_doc("0..1, smaller is more similar, as measured by `pipeline`."))
    pipeline: str = field(metadata=_doc("What measured the distance; sha256 or pixels for an exact hit."))
    attributes: Json
    width: int = field(metadata=_doc("Pixels, as a viewer shows the image."))
    height: int
    thumbnail: str = field(metadata=_doc("The path of its thumbnail on the server."))
    tenant: str | None = field(
        default=None, metadata=_doc("Whose image it is, where all tenants were searched; else null.")
    )
    verified: bool = field(
        default=False,
        metadata=_doc("Whether `evidence` rests on digests or a comparison of pixels; else on the distance alone."),
    )
    verification: Verification | None = field(default=None, metadata=_doc("Null where pixels were not compared."))
    frames: int = field(default=1, metadata=_doc(FRAMES))
    truncated: bool = field(default=False, metadata=_doc("Whether pixels are missing in the file."))
    probability: Probability | None = field(
        default=None, metadata=_doc("That it is a copy; null unless the gallery was calibrated.")
    )
    missing: bool = field(
        default=False, metadata=_doc("Whether its file is gone while the folder that it was added from is there.")
    )

    @classmethod
    def of(cls, hit: types.Hit) -> "Hit":
        """The object of a hit."""
        verification = Verification.of(hit.verification, hit.evidence)
        probability = None if hit.probability is None else convert(Probability, hit.probability)
        changes = {"attributes": dict(hit.attributes), "thumbnail": thumbnail_url(hit.key)}
        return convert(cls, hit, verification=verification, probability=probability, **changes)


@dataclass(frozen=True, slots=True)
class SearchAnswer(WireObject):
    """The hits, best first, and what this answer rests on."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "hits": [
            {
                "key": "alps/IMG_1.jpg",
                "evidence": "copy",
                "distance": 0.03125,
                "pipeline": "phash",
                "attributes": {"album": "Alps"},
                "width": 4032,
                "height": 3024,
                "thumbnail": "/v1/images/alps%2FIMG_1.jpg/thumbnail",
                "tenant": None,
                "verified": True,
                "verification": {
                    "description": "the same image",
                    "agreement": 0.993,
                    "query_coverage": 1.0,
                    "stored_coverage": 1.0,
                    "transform": {
                        "matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
                        "mirrored": False,
                        "rotation": 0.0,
                        "scale": 0.5,
                        "crop": {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0},
                        "border": {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0},
                    },
                    "differences": [],
                    "method": "whole",
                    "textured": 0.81,
                    "differing": 0.0,
                    "largest": 0,
                    "color": 0.99,
                    "tone": 0.99,
                    "detail": 475,
                    "resolution": 1.0,
                    "inliers": None,
                },
                "frames": 1,
                "truncated": False,
                "probability": {"value": 0.9994, "low": 0.9971, "high": 1.0},
                "missing": False,
            }
        ],
        "page": 1,
        "page_size": 10,
        "more": False,
        "next": None,
        "exact_within": {"phash": 1.0, "vgg16": -1.0},
        "failed": {},
        "sequence": 17,
        "took_ms": {"decode": 4.1, "phash": 0.6, "vgg16": 22.5},
        "preview": None,
        "verification": {"verified": 1, "unavailable": 0, "skipped": 0, "budget_ms": 5000.0},
        "not_compared": {},
        "frames": 1,
        "truncated": False,
    }

    hits: list[Hit]
    page: int
    page_size: int
    more: bool
    next: str | None = field(
        metadata=_doc(
            f"The cursor of the next page; null where there is no more, or {results.MAX_RESULTS:,} hits are reached."
        )
    )
    exact_within: dict[str, float | None] = field(
        metadata=_doc(
            "By pipeline, the distance up to which no image was missed; -1: no guarantee; null: see `not_compared`."
        )
    )
    failed: dict[str, str] = field(
        metadata=_doc("By pipeline that did not answer, why: the hits are right, but some may be missing.")
    )
    sequence: int = field(metadata=_doc("The last change that the answer has seen."))
    took_ms: dict[str, float] = field(metadata=_doc("Milliseconds by stage."))
    preview: str | None = field(
        default=None,
        metadata=_doc(
            "The query image itself, small, where it was asked for: a JPEG in base64.",
            json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/jpeg"},
        ),
    )
    verification: VerificationReport | None = field(
        default=None, metadata=_doc("Null where candidates were not to be verified.")
    )
    not_compared: dict[str, str] = field(
        default_factory=dict,
        metadata=_doc("By pipeline that compared nothing with the query image, why, such as that it is flat."),
    )
    frames: int = field(default=1, metadata=_doc("Frames or pages of the query image; the first was searched for."))
    truncated: bool = field(default=False, metadata=_doc("Whether pixels of the query image are missing."))

    @classmethod
    def of(cls, answer: types.Answer) -> "SearchAnswer":
        """The object of an answer; it has no cursor and no preview."""
        names = ("exact_within", "failed", "took_ms", "not_compared")
        changes = {name: dict(getattr(answer, name)) for name in names}
        report = None if answer.verification is None else convert(VerificationReport, answer.verification)
        hits = [Hit.of(hit) for hit in answer.hits]
        return convert(cls, answer, hits=hits, next=None, preview=None, verification=report, **changes)


@dataclass(frozen=True, slots=True)
class BatchAnswer(WireObject):
    """The answer to one image of several, or why there is none."""

    answer: SearchAnswer | None
    error: Problem | None


@dataclass(frozen=True, slots=True)
class SearchBatchAnswer(WireObject):
    """The answers to several images, in the order of the request."""

    answers: list[BatchAnswer]


@dataclass(frozen=True, slots=True)
class PipelineComparison(WireObject):
    """What one pipeline measured between two images."""

    name: str = field(metadata=_doc("The pipeline."))
    distance: float | None = field(metadata=_doc("0..1; null where an image is too flat for this pipeline."))
    copy: bool = field(metadata=_doc("Whether the distance is within the threshold."))
    threshold: float = field(metadata=_doc("The distance up to which two images count as copies."))
    false_match_rate: float | None = field(
        metadata=_doc("The share (0..1) of pairs of unrelated images at most this far apart; null as the distance.")
    )

    @classmethod
    def of(cls, measured: results.PipelineComparison) -> "PipelineComparison":
        """The object of a pipeline's comparison."""
        return convert(cls, measured, name=measured.pipeline, copy=measured.is_copy)


@dataclass(frozen=True, slots=True)
class Comparison(WireObject):
    """The verdict on two images, and what it rests on."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "same_bytes": False,
        "same_pixels": False,
        "evidence": "copy",
        "pipelines": [
            {"name": "phash", "distance": 0.03125, "copy": True, "threshold": 0.125, "false_match_rate": 7.943e-07}
        ],
        "verified": False,
        "verification": None,
    }

    same_bytes: bool
    same_pixels: bool
    evidence: Evidence
    pipelines: list[PipelineComparison]
    verified: bool = field(default=False, metadata=_doc("Whether `evidence` rests on digests or on compared pixels."))
    verification: Verification | None = field(default=None, metadata=_doc("The second image in place of the stored."))

    @classmethod
    def of(cls, comparison: results.Comparison) -> "Comparison":
        """The object of a comparison."""
        pipelines = [PipelineComparison.of(measured) for measured in comparison.pipelines]
        verification = Verification.of(comparison.verification, comparison.evidence)
        return convert(cls, comparison, pipelines=pipelines, verification=verification)


@dataclass(frozen=True, slots=True)
class HashComparison(WireObject):
    """Two hashes of one pipeline, bit by bit."""

    pipeline: str
    query: str = field(metadata=_doc("Hexadecimal; of the query's orientation that is nearest to the stored hash."))
    stored: str
    differing: list[int] = field(metadata=_doc("Numbers of the bits that differ, the most significant is 0."))
    equal_segments: int = field(metadata=_doc("Of 8 segments."))

    @classmethod
    def of(cls, hashes: results.HashComparison) -> "HashComparison":
        """The object of two hashes."""
        return cls(
            hashes.pipeline, hashes.query.hex(), hashes.stored.hex(), list(hashes.differing), hashes.equal_segments
        )

    def value(self) -> results.HashComparison:
        """The library's value of the object."""
        query, stored = bytes_of(self.query), bytes_of(self.stored)
        return results.HashComparison(self.pipeline, query, stored, tuple(self.differing), self.equal_segments)


@dataclass(frozen=True, slots=True)
class Explanation(WireObject):
    """What a query and a stored image have in common. Images are JPEGs in base64, null where not available."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "key": "alps/IMG_1.jpg",
        "comparison": Comparison.EXAMPLE,
        "hashes": [
            {
                "pipeline": "phash",
                "query": "d1c1a1f0e8b45c3a",
                "stored": "d1c1a1f0e8b45c3b",
                "differing": [63],
                "equal_segments": 7,
            }
        ],
        "curves": {"phash": [[0.125, -6.1], [0.25, -3.2]]},
        "query_image": None,
        "stored_image": None,
        "aligned": None,
    }

    key: str
    comparison: Comparison
    hashes: list[HashComparison]
    curves: dict[str, list[list[float]]] = field(
        metadata=_doc("By pipeline, pairs of a distance and log10 of the share of unrelated pairs within it.")
    )
    query_image: str | None
    stored_image: str | None
    aligned: str | None = field(metadata=_doc("The stored image in the frame of the query."))

    @classmethod
    def of(cls, found: results.Explanation) -> "Explanation":
        """The object of an explanation."""
        images = {name: _base64(getattr(found, name)) for name in ("query_image", "stored_image", "aligned")}
        return cls(
            key=found.key,
            comparison=Comparison.of(found.comparison),
            hashes=[HashComparison.of(hashes) for hashes in found.hashes],
            curves={name: [list(anchor) for anchor in curve] for name, curve in found.curves.items()},
            **images,
        )


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


@dataclass(frozen=True, slots=True)
class DiagnosisStep(WireObject):
    """One step of a search, checked for one image."""

    name: str
    passed: bool | None = field(metadata=_doc("Null where the step was not possible."))
    detail: str


@dataclass(frozen=True, slots=True)
class Diagnosis(WireObject):
    """Why an image of the gallery is found by a query, or not."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "key": "alps/IMG_1.jpg",
        "position": None,
        "hit": None,
        "lost_at": "filter",
        "steps": [{"name": "filter", "passed": False, "detail": "the attributes do not satisfy it"}],
    }

    key: str
    position: int | None = field(metadata=_doc("Its place in the answer; null: not among the first 1,000."))
    hit: Hit | None
    lost_at: str | None = field(metadata=_doc("The step at which it was lost."))
    steps: list[DiagnosisStep]

    @classmethod
    def of(cls, diagnosis: results.Diagnosis) -> "Diagnosis":
        """The object of a diagnosis."""
        hit = None if diagnosis.hit is None else Hit.of(diagnosis.hit)
        return convert(cls, diagnosis, hit=hit, steps=[convert(DiagnosisStep, step) for step in diagnosis.steps])


@dataclass(frozen=True, slots=True)
class Cluster(WireObject):
    """An image and its copies: each further image is a copy of the first."""

    id: str = field(metadata=_doc("Stays the same as long as the same images belong to it."))
    evidence: Literal["exact", "copy"] = field(metadata=_doc("`exact` where all have the same bytes or pixels."))
    distance: float = field(metadata=_doc("The largest (0..1) from the first image."))
    images: list[Image]
    same: list[int] = field(
        default_factory=list,
        metadata=_doc("A number for each image: those with the same number have the same bytes or pixels."),
    )

    @classmethod
    def of(cls, cluster: results.Cluster, *, show_path: bool = False) -> "Cluster":
        """The object of a cluster, with the paths of its files or without."""
        numbers = {image.id: n for n, part in enumerate(cluster.exact_parts) for image in part}
        return cls(
            id=cluster.id,
            evidence="exact" if cluster.evidence == "exact" else "copy",
            distance=cluster.distance,
            images=[Image.of(image, show_path=show_path) for image in cluster.images],
            same=[numbers[image.id] for image in cluster.images],
        )


@dataclass(frozen=True, slots=True)
class ClusterList(WireObject):
    """Clusters, in the order of their lowest keys."""

    clusters: list[Cluster]
    next: str | None = field(
        metadata=_doc("The cursor of the next page; a page may be short, even empty, and not the last.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupImage(Image):
    """An image of a cluster, and what a clean-up does with it."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        **(Image.EXAMPLE or {}),
        "mark": "remove",
        "reason": "fewer pixels",
        "frees": 2481937,
    }

    mark: results.Mark = field(
        metadata=_doc("`keep`; `remove`; `skip`: left alone although it is not the one kept, for the reason given.")
    )
    reason: str = field(metadata=_doc("Why, in a few words."))
    frees: int = field(metadata=_doc("Bytes that its removal frees."))

    @classmethod
    def of_planned(cls, planned: results.CleanupImage) -> "CleanupImage":
        """The object of a planned image."""
        image = Image.of(planned.image, show_path=True)
        own = {f.name: getattr(image, f.name) for f in fields(image)}
        return cls(**own, mark=planned.mark, reason=planned.reason, frees=planned.frees)


@dataclass(frozen=True, slots=True)
class CleanupGroup(WireObject):
    """A cluster with a mark for each image; the first image is the one that the others are checked against."""

    id: str = field(metadata=_doc("As that of the cluster."))
    evidence: Literal["exact", "copy"] = field(metadata=_doc("`exact` where all have the same bytes or pixels."))
    distance: float = field(metadata=_doc("The largest (0..1) by which two of them were linked."))
    frees: int = field(metadata=_doc("Bytes."))
    images: list[CleanupImage]

    @classmethod
    def of(cls, group: results.CleanupGroup) -> "CleanupGroup":
        """The object of a group."""
        images = [CleanupImage.of_planned(image) for image in group.images]
        return convert(cls, group, evidence="exact" if group.evidence == "exact" else "copy", images=images)


@dataclass(frozen=True, slots=True)
class CleanupPlan(WireObject):
    """What a clean-up would do. Nothing was changed."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "plan": "0f8fad5bd9cb469fa16570867728950e",
        "to": "trash",
        "groups": [],
        "removed": 0,
        "frees": 0,
        "skipped": {"read-only: make it writable to have it removed": 2},
        "out_of_scope": 0,
    }

    plan: str = field(metadata=_doc("Names the plan when it is applied; the server keeps the latest few."))
    to: str
    groups: list[CleanupGroup]
    removed: int = field(metadata=_doc("Images to remove."))
    frees: int = field(metadata=_doc("Bytes."))
    skipped: dict[str, int] = field(metadata=_doc("By reason, images left alone although they are not the ones kept."))
    out_of_scope: int = field(metadata=_doc("Images of clusters that the options exclude."))


@dataclass(frozen=True, slots=True)
class CleanupOutcome(WireObject):
    """What became of an image that was to be removed."""

    key: str
    outcome: results.CleanupOutcomeKind = field(
        metadata=_doc("`replaced` by a link to the kept file, or `failed`: the file was not touched.")
    )
    reason: str | None
    frees: int = field(metadata=_doc("Bytes that were freed."))

    @classmethod
    def of(cls, outcome: results.CleanupOutcome) -> "CleanupOutcome":
        """The object of an outcome."""
        return convert(cls, outcome)


@dataclass(frozen=True, slots=True)
class CleanupReport(WireObject):
    """What a clean-up did."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "run": "20260131-093000-250000-0f8fad",
        "to": "trash",
        "frees": 48213,
        "outcomes": [{"key": "copy.jpg", "outcome": "removed", "reason": "fewer pixels", "frees": 48213}],
        "skipped": {},
    }

    run: str = field(metadata=_doc("Names the clean-up when it is undone."))
    to: str
    frees: int = field(metadata=_doc("Bytes of the removed files."))
    outcomes: list[CleanupOutcome]
    skipped: dict[str, int] = field(metadata=_doc("By reason, images left alone although they are not the ones kept."))

    @classmethod
    def of(cls, report: results.CleanupReport) -> "CleanupReport":
        """The object of a report."""
        outcomes = [CleanupOutcome.of(outcome) for outcome in report.outcomes]
        return convert(cls, report, outcomes=outcomes, skipped=dict(report.skipped))


@dataclass(frozen=True, slots=True)
class UndoOutcome(WireObject):
    """What became of an image whose removal was undone."""

    key: str
    outcome: results.UndoOutcomeKind = field(
        metadata=_doc("`unchanged`: its file was there; `lost`: it was deleted, or is not in the trash.")
    )
    reason: str | None

    @classmethod
    def of(cls, outcome: results.UndoOutcome) -> "UndoOutcome":
        """The object of an outcome."""
        return convert(cls, outcome)


@dataclass(frozen=True, slots=True)
class UndoReport(WireObject):
    """What undoing a clean-up did."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "run": "20260131-093000-250000-0f8fad",
        "outcomes": [{"key": "copy.jpg", "outcome": "restored", "reason": None}],
    }

    run: str = field(metadata=_doc("The clean-up that was undone."))
    outcomes: list[UndoOutcome]

    @classmethod
    def of(cls, report: results.UndoReport) -> "UndoReport":
        """The object of a report."""
        return convert(cls, report, outcomes=[UndoOutcome.of(outcome) for outcome in report.outcomes])


@dataclass(frozen=True, slots=True)
class PipelineStatus(WireObject):
    """A pipeline and its index."""

    name: str
    fingerprint: str | None = field(metadata=_doc("Of its features: weights and preprocessing."))
    metric: str | None
    threshold: float | None = field(metadata=_doc("The distance up to which a match counts as a copy."))
    rows: int | None = field(metadata=_doc("Rows of its index, of all tenants; null for callers bound to one."))
    saved_at: int = field(metadata=_doc("The change up to which its index is saved."))
    behind: int = field(metadata=_doc("Changes that its saved index lacks yet; searches see them nevertheless."))
    engine: str = field(metadata=_doc("What its index runs on."))
    shared: bool = field(metadata=_doc("Whether that is a server."))
    error: str | None = field(metadata=_doc("Why it cannot be searched."))

    @classmethod
    def of(cls, status: results.PipelineStatus) -> "PipelineStatus":
        """The object of a pipeline's status."""
        return cls(**asdict(status))


@dataclass(frozen=True, slots=True)
class Pipeline(WireObject):
    """A pipeline of the gallery, which may be changed while it serves."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "name": "vgg16-copy",
        "state": "shadow",
        "ranks": False,
        "index": "hnsw",
        "missing": 1204,
        "failed": {"gone": {"JPEG": 3}},
        "created": "2026-01-31T09:30:00.250000Z",
        "promoted": None,
    }

    name: str
    state: PipelineState = field(
        metadata=_doc(
            "An active one answers searches; a shadow one gets the features of new images, and answers only where a "
            "search names it; one that is being dropped is deleted."
        )
    )
    ranks: bool = field(metadata=_doc("Whether it ranks what is only similar: the last active one."))
    index: str = field(metadata=_doc("Address of its index; empty for the default one, or for a caller of one tenant."))
    missing: int | None = field(
        metadata=_doc("Images of all tenants without its features; null for a caller bound to one.")
    )
    failed: dict[str, dict[str, int]] = field(
        metadata=_doc(
            "Those of them that a backfill could not encode, by format: `no_original` (added as bytes), `gone`, "
            "`changed`, `unreadable`."
        )
    )
    created: str | None = field(metadata=_doc("RFC 3339, UTC; null for one that the gallery began with."))
    promoted: str | None

    @classmethod
    def of(cls, pipeline: results.GalleryPipeline, *, any_tenant: bool = True) -> "Pipeline":
        """The object of a pipeline."""
        return convert(
            cls,
            pipeline,
            index=pipeline.index if any_tenant else "",
            missing=pipeline.missing if any_tenant else None,
            failed={kind: dict(formats) for kind, formats in pipeline.failed.items()} if any_tenant else {},
            created=None if pipeline.created is None else rfc3339(pipeline.created),
            promoted=None if pipeline.promoted is None else rfc3339(pipeline.promoted),
        )


@dataclass(frozen=True, slots=True)
class PipelineList(WireObject):
    """Pipelines in order of precedence."""

    pipelines: list[Pipeline]


@dataclass(frozen=True, slots=True)
class MeasuredRecall(WireObject):
    """The recall of live searches of a pipeline, some of which the server repeats exactly."""

    pipeline: str
    queries: int = field(metadata=_doc("Searches that were repeated since the server started."))
    recall: float = field(metadata=_doc("Share of their ten nearest images that were found."))
    low: float = field(metadata=_doc("Of its interval of 95 % confidence."))
    high: float = field(metadata=_doc("Of its interval of 95 % confidence."))
    tenant: str | None = field(metadata=_doc("The tenant that was searched; null for all."))


@dataclass(frozen=True, slots=True)
class StoredRecords(WireObject):
    """Records by which images are verified when their file cannot be read."""

    setting: RecordSetting = field(
        metadata=_doc("Which images added from a file get one: all (on), or those on another file system.")
    )
    images: int | None = field(metadata=_doc("That have one; null for a caller bound to one tenant."))
    bytes: int | None = field(metadata=_doc("Of the records; null for a caller bound to one tenant."))
    off_reason: str | None = field(metadata=_doc("Why no further ones are made; null where they are."))

    @classmethod
    def of(cls, stored: results.StoredRecords, *, any_tenant: bool = True) -> "StoredRecords":
        """The object of a gallery's records."""
        numbers = (stored.images, stored.nbytes) if any_tenant else (None, None)
        return StoredRecords(stored.setting, *numbers, stored.off_reason)


@dataclass(frozen=True, slots=True)
class GalleryStatus(WireObject):
    """The contents of a gallery and the state of its pipelines."""

    images: int = field(metadata=_doc("The caller's."))
    bytes: int = field(metadata=_doc("Of their files."))
    formats: dict[str, int] = field(metadata=_doc("Images by format."))
    sequence: int = field(metadata=_doc("The catalog's last change."))
    pipelines: list[PipelineStatus]
    recall: list[MeasuredRecall] = field(
        metadata=_doc("Measured recall of approximate indexes; empty until searches were repeated.")
    )
    verification_records: StoredRecords

    @classmethod
    def of_gallery(cls, status: results.Status) -> "GalleryStatus":
        """The object of a gallery's status."""
        return convert(
            GalleryStatus,
            status,
            bytes=status.nbytes,
            formats=dict(status.formats),
            pipelines=[PipelineStatus.of(pipeline) for pipeline in status.pipelines],
            recall=[convert(MeasuredRecall, measured) for measured in status.recall],
            verification_records=StoredRecords.of(status.verification_records),
        )


@dataclass(frozen=True, slots=True)
class Status(GalleryStatus):
    """What there is, and what this service allows."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "images": 1710,
        "bytes": 3419211776,
        "formats": {"JPEG": 1700, "PNG": 10},
        "tenant": "default",
        "sequence": 1822,
        "pipelines": [
            {
                "name": "phash",
                "fingerprint": "1f6d3a90c2",
                "metric": "hamming",
                "threshold": 0.125,
                "rows": 1710,
                "saved_at": 1822,
                "behind": 0,
                "engine": "mih",
                "shared": False,
                "error": None,
            }
        ],
        "recall": [
            {"pipeline": "vgg16", "queries": 214, "recall": 0.994, "low": 0.973, "high": 0.999, "tenant": "default"}
        ],
        "verification_records": {"setting": "no-original", "images": 400, "bytes": 1799200, "off_reason": None},
        "limits": {"max_bytes": 209715200, "max_pixels": 200000000, "max_results": 10000},
        "version": "0.2.0",
        "features": ["search", "jobs"],
        "scopes": ["read", "write"],
    }

    tenant: str = field(metadata=_doc("Whose images are counted."))
    limits: Json = field(metadata=_doc("Of requests and images: the server's, or the API key's."))
    version: str = field(metadata=_doc("Of the server."))
    features: list[str] = field(metadata=_doc("What this service offers."))
    scopes: list[str] = field(metadata=_doc("What the caller may do."))


@dataclass(frozen=True, slots=True)
class ApiKey(WireObject):
    """An API key, without its secret."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "id": "3fa4c2d10b7e",
        "scope": "read",
        "tenant": "default",
        "label": "shop window",
        "limits": {"rate": 20.0},
        "created": "2026-01-31T09:30:00.250000Z",
        "expires": "2026-05-01T09:30:00.250000Z",
        "revoked": None,
    }

    id: str
    scope: Literal["read", "write", "admin"] = field(metadata=_doc("Each includes those before it."))
    tenant: str | None = field(metadata=_doc("Null for a key that may be used for any tenant."))
    label: str
    limits: dict[str, float] = field(
        metadata=_doc("`rate`, `burst`, `concurrency`, `body_bytes`, `pixels`, where the key has its own.")
    )
    created: str = field(metadata=_doc("RFC 3339, UTC."))
    expires: str | None = field(metadata=_doc("When it stops working; null for never."))
    revoked: str | None

    @classmethod
    def of(cls, key: Any) -> "ApiKey":
        """The object of a `catalog.api_keys.ApiKey`, a module that the client must not load."""
        return convert(
            cls,
            key,
            scope=key.scopes[-1],
            limits={name: value for name, value in asdict(key.limits).items() if value is not None},
            created=rfc3339(key.created),
            expires=None if key.expires is None else rfc3339(key.expires),
            revoked=None if key.revoked is None else rfc3339(key.revoked),
        )


@dataclass(frozen=True, slots=True)
class NewApiKey(ApiKey):
    """An API key that was just created, with its secret, which is shown this once."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        **(ApiKey.EXAMPLE or {}),
        "key": "lk_3fa4c2d10b7e_8sYvJmPZkq0s0u5o1QyH3bq0zq6m9s7wX2nTtG5rKfE",
    }

    key: str = field(metadata=_doc("To send as `Authorization: Bearer KEY`."))

    @classmethod
    def of_new(cls, key: Any, token: str) -> "NewApiKey":
        """The object of a `catalog.api_keys.ApiKey` and its token."""
        return convert(cls, ApiKey.of(key), key=token)


@dataclass(frozen=True, slots=True)
class ApiKeyList(WireObject):
    """API keys, the oldest first."""

    api_keys: list[ApiKey]


@dataclass(frozen=True, slots=True)
class JobProgress(WireObject):
    """How far a job is."""

    done: int
    total: int | None = field(metadata=_doc("Null where it is not known beforehand."))
    counts: dict[str, int] = field(metadata=_doc("By outcome, or by index."))


@dataclass(frozen=True, slots=True)
class Job(WireObject):
    """A job and its state."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "id": "0f8fad5bd9cb469fa16570867728950e",
        "kind": "import",
        "state": "running",
        "progress": {"done": 12, "total": 40, "counts": {"added": 11, "rejected": 1}},
        "result": {"rejected": [{"key": "https://images.example/7.jpg", "reason": "not_an_image: ..."}]},
        "error": None,
        "created": "2026-01-31T09:30:00.250000Z",
        "updated": "2026-01-31T09:30:04.500000Z",
    }

    id: str
    kind: JobKind
    state: JobState
    progress: JobProgress
    result: Json = field(metadata=_doc("`rejected` of an import, the first 100; `clusters` of keys, the first 1,000."))
    error: Json | None = field(metadata=_doc("The problem over which it failed."))
    created: str = field(metadata=_doc("RFC 3339, UTC."))
    updated: str


@dataclass(frozen=True, slots=True)
class JobList(WireObject):
    """Jobs, the newest first."""

    jobs: list[Job]
    next: str | None = field(metadata=_doc("The cursor of the next page; null at the end."))


@dataclass(frozen=True, slots=True)
class Health(WireObject):
    """Whether the process lives."""

    status: str = field(metadata={"examples": ["ok"]})


@dataclass(frozen=True, slots=True)
class Ready(WireObject):
    """Whether searches can be answered."""

    ready: bool = field(metadata=_doc("By one pipeline at least; answers without the others name them in `failed`."))
    missing: dict[str, str] = field(
        metadata=_doc(
            "By name, why: the pipelines, and the `catalog`, that do not answer.",
            examples=[{}, {"vgg16": "Unavailable"}],
        )
    )


class _Mismatch(Exception):
    """A JSON value that is not of its field's type; the message names the field."""


def parse(kind: type[T], value: Any) -> T:
    """Read an object from JSON. Unknown fields are ignored, so that a later version may add some.

    Args:
        kind: a dataclass of this module.
        value: the decoded JSON.

    Raises:
        BadSetting: a field is missing or of another type; the message names it.
    """
    try:
        return cast(T, _read(kind, value, ""))
    except _Mismatch as error:
        raise BadSetting(
            f"the service's response is not a valid {kind.__name__}: {error}; "
            "are the service and this client of the same version?"
        ) from None


_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", dict: "an object", list: "a list"}


def _read(hint: Any, value: Any, at: str) -> Any:
    """Read a value of a type; `at` names its place. An integer is a number, a boolean is neither."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return None if value is None else _read(arguments[0], value, at)
    if origin is Literal:
        if value not in arguments:
            raise _Mismatch(f"{at} must be one of {', '.join(map(repr, arguments))}")
        return value
    kind: Any = dict if is_dataclass(hint) else origin or hint
    allowed: Any = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise _Mismatch(f"{at or 'it'} must be {_NAMES[kind]}")
    if is_dataclass(hint):
        return _read_object(hint, value, at)
    if kind is list:
        return [_read(arguments[0], member, f"{at}[{number}]") for number, member in enumerate(value)]
    if kind is dict:
        return {name: _read(arguments[1], member, f"{at}[{name!r}]") for name, member in value.items()}
    return float(value) if kind is float else value


def _read_object(kind: Any, value: Mapping[str, Any], at: str) -> Any:
    found = {}
    for name, (hint, required) in _fields_of(kind).items():
        place = f"{at}.{name}" if at else name
        if name in value:
            found[name] = _read(hint, value[name], place)
        elif required:
            raise _Mismatch(f"{place} is missing")
    return kind(**found)


@cache
def _fields_of(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Type, and whether it is required, of each field."""
    hints = get_type_hints(kind)
    return {f.name: (hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(kind)}
