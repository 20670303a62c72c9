"""Bulk requests of bounded size, with retries and backoff for rejected operations."""

import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from lookalike.errors import Unavailable
from lookalike.indexes.elasticsearch.client import OVERLOADED, RETRY_AFTER, ElasticClient

MAX_OPERATIONS = 2500
"""Operations in one request."""
MAX_CHARACTERS = 8 << 20
"""Approximate characters in one request; a server accepts 100 MB by default, and parses it in memory."""
MAX_ATTEMPTS = 8
"""Times that a rejected operation is sent; with backoff, about 15 s in all."""
_INITIAL_BACKOFF, _MAX_BACKOFF = 0.1, 4.0
_CONFLICT, _TOO_MANY_REQUESTS = 409, 429
_FAILURE_FIELDS = "errors,items.*.status,items.*.error.type,items.*.error.reason"

Operation = tuple[str, ...]
"""JSON lines of the bulk API: the action, and the document unless it is a deletion."""


_Failure = tuple[int, int, str, str]  # position, status, type and reason


def send_operations(
    server: ElasticClient, index: str, operations: Sequence[Operation], *, require_alias: bool
) -> list[int]:
    """Send all operations; returns the positions of updates whose document does not exist.

    Rejections by an overloaded server are retried with backoff; other failures raise. `require_alias` refuses writes
    unless `index` is an alias, so that no index is created in place of a missing one. Raises Unavailable after
    `MAX_ATTEMPTS`.
    """
    missing = []
    for first, batch in _batches(operations):
        missing += [first + position for position in _send_with_retries(server, index, batch, require_alias)]
    return missing


def _batches(operations: Sequence[Operation]) -> Iterator[tuple[int, Sequence[Operation]]]:
    """The operations in batches that fit one request, each with the position of its first operation."""
    first = size = 0
    for position, operation in enumerate(operations):
        length = sum(map(len, operation))
        if position > first and (position - first == MAX_OPERATIONS or size + length > MAX_CHARACTERS):
            yield first, operations[first:position]
            first, size = position, 0
        size += length
    if first < len(operations):
        yield first, operations[first:]


def _send_with_retries(
    server: ElasticClient, index: str, operations: Sequence[Operation], require_alias: bool
) -> list[int]:
    pending = list(range(len(operations)))
    missing: list[int] = []
    rejection = ""
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            time.sleep(min(_INITIAL_BACKOFF * 2**attempt, _MAX_BACKOFF) * random.uniform(0.5, 1.0))
        rejected = []
        batch = [operations[each] for each in pending]
        for position, status, kind, reason in _send(server, index, batch, require_alias):
            if status == 404 and kind == "document_missing_exception":
                missing.append(pending[position])
            elif status in (*OVERLOADED, _CONFLICT) and kind != "cluster_block_exception":
                rejected.append(pending[position])
                rejection = f"{kind} {reason}"
            else:
                raise server.error_for(status, kind, reason)
        pending = rejected
        if not pending:
            return missing
    raise Unavailable(
        f"{server.name} rejected {len(pending)} documents {MAX_ATTEMPTS} times: {rejection}", retry_after=RETRY_AFTER
    )


def _send(server: ElasticClient, index: str, operations: Sequence[Operation], require_alias: bool) -> list[_Failure]:
    """Send a request; returns the failed operations: all of them if the request itself was rejected."""
    lines: list[Any] = list(itertools.chain.from_iterable(operations))

    def request(client: Elasticsearch) -> Mapping[str, Any] | None:
        try:
            answer = client.bulk(
                operations=lines, index=index, require_alias=require_alias, filter_path=_FAILURE_FIELDS
            )
            return dict(answer)
        except ApiError as error:
            if error.status_code != _TOO_MANY_REQUESTS:
                raise
            return None  # backpressure, which must not open the circuit as a failure would

    answer = server.call(request, bulk=True)
    if answer is None:
        return [(position, _TOO_MANY_REQUESTS, "too_many_requests", "") for position in range(len(operations))]
    if not answer.get("errors"):
        return []
    items = [next(iter(item.values())) for item in answer["items"]]
    return [
        (position, item["status"], item["error"].get("type", ""), item["error"].get("reason", ""))
        for position, item in enumerate(items)
        if "error" in item
    ]
