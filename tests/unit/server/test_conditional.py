"""Conditional reads: 304 where the client names the ETag, and only there."""

import pytest

from lookalike.server.routes.images import not_modified

HEADERS = {"ETag": '"17"', "Cache-Control": "no-cache"}


@pytest.mark.parametrize("header", ['"17"', 'W/"17"', '"1", "17"', ' "17" ,"2"', "*", '"x", *'])
def test_known(header: str) -> None:
    answer = not_modified(header, HEADERS)
    assert answer is not None
    assert (answer.status_code, answer.headers["etag"], answer.body) == (304, '"17"', b"")


@pytest.mark.parametrize("header", [None, "", '"1"', '"117"', '"1", "7"', "17", '"17'])
def test_unknown(header: str | None) -> None:
    assert not_modified(header, HEADERS) is None
