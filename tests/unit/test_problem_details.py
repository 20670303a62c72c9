"""Errors cross HTTP and come back as they were."""

from typing import get_args

import pytest

from lookalike import errors
from lookalike.errors import (
    AccessDenied,
    BadInput,
    Conflict,
    ImageRejected,
    LookalikeError,
    NotFound,
    Reason,
    TooManyRequests,
    Unavailable,
)
from lookalike.problem_details import PROBLEMS, error_of, problem_of, retry_after, status_of

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LookalikeError)]


def test_every_error_has_a_row_of_its_own() -> None:
    assert {kind for kind, _, _ in PROBLEMS} == set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not ImageRejected])
def test_there_and_back(kind: type[LookalikeError]) -> None:
    error = kind("what is wrong")
    problem = problem_of(error, instance="r-1")
    assert problem["detail"] == "what is wrong"
    assert problem["instance"] == "r-1"
    back = error_of(problem["status"], problem)
    assert type(back) is kind
    assert str(back) == "what is wrong"


@pytest.mark.parametrize("reason", get_args(Reason))
def test_rejections_keep_their_reason(reason: Reason) -> None:
    problem = problem_of(ImageRejected(reason, "no"))
    assert problem["status"] == (413 if reason == "too_many_bytes" else 422)
    back = error_of(problem["status"], problem)
    assert isinstance(back, ImageRejected)
    assert back.reason == reason


def test_titles_are_plain() -> None:
    titles = {kind.__name__: title for kind, _, title in PROBLEMS}
    assert titles["BadInput"] == "Invalid request"
    assert titles["ImageRejected"] == "Invalid image"
    assert len(set(titles.values())) == len(titles)


def test_what_goes_along() -> None:
    conflict = error_of(412, problem_of(Conflict("changed", sequence=7)))
    assert isinstance(conflict, Conflict)
    assert conflict.sequence == 7
    assert status_of(AccessDenied("no key")) == 401
    assert status_of(AccessDenied("read only", authenticated=True)) == 403
    busy = error_of(503, problem_of(Unavailable("down")), retry_after=3.0)
    assert isinstance(busy, Unavailable)
    assert busy.retry_after == 3.0
    assert retry_after(Unavailable("down", retry_after=0.2)) == 1
    assert retry_after(Unavailable("down", retry_after=7.4)) == 7


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessDenied),
        (404, NotFound),
        (413, BadInput),
        (418, BadInput),
        (429, TooManyRequests),
        (502, Unavailable),
    ],
)
def test_answers_that_are_not_ours(status: int, kind: type[LookalikeError]) -> None:
    assert type(error_of(status, {})) is kind
    assert type(error_of(500, {"type": "about:blank"})) is LookalikeError
    assert type(error_of(500, {"type": 7, "detail": None})) is LookalikeError
