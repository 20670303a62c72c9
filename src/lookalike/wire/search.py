"""The objects of search answers, and of features to search with."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from numpy import frombuffer

from lookalike import results, types
from lookalike.errors import UnsupportedQuery
from lookalike.types import Evidence
from lookalike.wire.comparison import FALSE_MATCH_RATE, Verification, VerificationReport
from lookalike.wire.images import FRAMES, thumbnail_url
from lookalike.wire.objects import Json, Problem, WireObject, convert, doc


@dataclass(frozen=True, slots=True)
class Feature(WireObject):
    """A feature of an image: a hash in hexadecimal digits, or a vector in base64; neither where it has none."""

    hex: str | None = field(default=None, metadata=doc("A hash: packed bits."))
    base64: str | None = field(default=None, metadata=doc("A vector of length 1: numbers of 32 bits, little-endian."))
    fingerprint: str | None = field(
        default=None, metadata=doc("That of the encoder. A vector needs one; that of a hash is checked if given.")
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
    low: float = field(metadata=doc("Of its interval of 95 % confidence."))
    high: float = field(metadata=doc("Of its interval of 95 % confidence."))


@dataclass(frozen=True, slots=True)
class Hit(WireObject):
    """One hit: which image, and the evidence for it."""

    key: str
    evidence: Evidence = field(
        metadata=doc(
            "`exact`: same bytes or pixels; `copy`: an edited copy; `variant`: one template or scene, of which parts "
            "differ; `similar`: merely similar."
        )
    )
    distance: float = field(metadata=doc("0..1, smaller is more similar, as measured by `pipeline`."))
    pipeline: str = field(metadata=doc("What measured the distance; sha256 or pixels for an exact hit."))
    attributes: Json
    width: int = field(metadata=doc("Pixels, as a viewer shows the image."))
    height: int
    thumbnail: str = field(metadata=doc("The path of its thumbnail on the server."))
    tenant: str | None = field(
        default=None, metadata=doc("Whose image it is, where all tenants were searched; else null.")
    )
    verified: bool = field(
        default=False,
        metadata=doc("Whether `evidence` rests on digests or a comparison of pixels; else on the distance alone."),
    )
    verification: Verification | None = field(default=None, metadata=doc("Null where pixels were not compared."))
    frames: int = field(default=1, metadata=doc(FRAMES))
    truncated: bool = field(default=False, metadata=doc("Whether pixels are missing in the file."))
    false_match_rate: float | None = field(
        default=None, metadata=doc(FALSE_MATCH_RATE + ", for exact hits, and for parts of the query.")
    )
    probability: Probability | None = field(
        default=None, metadata=doc("That it is a copy; null unless the gallery was calibrated.")
    )
    missing: bool = field(
        default=False, metadata=doc("Whether its file is gone while the folder that it was added from is there.")
    )

    @classmethod
    def of(cls, hit: types.Hit) -> "Hit":
        """The object of a hit."""
        verification = Verification.of(hit.verification, hit.evidence)
        return convert(cls, hit, thumbnail=thumbnail_url(hit.key), verification=verification)


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
                    "separate_captures": False,
                },
                "frames": 1,
                "truncated": False,
                "false_match_rate": 9.506e-06,
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
        metadata=doc(
            f"The cursor of the next page; null where there is no more, or {results.MAX_RESULTS:,} hits are reached."
        )
    )
    exact_within: dict[str, float | None] = field(
        metadata=doc(
            "By pipeline, the distance up to which no image was missed; -1: no guarantee; null: see `not_compared`."
        )
    )
    failed: dict[str, str] = field(
        metadata=doc("By pipeline that did not answer, why: the hits are right, but some may be missing.")
    )
    sequence: int = field(metadata=doc("The last change that the answer has seen."))
    took_ms: dict[str, float] = field(metadata=doc("Milliseconds by stage."))
    preview: str | None = field(
        default=None,
        metadata=doc(
            "The query image itself, small, where it was asked for: a JPEG in base64.",
            json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/jpeg"},
        ),
    )
    verification: VerificationReport | None = field(
        default=None, metadata=doc("Null where candidates were not to be verified.")
    )
    not_compared: dict[str, str] = field(
        default_factory=dict,
        metadata=doc("By pipeline that compared nothing with the query image, why, such as that it is flat."),
    )
    frames: int = field(default=1, metadata=doc("Frames or pages of the query image; the first was searched for."))
    truncated: bool = field(default=False, metadata=doc("Whether pixels of the query image are missing."))

    @classmethod
    def of(cls, answer: types.Answer) -> "SearchAnswer":
        """The object of an answer; it has no cursor and no preview."""
        return convert(cls, answer, next=None, preview=None)


@dataclass(frozen=True, slots=True)
class BatchAnswer(WireObject):
    """The answer to one image of several, or why there is none."""

    answer: SearchAnswer | None
    error: Problem | None


@dataclass(frozen=True, slots=True)
class SearchBatchAnswer(WireObject):
    """The answers to several images, in the order of the request."""

    answers: list[BatchAnswer]
