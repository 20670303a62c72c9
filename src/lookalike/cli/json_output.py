"""The JSON lines of docs/cli.md: the objects of the HTTP API (`lookalike.wire`), and what only the command line knows.

Only the command line knows the query or the files as they were given, the gallery, and paths and tenants of images.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lookalike.cli.exit_codes import error_object
from lookalike.results import (
    Change,
    CleanupGroup,
    CleanupOutcome,
    Cluster,
    Comparison,
    Failure,
    RepairReport,
    Status,
    UndoOutcome,
)
from lookalike.types import Answer, Outcome, Record
from lookalike.wire.comparison import Comparison as ComparisonObject
from lookalike.wire.duplicates import CleanupGroup as CleanupGroupObject
from lookalike.wire.duplicates import CleanupOutcome as CleanupOutcomeObject
from lookalike.wire.duplicates import Cluster as ClusterObject
from lookalike.wire.duplicates import UndoOutcome as UndoOutcomeObject
from lookalike.wire.images import Change as ChangeObject
from lookalike.wire.images import Image
from lookalike.wire.images import Outcome as OutcomeObject
from lookalike.wire.objects import convert, to_dict
from lookalike.wire.search import SearchAnswer
from lookalike.wire.status import GalleryStatus

if TYPE_CHECKING:
    from lookalike.evaluation.measurement import QueryResult, ScoredHit
    from lookalike.evaluation.summary import Summary

Object = Mapping[str, Any]


def outcome_object(outcome: Outcome) -> Object:
    return to_dict(convert(OutcomeObject, outcome)) | {"path": outcome.path}


def query_object(query: str, answer: Answer | Failure) -> Object:
    if not isinstance(answer, Answer):
        return {"query": query, **error_object(answer)}
    found = to_dict(SearchAnswer.of(answer))
    for line, hit in zip(found["hits"], answer.hits, strict=True):
        line["path"] = hit.path
    return {"query": query, **found}


def record_object(record: Record) -> Object:
    return to_dict(Image.of(record)) | {"path": record.path, "tenant": record.tenant}


def change_object(change: Change) -> Object:
    found = to_dict(ChangeObject.of(change, tenant=True))
    return found | {"image": None if change.image is None else record_object(change.image)}


def cluster_object(cluster: Cluster) -> Object:
    images = [record_object(image) for image in cluster.images]
    found = to_dict(ClusterObject.of(cluster)) | {"images": images}
    del found["same"]  # a client does not know the digests of pixels
    return found


def group_object(group: CleanupGroup) -> Object:
    """A cluster as `cluster_object` has it, with the mark of each image."""
    images = [
        {**record_object(planned.image), "mark": planned.mark, "reason": planned.reason, "frees": planned.frees}
        for planned in group.images
    ]
    return to_dict(CleanupGroupObject.of(group)) | {"images": images}


def cleanup_outcome_object(outcome: CleanupOutcome) -> Object:
    return to_dict(convert(CleanupOutcomeObject, outcome)) | {"path": outcome.path, "destination": outcome.destination}


def undo_outcome_object(outcome: UndoOutcome) -> Object:
    return to_dict(convert(UndoOutcomeObject, outcome)) | {"path": outcome.path}


def comparison_object(a: str, b: str, comparison: Comparison) -> Object:
    return {"a": a, "b": b, **to_dict(ComparisonObject.of(comparison))}


def status_object(gallery: str, status: Status) -> Object:
    """The contents of a gallery and the state of its pipelines."""
    found = to_dict(GalleryStatus.of_gallery(status))
    return {"gallery": gallery, **found, "tenants": dict(status.tenants)}


def repair_object(report: RepairReport) -> Object:
    return asdict(report)


def evaluated_query_object(result: "QueryResult") -> Object:
    """One query of an evaluation: the rank of its original, and the first hit with and without the original."""
    return {
        "type": "query",
        "search": result.search,
        "edit": result.edit,
        "image": result.image,
        "sample": result.sample,
        "rank": result.rank,
        "original": _scored_hit(result.right),
        "first": _scored_hit(next(iter(result.hits), None)),
        "first_without_original": _scored_hit(next(iter(result.without_original), None)),
    }


def summary_object(summary: "Summary") -> Object:
    """The measures of one search, over all edits or for one; shares in 0..1, each with its interval."""
    return {
        "type": "summary",
        "search": summary.search,
        "edit": summary.edit,
        "sample": summary.sample,
        "images": summary.images,
        "queries": summary.queries,
        "negatives": summary.negatives,
        "recall": {str(k): asdict(estimate) for k, estimate in summary.recall.items()},
        "average_precision": asdict(summary.average_precision),
        "recall_at_false": {f"{rate:g}": asdict(estimate) for rate, estimate in summary.recall_at_false.items()},
        "labelled": asdict(summary.labelled),
        "wrong_copies": asdict(summary.wrong_copies),
    }


def _scored_hit(hit: "ScoredHit | None") -> Object | None:
    if hit is None:
        return None
    return {
        "key": hit.key,
        "evidence": hit.evidence,
        "distance": hit.distance,
        "pipeline": hit.pipeline,
        "score": round(hit.score, 6),
    }
