"""The JSON objects of docs/cli.md, made from what the service gives. Keys may be added here, never renamed."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lookalike.cli.exit_codes import error_object
from lookalike.cli.output import when
from lookalike.results import Cluster, Comparison, Failure, RepairReport, Status
from lookalike.types import Answer, Hit, Outcome, Record

Object = Mapping[str, Any]


def outcome_object(outcome: Outcome) -> Object:
    """What became of one image."""
    return asdict(outcome)


def query_object(query: str, answer: Answer | Failure) -> Object:
    """The answer to one query, or what is wrong with it."""
    if not isinstance(answer, Answer):
        return {"query": query, "error": error_object(answer)}
    return {
        "query": query,
        "hits": [hit_object(hit) for hit in answer.hits],
        "exact_within": dict(answer.exact_within),
        "took_ms": total_ms(answer),
        "page": answer.page,
        "more": answer.more,
        "sequence": answer.sequence,
        "stages_ms": dict(answer.took_ms),
        "failed": dict(answer.failed),
    }


def total_ms(answer: Answer) -> float:
    """Milliseconds that this query took, all stages together."""
    return round(sum(answer.took_ms.values()), 3)


def hit_object(hit: Hit) -> Object:
    """One hit."""
    return {
        "key": hit.key,
        "path": hit.path,
        "evidence": hit.evidence,
        "distance": hit.distance,
        "pipeline": hit.pipeline,
        "attributes": dict(hit.attributes),
        "width": hit.width,
        "height": hit.height,
    }


def record_object(record: Record) -> Object:
    """One image of the gallery."""
    return {
        "key": record.key,
        "path": record.path,
        "tenant": record.tenant,
        "sha256": record.sha256.hex(),
        "width": record.width,
        "height": record.height,
        "format": record.format,
        "bytes": record.nbytes,
        "border": asdict(record.border),
        "attributes": dict(record.attributes),
        "created": when(record.created),
        "updated": when(record.updated),
        "sequence": record.sequence,
    }


def cluster_object(cluster: Cluster) -> Object:
    """Images that are copies of one another."""
    images = [record_object(image) for image in cluster.images]
    return {"id": cluster.id, "evidence": cluster.evidence, "distance": cluster.distance, "images": images}


def comparison_object(a: str, b: str, found: Comparison) -> Object:
    """Two images side by side."""
    measured = [asdict(m) | {"copy": m.is_copy} for m in found.pipelines]
    return {
        "a": a,
        "b": b,
        "evidence": found.evidence,
        "same_bytes": found.same_bytes,
        "same_pixels": found.same_pixels,
        "measured": measured,
    }


def status_object(gallery: str, status: Status) -> Object:
    """How a gallery stands."""
    return {
        "gallery": gallery,
        "images": status.images,
        "bytes": status.nbytes,
        "tenants": dict(status.tenants),
        "formats": dict(status.formats),
        "sequence": status.sequence,
        "pipelines": [asdict(pipeline) for pipeline in status.pipelines],
    }


def repair_object(report: RepairReport) -> Object:
    """What a repair did."""
    return {"images": report.images, "rebuilt": dict(report.rebuilt)}
