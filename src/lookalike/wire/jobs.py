"""The objects of jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lookalike.wire.objects import Json, WireObject, doc

JobKind = Literal["import", "repair", "duplicates", "delete", "backfill", "move_index", "compare_pipelines"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class JobProgress(WireObject):
    """How far a job is."""

    done: int
    total: int | None = field(metadata=doc("Null where it is not known beforehand."))
    counts: dict[str, int] = field(metadata=doc("By outcome, or by index."))


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
    result: Json = field(
        metadata=doc(
            "`rejected` of an import, the first 100; `clusters` of keys, the first 1,000; `move` of an index; "
            "`comparison` of pipelines."
        )
    )
    error: Json | None = field(metadata=doc("The problem over which it failed."))
    created: str = field(metadata=doc("RFC 3339, UTC."))
    updated: str


@dataclass(frozen=True, slots=True)
class JobList(WireObject):
    """Jobs, the newest first."""

    jobs: list[Job]
    next: str | None = field(metadata=doc("The cursor of the next page; null at the end."))
