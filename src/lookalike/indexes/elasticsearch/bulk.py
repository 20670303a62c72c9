"""Writing many documents: requests of bounded size, and patience with a server that is busy."""

import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from lookalike.errors import Unavailable
from lookalike.indexes.elasticsearch.client import OVERLOADED, RETRY_AFTER, ElasticClient

MAX_OPERATIONS = 2500
"""Operations of one request."""
MAX_CHARACTERS = 8 << 20
"""Characters of one request, about; a server takes 100 MB by default, and parses it in memory."""
MAX_ATTEMPTS = 8
"""Times that a refused operation is sent; with the pauses between, about 15 s."""
_INITIAL_BACKOFF, _MAX_BACKOFF = 0.1, 4.0
_CONFLICT, _TOO_MANY_REQUESTS = 409, 429

Operation = tuple[str, ...]
"""JSON lines: what is to be done, and the document unless it is a deletion."""


@dataclass(frozen=True, slots=True)
class _Failure:
    status: int
    kind: str
    reason: str


def send_operations(server: ElasticClient, index: str, operations: Sequence[Operation], *, alias: bool) -> list[int]:
    """Send all operations; gives the places of those whose document to be updated does not exist.

    What a busy server refuses is sent again, later and later; what it refuses for good raises. `alias` says that
    `index` is an alias, so that nothing is created where it is gone. Raises Unavailable when patience ends.
    """
    missing = []
    for first, portion in _batches(operations):
        missing += [first + place for place in _send_with_retries(server, index, portion, alias=alias)]
    return missing


def _batches(operations: Sequence[Operation]) -> Iterator[tuple[int, Sequence[Operation]]]:
    first = size = 0
    for place, operation in enumerate(operations):
        length = sum(map(len, operation))
        if place > first and (place - first == MAX_OPERATIONS or size + length > MAX_CHARACTERS):
            yield first, operations[first:place]
            first, size = place, 0
        size += length
    if first < len(operations):
        yield first, operations[first:]


def _send_with_retries(server: ElasticClient, index: str, operations: Sequence[Operation], *, alias: bool) -> list[int]:
    """One request, again and again for what was refused for now."""
    waiting = list(range(len(operations)))
    missing: list[int] = []
    busy = ""
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            time.sleep(min(_INITIAL_BACKOFF * 2**attempt, _MAX_BACKOFF) * random.uniform(0.5, 1.0))
        failures = _send(server, index, [operations[place] for place in waiting], alias=alias)
        again = []
        for at, failure in failures:
            if failure.status == 404 and failure.kind == "document_missing_exception":
                missing.append(waiting[at])
            elif failure.status in (*OVERLOADED, _CONFLICT) and failure.kind != "cluster_block_exception":
                again.append(waiting[at])
                busy = f"{failure.kind} {failure.reason}"
            else:
                raise server.error_for(failure.status, failure.kind, failure.reason)
        waiting = again
        if not waiting:
            return missing
    raise Unavailable(f"{server.name} was too busy to write {len(waiting)} documents: {busy}", retry_after=RETRY_AFTER)


def _send(
    server: ElasticClient, index: str, operations: Sequence[Operation], *, alias: bool
) -> list[tuple[int, _Failure]]:
    """Send a request; gives the operations that failed, by place; all of them if the whole request was refused."""
    lines: list[Any] = list(itertools.chain.from_iterable(operations))

    def request(client: Elasticsearch) -> Mapping[str, Any] | None:
        try:
            answer = client.bulk(
                operations=lines,
                index=index,
                require_alias=alias,
                filter_path="errors,items.*.status,items.*.error.type,items.*.error.reason",
            )
            return dict(answer)
        except ApiError as error:
            if error.status_code != _TOO_MANY_REQUESTS:
                raise
            return None  # no failure of the server, which would open the circuit: it asks for patience

    answer = server.call(request, bulk=True)
    if answer is None:
        return [(place, _Failure(_TOO_MANY_REQUESTS, "too_many_requests", "")) for place in range(len(operations))]
    if not answer.get("errors"):
        return []
    items = [next(iter(item.values())) for item in answer["items"]]
    return [
        (place, _Failure(item["status"], item["error"].get("type", ""), item["error"].get("reason", "")))
        for place, item in enumerate(items)
        if "error" in item
    ]
