"""The objects of the state of a gallery and of a server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lookalike import results
from lookalike.results import RecordSetting
from lookalike.wire.objects import Json, WireObject, convert, doc


@dataclass(frozen=True, slots=True)
class PipelineStatus(WireObject):
    """A pipeline and its index."""

    name: str
    fingerprint: str | None = field(metadata=doc("Of its features: weights and preprocessing."))
    metric: str | None
    threshold: float | None = field(metadata=doc("The distance up to which a match counts as a copy."))
    rows: int | None = field(metadata=doc("Rows of its index, of all tenants; null for callers bound to one."))
    saved_at: int = field(metadata=doc("The change up to which its index is saved."))
    behind: int = field(metadata=doc("Changes that its saved index lacks yet; searches see them nevertheless."))
    engine: str = field(metadata=doc("What its index runs on."))
    shared: bool = field(metadata=doc("Whether that is a server."))
    error: str | None = field(metadata=doc("Why it cannot be searched."))
    moving_to: str | None = field(metadata=doc("What its next index runs on, which is being built."))


@dataclass(frozen=True, slots=True)
class MeasuredRecall(WireObject):
    """The recall of live searches of a pipeline, some of which the server repeats exactly."""

    pipeline: str
    queries: int = field(metadata=doc("Searches that were repeated since the server started."))
    recall: float = field(metadata=doc("Share of their ten nearest images that were found."))
    low: float = field(metadata=doc("Of its interval of 95 % confidence."))
    high: float = field(metadata=doc("Of its interval of 95 % confidence."))
    tenant: str | None = field(metadata=doc("The tenant that was searched; null for all."))


@dataclass(frozen=True, slots=True)
class StoredRecords(WireObject):
    """Records by which images are verified when their file cannot be read."""

    setting: RecordSetting = field(
        metadata=doc("Which images added from a file get one: all (on), or those on another file system.")
    )
    images: int | None = field(metadata=doc("That have one; null for a caller bound to one tenant."))
    bytes: int | None = field(metadata=doc("Of the records; null for a caller bound to one tenant."))
    off_reason: str | None = field(metadata=doc("Why no further ones are made; null where they are."))

    @classmethod
    def of(cls, stored: results.StoredRecords, *, any_tenant: bool = True) -> "StoredRecords":
        """The object of a gallery's records."""
        numbers = (stored.images, stored.nbytes) if any_tenant else (None, None)
        return StoredRecords(stored.setting, *numbers, stored.off_reason)


@dataclass(frozen=True, slots=True)
class GalleryStatus(WireObject):
    """The contents of a gallery and the state of its pipelines."""

    images: int = field(metadata=doc("The caller's."))
    bytes: int = field(metadata=doc("Of their files."))
    formats: dict[str, int] = field(metadata=doc("Images by format."))
    sequence: int = field(metadata=doc("The catalog's last change."))
    pipelines: list[PipelineStatus]
    recall: list[MeasuredRecall] = field(
        metadata=doc("Measured recall of approximate indexes; empty until searches were repeated.")
    )
    verification_records: StoredRecords

    @classmethod
    def of_gallery(cls, status: results.Status) -> "GalleryStatus":
        """The object of a gallery's status."""
        return convert(GalleryStatus, status, bytes=status.nbytes)


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
                "moving_to": None,
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

    tenant: str = field(metadata=doc("Whose images are counted."))
    limits: Json = field(metadata=doc("Of requests and images: the server's, or the API key's."))
    version: str = field(metadata=doc("Of the server."))
    features: list[str] = field(metadata=doc("What this service offers."))
    scopes: list[str] = field(metadata=doc("What the caller may do."))


@dataclass(frozen=True, slots=True)
class Health(WireObject):
    """Whether the process lives."""

    status: str = field(metadata={"examples": ["ok"]})


@dataclass(frozen=True, slots=True)
class Ready(WireObject):
    """Whether searches can be answered."""

    ready: bool = field(metadata=doc("By one pipeline at least; answers without the others name them in `failed`."))
    missing: dict[str, str] = field(
        metadata=doc(
            "By name, why: the pipelines, and the `catalog`, that do not answer.",
            examples=[{}, {"vgg16": "Unavailable"}],
        )
    )
