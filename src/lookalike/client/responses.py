"""The service's JSON as the values that the library gives."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from lookalike.errors import BadSetting
from lookalike.results import Cluster, Comparison, PipelineComparison, PipelineStatus, Status
from lookalike.types import Answer, Border, Hit, Outcome, Record

Object = Mapping[str, Any]
T = TypeVar("T")
NO_ID = 0
"""The id of every image and hit that comes from a service: its own ids are its own business."""


def parse(read: Callable[[Object], T], told: Object) -> T:
    """What `read` makes of an answer; raises BadSetting where members are missing: another kind of service."""
    try:
        return read(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadSetting(
            f"the service's answer cannot be understood ({type(error).__name__}: {error}); "
            "are it and this client of the same version?"
        ) from error


def record_of(told: Object, tenant: str) -> Record:
    """An image. Where its file is, a service does not tell."""
    return Record(
        id=NO_ID,
        tenant=tenant,
        key=told["key"],
        path=None,
        sha256=bytes.fromhex(told["sha256"]),
        pixels=None,
        nbytes=told["bytes"],
        width=told["width"],
        height=told["height"],
        format=told["format"],
        border=Border(**told["border"]),
        attributes=told["attributes"],
        created=_seconds(told["created"]),
        updated=_seconds(told["updated"]),
        sequence=told["sequence"],
    )


def answer_of(told: Object) -> Answer:
    """The answer to a query."""
    return Answer(
        hits=tuple(_hit(hit) for hit in told["hits"]),
        page=told["page"],
        page_size=told["page_size"],
        more=told["more"],
        exact_within=told["exact_within"],
        sequence=told["sequence"],
        took_ms=told["took_ms"],
        failed=told["failed"],
    )


def _hit(told: Object) -> Hit:
    return Hit(
        key=told["key"],
        path=None,
        evidence=told["evidence"],
        distance=told["distance"],
        pipeline=told["pipeline"],
        attributes=told["attributes"],
        width=told["width"],
        height=told["height"],
        id=NO_ID,
    )


def outcome_of(told: Object, path: str | None) -> Outcome:
    """What became of an image; `path` is where it came from on this side."""
    return Outcome(told["key"], path, told["outcome"], told["reason"], told["sequence"])


def cluster_of(told: Object, tenant: str) -> Cluster:
    """Copies of one another."""
    images = tuple(record_of(image, tenant) for image in told["images"])
    return Cluster(images, told["evidence"], told["distance"])


def comparison_of(told: Object) -> Comparison:
    """Two images side by side."""
    measured = tuple(
        PipelineComparison(one["name"], one["distance"], one["threshold"], one["rarity"]) for one in told["pipelines"]
    )
    return Comparison(told["same_bytes"], told["same_pixels"], told["evidence"], measured)


def status_of(told: Object) -> Status:
    """How the gallery stands for one tenant; a key that is bound to one is not told the rows of all (0)."""
    return Status(
        images=told["images"],
        nbytes=told["bytes"],
        tenants={told["tenant"]: told["images"]},
        formats=told["formats"],
        sequence=told["sequence"],
        pipelines=tuple(_pipeline(one) for one in told["pipelines"]),
    )


def _pipeline(told: Object) -> PipelineStatus:
    return PipelineStatus(
        name=told["name"],
        fingerprint=told["fingerprint"],
        metric=told["metric"],
        rows=told["rows"] or 0,
        saved_at=told["saved_at"],
        behind=told["behind"],
        threshold=told["threshold"],
        engine=told["engine"],
        shared=told["shared"],
        error=told["error"],
    )


def _seconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()
