"""Conditional reads: the client has what it asks for."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Response


def not_modified(if_none_match: str | None, headers: Mapping[str, str]) -> Response | None:
    """The answer 304 where the header If-None-Match names the ETag of these headers, else None (RFC 9110, 13.1.2)."""
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if "*" not in known and headers["ETag"] not in known:
        return None
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=dict(headers))
