"""Errors as problem responses (RFC 9457): ours by the table in `lookalike.problem_details`, and all others."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from lookalike.errors import AccessDenied, ImageRejected, LookalikeError, Unavailable
from lookalike.problem_details import MEDIA_TYPE, PREFIX, problem_of, retry_after, status_of

MAX_REPORTED = 10
"""Validation errors that a response lists."""
NO_ROUTE = "Unknown path (a key is not empty, and a slash in it is written %2F)."
log = logging.getLogger("lookalike.server")


class HttpError(Exception):
    """An error with an HTTP status and no counterpart in `lookalike.errors` (408, 415)."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def request_id_of(request: Request) -> str:
    """The request id assigned by `RequestMiddleware`."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def error_response(error: Exception, request_id: str) -> Response:
    """The response to any exception."""
    problem = problem_for(error, request_id)
    content = json.dumps(problem, ensure_ascii=False).encode(errors="backslashreplace")
    return Response(content, int(problem["status"]), _headers(error), MEDIA_TYPE)


def problem_for(error: Exception, request_id: str) -> dict[str, Any]:
    """The problem of any exception; an unexpected one is logged and its message is not disclosed."""
    if isinstance(error, LookalikeError):
        if status_of(error) == HTTPStatus.INTERNAL_SERVER_ERROR:  # not 503: it is counted, and would flood the log
            log.error("request %s: %s: %s", request_id, type(error).__name__, error)
        return problem_of(error, instance=request_id)
    if isinstance(error, HttpError):
        return http_problem(error.status, str(error), request_id)
    if isinstance(error, HTTPException):
        detail = NO_ROUTE if error.detail == HTTPStatus.NOT_FOUND.phrase else str(error.detail)
        return http_problem(HTTPStatus(error.status_code), detail, request_id)
    if isinstance(error, RequestValidationError):
        return http_problem(HTTPStatus.BAD_REQUEST, describe_faults(error.errors()), request_id)
    log.error("request %s failed unexpectedly", request_id, exc_info=error)
    detail = f"An unexpected error occurred; see the server's log for request {request_id}."
    return _problem("lookalike-error", "Internal server error", 500, detail, request_id)


def _headers(error: Exception) -> Mapping[str, str] | None:
    if isinstance(error, Unavailable):
        return {"Retry-After": str(retry_after(error))}
    if isinstance(error, AccessDenied) and not error.authenticated:
        return {"WWW-Authenticate": 'Bearer realm="lookalike"'}
    return error.headers if isinstance(error, HTTPException) else None


def http_problem(status: HTTPStatus, detail: str, request_id: str) -> dict[str, Any]:
    """A problem by HTTP status, with the type of the closest error, which clients raise."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "unavailable" if status == HTTPStatus.SERVICE_UNAVAILABLE else "lookalike-error"
    else:
        kind = "not-found" if status == HTTPStatus.NOT_FOUND else "bad-input"
    title = "Invalid request" if status == HTTPStatus.BAD_REQUEST else status.phrase.capitalize()
    return _problem(kind, title, status, detail, request_id)


def _problem(kind: str, title: str, status: int, detail: str, request_id: str) -> dict[str, Any]:
    return {"type": PREFIX + kind, "title": title, "status": int(status), "detail": detail, "instance": request_id}


def describe_faults(errors: Sequence[Any]) -> str:
    """Validation errors with their locations, without the invalid values."""
    described = [
        ": ".join(filter(None, (".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, "))))
        for error in errors[:MAX_REPORTED]
    ]
    more = f"; and {len(errors) - MAX_REPORTED} more" if len(errors) > MAX_REPORTED else ""
    return "; ".join(described) + more


def rejection_reason(error: Exception) -> str:
    """The label under which a rejection is counted."""
    if isinstance(error, ImageRejected):
        return error.reason
    return problem_of(error)["type"].removeprefix(PREFIX) if isinstance(error, LookalikeError) else "http"


def _allowed(request: Request, routers: Sequence[APIRouter]) -> dict[str, str]:
    """The Allow header of a path (RFC 9110, 10.2.1); the framework lists the methods of the first route only."""
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
    methods = set(chain.from_iterable(r.methods or () for r in routes if r.matches(request.scope)[0] != Match.NONE))
    if "GET" in methods and request.method != "HEAD":  # `RequestMiddleware` maps HEAD to GET, except for one-time links
        methods.add("HEAD")
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


def install_error_handlers(app: FastAPI, routers: Sequence[APIRouter] = ()) -> None:
    """Install the exception handlers; `routers` are those whose methods the Allow header lists."""

    async def respond(request: Request, error: Exception) -> Response:
        request.app.state.app_state.metrics.count_rejection(rejection_reason(error))
        if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error.headers = {**(error.headers or {}), **_allowed(request, routers)}
        return error_response(error, request_id_of(request))

    for kind in (LookalikeError, HttpError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, respond)
