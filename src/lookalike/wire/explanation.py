"""The objects of `explain` and `why-not`."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lookalike import results
from lookalike.wire.comparison import Comparison
from lookalike.wire.objects import WireObject, bytes_of, convert, doc
from lookalike.wire.search import Hit


@dataclass(frozen=True, slots=True)
class HashComparison(WireObject):
    """Two hashes of one pipeline, bit by bit."""

    pipeline: str
    query: str = field(metadata=doc("Hexadecimal; of the query's orientation that is nearest to the stored hash."))
    stored: str
    differing: list[int] = field(metadata=doc("Numbers of the bits that differ, the most significant is 0."))
    equal_segments: int = field(metadata=doc("Of 8 segments."))

    @classmethod
    def of(cls, hashes: results.HashComparison) -> "HashComparison":
        """The object of two hashes."""
        return convert(cls, hashes, query=hashes.query.hex(), stored=hashes.stored.hex())

    def value(self) -> results.HashComparison:
        """The library's value of the object."""
        return convert(results.HashComparison, self, query=bytes_of(self.query), stored=bytes_of(self.stored))


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
        metadata=doc("By pipeline, pairs of a distance and log10 of the share of unrelated pairs within it.")
    )
    query_image: str | None
    stored_image: str | None
    aligned: str | None = field(metadata=doc("The stored image in the frame of the query."))

    @classmethod
    def of(cls, found: results.Explanation) -> "Explanation":
        """The object of an explanation."""
        images = {name: _base64(getattr(found, name)) for name in ("query_image", "stored_image", "aligned")}
        curves = {name: [list(anchor) for anchor in curve] for name, curve in found.curves.items()}
        return convert(cls, found, curves=curves, **images)


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


@dataclass(frozen=True, slots=True)
class DiagnosisStep(WireObject):
    """One step of a search, checked for one image."""

    name: str
    passed: bool | None = field(metadata=doc("Null where the step was not possible."))
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
    position: int | None = field(metadata=doc("Its place in the answer; null: not among the first 1,000."))
    hit: Hit | None
    lost_at: str | None = field(metadata=doc("The step at which it was lost."))
    steps: list[DiagnosisStep]
