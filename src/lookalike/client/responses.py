"""Responses of a service, parsed as `lookalike.wire` objects and converted to the library's result types."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lookalike.errors import BadSetting, LookalikeError
from lookalike.problem_details import error_of
from lookalike.results import (
    Change,
    Cluster,
    Comparison,
    Diagnosis,
    Explanation,
    Failure,
    GalleryPipeline,
    IndexMove,
    PipelineComparison,
    PipelineStatus,
    RecordRepair,
    RepairReport,
    Status,
    StoredRecords,
)
from lookalike.types import Answer, Hit, Outcome, Record
from lookalike.wire.comparison import Comparison as ComparisonObject
from lookalike.wire.duplicates import Cluster as ClusterObject
from lookalike.wire.explanation import Diagnosis as DiagnosisObject
from lookalike.wire.explanation import Explanation as ExplanationObject
from lookalike.wire.images import Change as ChangeObject
from lookalike.wire.images import Image
from lookalike.wire.images import Outcome as OutcomeObject
from lookalike.wire.jobs import Job as JobObject
from lookalike.wire.objects import bytes_of, convert, parse, seconds_of, to_dict
from lookalike.wire.pipelines import IndexMove as IndexMoveObject
from lookalike.wire.pipelines import Pipeline as PipelineObject
from lookalike.wire.pipelines import PipelineList
from lookalike.wire.search import BatchAnswer, SearchAnswer
from lookalike.wire.search import Hit as HitObject
from lookalike.wire.status import Status as StatusObject

NO_ID = 0
"""Placeholder id of records and hits: the server does not expose internal ids."""
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """A job and its state: queued, running, done, failed or cancelled.

    `total` is None where it is not known beforehand; `counts` are by outcome, or rows by index; `error` is why it
    failed.
    """

    id: str
    kind: str
    state: str
    done: int
    total: int | None
    counts: Mapping[str, int] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    error: LookalikeError | None = None

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ENDED


def pipeline_of(pipeline: PipelineObject) -> GalleryPipeline:
    """A pipeline."""
    return convert(
        GalleryPipeline,
        pipeline,
        created=None if pipeline.created is None else seconds_of(pipeline.created),
        promoted=None if pipeline.promoted is None else seconds_of(pipeline.promoted),
    )


def pipelines_of(listed: PipelineList) -> list[GalleryPipeline]:
    """The pipelines of a gallery."""
    return [pipeline_of(pipeline) for pipeline in listed.pipelines]


def record_of(image: Image, tenant: str) -> Record:
    """An image's record; its path is on the server's machine, and returned only to clients on it."""
    return convert(
        Record,
        image,
        id=NO_ID,
        tenant=tenant,
        sha256=bytes_of(image.sha256),
        pixels=None,
        nbytes=image.bytes,
        created=seconds_of(image.created),
        updated=seconds_of(image.updated),
        offset=None,
    )


def change_of(change: ChangeObject, tenant: str) -> Change:
    """A change of an image; `tenant` is that of the request."""
    owner = change.tenant or tenant
    image = None if change.image is None else record_of(change.image, owner)
    return convert(Change, change, tenant=owner, image=image)


def answer_of(answer: SearchAnswer) -> Answer:
    """The answer to a query."""
    return convert(Answer, answer, hits=tuple(hit_of(hit) for hit in answer.hits), radius=None)


def batch_answer_of(answer: BatchAnswer) -> Answer | Failure:
    """The answer to one query of several, or its failure; raises an error that is not of the query."""
    if answer.answer is not None:
        return answer_of(answer.answer)
    if answer.error is None:
        raise LookalikeError("the service sent neither an answer nor an error")
    error = error_of(answer.error.status, to_dict(answer.error))
    if isinstance(error, Failure):
        return error
    raise error


def hit_of(hit: HitObject) -> Hit:
    """A hit, whose path and id the server keeps to itself."""
    verification = None if hit.verification is None else hit.verification.value()
    return convert(Hit, hit, path=None, id=NO_ID, verification=verification)


def outcome_of(outcome: OutcomeObject, path: str | None) -> Outcome:
    """What became of an image that was read from `path` on this machine."""
    return convert(Outcome, outcome, path=path)


def cluster_of(cluster: ClusterObject, tenant: str) -> Cluster:
    """A cluster of copies."""
    return Cluster(tuple(record_of(image, tenant) for image in cluster.images), cluster.evidence, cluster.distance)


def comparison_of(comparison: ComparisonObject) -> Comparison:
    """The comparison of two images."""
    measured = tuple(
        PipelineComparison(pipeline.name, pipeline.distance, pipeline.threshold, pipeline.false_match_rate)
        for pipeline in comparison.pipelines
    )
    verification = None if comparison.verification is None else comparison.verification.value()
    return convert(Comparison, comparison, pipelines=measured, verification=verification)


def explanation_of(explanation: ExplanationObject) -> Explanation:
    """What two images have in common; raises BadSetting for what is not base64."""
    try:
        images = {
            name: None if (text := getattr(explanation, name)) is None else b64decode(text, validate=True)
            for name in ("query_image", "stored_image", "aligned")
        }
    except ValueError:
        raise BadSetting("the service's response has an image that is not valid base64") from None
    return convert(
        Explanation,
        explanation,
        comparison=comparison_of(explanation.comparison),
        hashes=tuple(hashes.value() for hashes in explanation.hashes),
        curves={name: tuple((d, r) for d, r in curve) for name, curve in explanation.curves.items()},
        **images,
    )


def diagnosis_of(diagnosis: DiagnosisObject) -> Diagnosis:
    """Why an image is found, or not."""
    return convert(Diagnosis, diagnosis, hit=None if diagnosis.hit is None else hit_of(diagnosis.hit))


def status_of(status: StatusObject) -> Status:
    """The gallery's status for one tenant; rows are 0 where the API key is bound to it and may not see them."""
    return convert(
        Status,
        status,
        nbytes=status.bytes,
        tenants={status.tenant: status.images},
        pipelines=tuple(convert(PipelineStatus, pipeline, rows=pipeline.rows or 0) for pipeline in status.pipelines),
        verification_records=convert(
            StoredRecords, status.verification_records, nbytes=status.verification_records.bytes
        ),
    )


def index_move_of(job: Job) -> IndexMove:
    """The result of a finished move of an index."""
    return convert(IndexMove, parse(IndexMoveObject, job.result.get("move")))


def repair_report_of(job: Job) -> RepairReport:
    """The report of a finished repair."""
    records = job.result.get("verification_records")
    return RepairReport(job.done, job.counts, None if records is None else RecordRepair(**records))


def job_of(job: JobObject) -> Job:
    """A job and its state."""
    error = job.error
    status = error.get("status") if error else None
    return convert(
        Job,
        job,
        done=job.progress.done,
        total=job.progress.total,
        counts=job.progress.counts,
        error=None if error is None else error_of(status if isinstance(status, int) else 500, error),
    )
