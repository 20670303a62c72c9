"""Long work that a service does while nobody waits for it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lookalike.client.responses import Object
from lookalike.errors import LookalikeError, Unavailable
from lookalike.problem_details import error_of

ENDED = ("done", "failed", "cancelled")
FIRST_LOOK, LAST_LOOK = 0.1, 2.0
"""Seconds between two looks at a job, in the beginning and in the end."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job and how it stands: `state` is queued, running, done, failed or cancelled.

    `total` is None where it is not known beforehand; `counts` are by outcome, or rows by index; `error` is what it
    failed over.
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
        """Whether it will not change any more."""
        return self.state in ENDED


def job_of(told: Object) -> Job:
    """The service's JSON as a job."""
    progress, error = told["progress"], told["error"]
    return Job(
        id=told["id"],
        kind=told["kind"],
        state=told["state"],
        done=progress["done"],
        total=progress["total"],
        counts=progress["counts"],
        result=told["result"],
        error=None if error is None else error_of(int(error.get("status", 500)), error),
    )


def wait_for(ask: Callable[[], Job], seconds: float | None) -> Job:
    """Ask how a job stands, ever more rarely, until it has ended well.

    Raises what it failed over, Unavailable where it was cancelled or takes longer than `seconds`.
    """
    until = None if seconds is None else time.monotonic() + seconds
    pause = FIRST_LOOK
    while not (job := ask()).ended:
        if until is not None and time.monotonic() >= until:
            raise Unavailable(f"job {job.id} ({job.kind}) is {job.state} and not done after {seconds:g} seconds")
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_LOOK)
    if job.error is not None:
        raise job.error
    if job.state != "done":
        raise Unavailable(f"job {job.id} ({job.kind}) was {job.state}")
    return job
