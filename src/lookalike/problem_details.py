"""Errors as problem details (RFC 9457): one table for the server, the client and the command line."""

import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from lookalike.errors import (
    AccessDenied,
    BadInput,
    BadSetting,
    ChangesPruned,
    Conflict,
    Damaged,
    FeatureMismatch,
    GalleryBusy,
    ImageRejected,
    LookalikeError,
    NotFound,
    Reason,
    TooManyRequests,
    Unavailable,
    UnsupportedQuery,
)

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:lookalike:error:"
"""What the `type` of every problem begins with; the name of the error's class in kebab case follows."""

PROBLEMS: tuple[tuple[type[LookalikeError], int, str], ...] = (
    (ImageRejected, 422, "Invalid image"),
    (UnsupportedQuery, 400, "Unsupported query"),
    (BadSetting, 400, "Invalid setting"),
    (Conflict, 412, "Precondition failed"),
    (AccessDenied, 403, "Access denied"),
    (BadInput, 400, "Invalid request"),
    (ChangesPruned, 410, "Changes pruned"),
    (NotFound, 404, "Not found"),
    (FeatureMismatch, 500, "Feature mismatch"),
    (Damaged, 500, "Damaged data"),
    (GalleryBusy, 503, "Gallery busy"),
    (TooManyRequests, 429, "Too many requests"),
    (Unavailable, 503, "Service unavailable"),
    (LookalikeError, 500, "Internal error"),
)
"""Error class, HTTP status and title; the first class that fits decides."""
_BY_TYPE = {kind.__name__: kind for kind, _, _ in PROBLEMS}
_BY_STATUS: Mapping[int, type[LookalikeError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    410: NotFound,
    412: Conflict,
    413: BadInput,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""The error of a response that is no problem of ours: it comes from a proxy between client and service."""


def status_of(error: LookalikeError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, ImageRejected) and error.reason == "too_many_bytes":
        return 413
    if isinstance(error, AccessDenied) and not error.authenticated:
        return 401
    return next(status for kind, status, _ in PROBLEMS if isinstance(error, kind))


def problem_of(error: LookalikeError, *, instance: str | None = None) -> dict[str, Any]:
    """The problem object of an error; `instance` names the request."""
    kind, _, title = next(row for row in PROBLEMS if isinstance(error, row[0]))
    problem: dict[str, Any] = {
        "type": PREFIX + re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower(),
        "title": title,
        "status": status_of(error),
        "detail": str(error),
    }
    if isinstance(error, ImageRejected):
        problem["reason"] = error.reason
    if isinstance(error, Conflict):
        problem["sequence"] = error.sequence
    return problem | ({"instance": instance} if instance is not None else {})


def error_of(status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> LookalikeError:
    """The error of a problem object, as the library would have raised it; never raises."""
    name = str(problem.get("type", "")).removeprefix(PREFIX).title().replace("-", "")
    kind = _BY_TYPE.get(name) or _BY_STATUS.get(status) or (BadInput if 400 <= status < 500 else LookalikeError)
    message = str(problem.get("detail") or problem.get("title") or f"the service responded with status {status}")
    if kind is ImageRejected:
        reason = problem.get("reason")
        return ImageRejected(cast(Reason, reason) if reason in get_args(Reason) else "unreadable", message)
    if kind is Conflict:
        sequence = problem.get("sequence")
        return Conflict(message, sequence=sequence if isinstance(sequence, int) else None)
    if kind is AccessDenied:
        return AccessDenied(message, authenticated=status != 401)
    if issubclass(kind, Unavailable):
        return kind(message, retry_after=retry_after)
    return kind(message)


def retry_after(error: LookalikeError) -> int:
    """Whole seconds for the header Retry-After of a transient error; at least 1."""
    seconds = error.retry_after if isinstance(error, Unavailable) else None
    return max(1, round(seconds or 1.0))
